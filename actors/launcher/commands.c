/*
 * commands.c - the table of subcommands, how one is chosen and run, and the two
 * that tell of it: help and version.
 *
 * Without a subcommand the command line is FS-LLM's: --cfg FILE KEY VALUE ...,
 * where federate.mode and distribute.role say what this process is.
 */
#include "actors/launcher/command.h"

#include <poll.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "actors/launcher/aside.h"
#include "actors/launcher/extensions.h"
#include "actors/launcher/opening.h"
#include "actors/launcher/output.h"
#include "actors/launcher/process.h"
#include "base/nearest.h"

static const fmq_command_t *const commands[] = {
    &fmq_command_run,       &fmq_command_server,   &fmq_command_client,
    &fmq_command_evaluator, &fmq_command_splitter, &fmq_command_broker,
    &fmq_command_emulator,  &fmq_command_config,   &fmq_command_tokenize,
    &fmq_command_generate,  &fmq_command_eval,     &fmq_command_merge,
    &fmq_command_status,    &fmq_command_list,     &fmq_command_init,
    &fmq_command_version,   &fmq_command_help,     NULL};

const fmq_command_t *fmq_command_at(size_t index)
{
    return index < sizeof commands / sizeof *commands ? commands[index] : NULL;
}

const fmq_command_t *fmq_command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

int fmq_command_unknown(const char *name, fmq_error_t *err)
{
    char all[512] = "", nearest[FMQ_NEAREST_MAX];
    if (fmq_words_is_file(name))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%s' is no command; a configuration is run by: fedmq run --cfg %s",
                             name, name);
    for (size_t i = 0; commands[i]; i++)
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "|" : "",
                       commands[i]->name);
    fmq_nearest_choice(all, name, nearest);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' is no command%s%s%s; see fedmq help", name,
                         *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "");
}

void fmq_command_print_usage(const fmq_command_t *command, FILE *out)
{
    fprintf(out, "usage: fedmq %s%s%s%s\n%s.\n", command->name,
            command->options[0].name ? " [OPTION ...]" : "", *command->words ? " " : "",
            command->words, command->summary);
    if (command->options[0].name)
        fputs("\noptions:\n", out);
    fmq_options_print(command->options, out);
}

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

static int report(const char *command, bool json, fmq_error_t *err)
{
    int status = fmq_error_exit_status(err->code);
    if (err->code == FMQ_ERR_NOMEM)
        fmq_process_explain(err);
    status = status != 0 ? status : 1;
    fmq_output_error(command, json, err, status);
    return status;
}

/* A pipe whose reader has had enough (`fedmq config keys | head`) is no mistake. */
static bool reader_has_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}

/* --json, also shortened: asked before the command line is understood, or when
 * it cannot be. */
static bool wants_json(int argc, char **argv)
{
    static const char option[] = "--json";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strlen(argv[i]) > 2 && strncmp(argv[i], option, strlen(argv[i])) == 0)
            return true;
    return false;
}

/* Says what it has brought, aside: standard output is the command's. */
static int load_extensions(fmq_extensions_t *extensions, fmq_arguments_t *arguments,
                           fmq_error_t *err)
{
    for (size_t i = 0; i < arguments->load.size; i++) {
        char line[FMQ_EXTENSIONS_LINE_MAX];
        if (fmq_extensions_load(extensions, arguments->load.items[i], line, err) < 0)
            return -1;
        if (!arguments->quiet)
            fmq_aside(arguments->json, "extension", line);
    }
    arguments->offers = fmq_extensions_offers(extensions);
    return 0;
}

static int run_extended(const fmq_command_t *command, fmq_arguments_t *arguments,
                        const fmq_words_t *words, fmq_error_t *err)
{
    if (arguments->load.size == 0)
        return command->run(arguments, words, err);
    fmq_extensions_t *extensions = fmq_extensions_new();
    if (!extensions)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for extensions");
    int result = load_extensions(extensions, arguments, err);
    if (result == 0)
        result = command->run(arguments, words, err);
    fmq_extensions_destroy(&extensions);
    return result;
}

static int run_command(const fmq_command_t *command, int argc, char **argv)
{
    fmq_error_t err = {0};
    fmq_arguments_t arguments = {.top_p = 1, .new_tokens = 32};
    fmq_words_t words = {0};
    int result =
        fmq_options_parse(argc, argv, command->options, command->rule, &arguments, &words, &err);
    if (result == 0 && words.help)
        fmq_command_print_usage(command, stdout);
    else if (result == 0)
        result = run_extended(command, &arguments, &words, &err);
    else
        fmq_error_prefix(&err, "see fedmq %s --help", command->name);
    fmq_words_release(&words);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (!written && result == 0 && !reader_has_gone())
        result = fmq_error_set(&err, FMQ_ERR_IO, "cannot write to standard output");
    if (result == 0)
        return 0;
    return report(command->name, arguments.json || wants_json(argc, argv), &err);
}

/* Every option of the three actors that the configuration may ask for, so that
 * --cfg and the pairs are found among them; the chosen one checks its own. */
static const fmq_option_t any_actors_options[] = {
    FMQ_ROW_CFG,
    FMQ_ROW_CLIENT_CFG,
    FMQ_ROW_DIRECTORY,
    FMQ_ROW_BROKER,
    FMQ_ROW_LISTEN,
    FMQ_ROW_EVALUATOR,
    FMQ_ROW_NO_EVALUATOR,
    FMQ_ROW_RESUME,
    FMQ_ROW_INSECURE,
    FMQ_ROW_PERMITS,
    FMQ_ROW_THREADS,
    FMQ_ROW_QUIET,
    FMQ_ROW_JSON,
    FMQ_ROW_LOAD,
    FMQ_ROW("no-splitter", FLAG, no_splitter, NULL, ""),
    FMQ_ROW("id", COUNT, id, "K", ""),
    FMQ_ROW("data", TEXT, data, "FILE", ""),
    FMQ_ROW("train", TEXT, train, "FILE", ""),
    FMQ_ROW("val", TEXT, val, "FILE", ""),
    FMQ_ROW("test", TEXT, test, "FILE", ""),
    FMQ_ROWS_END};

/* FS-LLM's form: which actor the configuration asks for. */
static const fmq_command_t *choose_by_config(int argc, char **argv, fmq_error_t *err)
{
    fmq_arguments_t arguments = {0};
    fmq_words_t words = {0};
    fmq_config_t *config = NULL;
    const fmq_command_t *chosen = NULL;
    if (fmq_options_parse(argc, argv, any_actors_options, FMQ_WORDS_PAIRS, &arguments, &words,
                          err) == 0 &&
        (config = fmq_opening_merge(&arguments, &words, err)) != NULL) {
        chosen = &fmq_command_run;
        if (strcasecmp(fmq_config_text(config, "federate.mode"), "distributed") == 0 ||
            fmq_config_bool(config, "distribute.use"))
            chosen = strcasecmp(fmq_config_text(config, "distribute.role"), "server") == 0
                         ? &fmq_command_server
                         : &fmq_command_client;
    }
    fmq_config_destroy(&config);
    fmq_words_release(&words);
    return chosen;
}

int fmq_commands_main(int argc, char **argv)
{
    fmq_error_t err = {0};
    if (fmq_process_prepare(&err) < 0)
        return report("", wants_json(argc, argv), &err);
    if (argc < 2) {
        fmq_command_help.run(NULL, NULL, NULL);
        return fmq_error_exit_status(FMQ_ERR_CONFIG);
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const fmq_command_t *command = fmq_command_find(name);
    if (command)
        return run_command(command, argc - 1, argv + 1);
    if (strncmp(name, "--", 2) != 0) {
        fmq_command_unknown(name, &err);
        return report("", wants_json(argc, argv), &err);
    }
    command = choose_by_config(argc, argv, &err);
    if (command)
        return run_command(command, argc, argv);
    return report("", wants_json(argc, argv), &err);
}
