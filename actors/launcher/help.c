/*
 * help.c - fedmq help and fedmq version.
 */
#include <string.h>

#include "actors/launcher/command.h"

static const fmq_option_t no_options[] = {FMQ_ROWS_END};

static int help(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    (void)arguments;
    if (words && words->size > 0) {
        const fmq_command_t *command = fmq_command_find(words->items[0]);
        if (!command)
            return fmq_command_unknown(words->items[0], err);
        fmq_command_print_usage(command, stdout);
        return 0;
    }
    puts("usage: fedmq COMMAND [OPTION ...] [KEY VALUE ...]\n"
         "       fedmq --cfg FILE [KEY VALUE ...]    as FS-LLM: federate.mode and\n"
         "                                           distribute.role choose the command\n"
         "\ncommands:");
    for (size_t i = 0; fmq_command_at(i); i++)
        printf("  %-10s %s\n", fmq_command_at(i)->name, fmq_command_at(i)->summary);
    puts("\nfedmq help COMMAND lists its options.");
    return 0;
}

static int version(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    (void)arguments, (void)words, (void)err;
    puts("fedmq " FEDMQ_VERSION);
    return 0;
}

const fmq_command_t fmq_command_help = {.name = "help",
                                        .words = "[COMMAND]",
                                        .summary = "Lists the commands, or the options of one",
                                        .options = no_options,
                                        .rule = FMQ_WORDS_ANY,
                                        .run = help};

const fmq_command_t fmq_command_version = {.name = "version",
                                           .words = "",
                                           .summary = "Prints the version",
                                           .options = no_options,
                                           .rule = FMQ_WORDS_NONE,
                                           .run = version};
