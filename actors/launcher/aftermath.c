/*
 * aftermath.c - what is to be done after a run that did not finish.
 */
#include "actors/launcher/aftermath.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/rundir.h"

void fmq_run_place_release(fmq_run_place_t *place)
{
    fmq_lock_release(&place->lock);
    free(place->path);
    free(place->changes);
    *place = (fmq_run_place_t){0};
}

void fmq_aftermath_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_@%+=:,./-";
    if (*word && word[strspn(word, plain)] == '\0') {
        fprintf(out, " %s", word);
        return;
    }
    fputs(" '", out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

/* What config.yaml holds, what is said anew, and what only changes the looks. */
static bool is_left_out(const char *option)
{
    static const char *const names[] = {"cfg",    "client_cfg", "directory",
                                        "resume", "quiet",      "json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], option) == 0)
            return true;
    return false;
}

static void write_option(FILE *out, const fmq_option_t *row, const fmq_arguments_t *arguments)
{
    const void *field = (const char *)arguments + row->offset;
    if (row->kind == FMQ_OPTION_FLAG && *(const bool *)field) {
        fprintf(out, " --%s", row->name);
    } else if (row->kind == FMQ_OPTION_TEXT && *(const char *const *)field) {
        fprintf(out, " --%s", row->name);
        fmq_aftermath_word(out, *(const char *const *)field);
    } else if (row->kind == FMQ_OPTION_TEXTS) {
        const fmq_texts_t *texts = field;
        for (size_t i = 0; i < texts->size; i++) {
            fprintf(out, " --%s", row->name);
            fmq_aftermath_word(out, texts->items[i]);
        }
    } else if (row->kind == FMQ_OPTION_COUNT && *(const uint64_t *)field > 0) {
        fprintf(out, " --%s %llu", row->name, (unsigned long long)*(const uint64_t *)field);
    }
}

char *fmq_aftermath_resume(const fmq_command_t *command, const fmq_arguments_t *arguments,
                           const char *directory)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return NULL;
    fprintf(out, "fedmq %s --resume --directory", command->name);
    fmq_aftermath_word(out, directory);
    for (const fmq_option_t *row = command->options; row->name; row++)
        if (!is_left_out(row->name))
            write_option(out, row, arguments);
    if (fclose(out) == 0)
        return line;
    free(line);
    return NULL;
}

/* A command that would be cut is not said at all. */
static void say_how_to_go_on(const fmq_command_t *command, const fmq_arguments_t *arguments,
                             const char *directory, fmq_error_t *err)
{
    static const char between[] = "; go on with: ";
    char *line = fmq_aftermath_resume(command, arguments, directory);
    size_t used = strlen(err->text);
    if (line && used + strlen(between) + strlen(line) < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - used, "%s%s", between, line);
    free(line);
}

void fmq_aftermath(const fmq_command_t *command, const fmq_arguments_t *arguments,
                   const fmq_run_place_t *place, fmq_error_t *err)
{
    if (err->code == FMQ_ERR_STOPPED)
        say_how_to_go_on(command, arguments, place->path, err);
    else if (err->code != FMQ_OK && !arguments->resume)
        fmq_rundir_undo(place->path, place->made);
}
