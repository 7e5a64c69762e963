/*
 * exit_hint.c - looks through a run's directory for what can be used.
 */
#define _GNU_SOURCE /* program_invocation_name */
#include "actors/launcher/exit_hint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/launcher/aftermath.h"
#include "actors/launcher/display_json.h"
#include "fedmq/llm/records.h"

#define PATH_BYTES 4096

/* What a directory holds, by the file that makes it so. */
typedef enum { NOTHING, ADAPTER, MODEL, LAYERS } kind_t;

static const struct {
    kind_t kind;
    const char *file, *name, *noun;
} kinds[] = {{ADAPTER, "adapter_config.json", "adapter", "adapter"},
             {MODEL, "config.json", "model", "model"},
             {LAYERS, "layers.safetensors", "layers", "trained layers"}};
#define KINDS (sizeof kinds / sizeof *kinds)

typedef struct {
    char path[PATH_BYTES];
    kind_t kind;
} found_t;

typedef struct {
    const fmq_exit_hint_t *what;
    found_t last, best, copy, copy_last, client;
    bool local;
    char *generate, *eval; /* owned command lines behind a space; NULL: nothing here can be tried */
    bool needs_file;       /* eval leaves FILE to be put in */
} findings_t;

/* The folder, where there is something. */
static void look(found_t *out, const char *folder)
{
    char file[PATH_BYTES + 32];
    size_t size = strlen(folder);
    for (size_t i = 0; size < PATH_BYTES && i < KINDS; i++) {
        (void)snprintf(file, sizeof file, "%s/%s", folder, kinds[i].file);
        if (access(file, R_OK) < 0)
            continue;
        out->kind = kinds[i].kind;
        memcpy(out->path, folder, size + 1);
        return;
    }
}

static void look_below(found_t *out, const char *directory, const char *name)
{
    char folder[PATH_BYTES];
    int size = snprintf(folder, sizeof folder, "%s/%s", directory, name);
    if (size > 0 && size < PATH_BYTES)
        look(out, folder);
}

/* "models/x" -> "models/final_x", as the server names the last state. */
static void look_for_copies(findings_t *self, const char *save_to)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(save_to, '/');
    int head = slash ? (int)(slash - save_to) + 1 : 0;
    if (!*save_to)
        return;
    look(&self->copy, save_to);
    int size = snprintf(folder, sizeof folder, "%.*sfinal_%s", head, save_to, save_to + head);
    if (size > 0 && size < PATH_BYTES)
        look(&self->copy_last, folder);
}

static void look_for_client(findings_t *self)
{
    int64_t clients = fmq_config_int(self->what->config, "federate.client_num");
    for (int64_t i = 1; i <= clients && self->client.kind == NOTHING; i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "clients/client-%lld", (long long)i);
        look_below(&self->client, self->what->directory, name);
    }
}

/* What can be generated with: the last state, or a whole model that was saved
 * beside layers that alone are none. */
static const found_t *usable(const findings_t *self)
{
    const found_t *const all[] = {&self->last, &self->copy_last, &self->copy, &self->client};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->kind == ADAPTER || all[i]->kind == MODEL)
            return all[i];
    return NULL;
}

static void write_option(FILE *out, const char *name, const char *value)
{
    fprintf(out, " --%s", name);
    fmq_aftermath_word(out, value);
}

/* As it was called where that was by a path, else found in PATH again. */
static void write_program(FILE *out)
{
    const char *called = program_invocation_name;
    if (strchr(called, '/'))
        fmq_aftermath_word(out, called);
    else
        fputs(" fedmq", out);
}

static FILE *begin_command(const findings_t *self, const char *name, char **line_p, size_t *size)
{
    const found_t *found = usable(self);
    FILE *out = found ? open_memstream(line_p, size) : NULL;
    if (!out)
        return NULL;
    write_program(out);
    fprintf(out, " %s", name);
    write_option(out, "model", found->kind == MODEL ? found->path : self->what->model);
    if (found->kind == ADAPTER)
        write_option(out, "adapter", found->path);
    return out;
}

static bool is_text(const char *type)
{
    return strstr(type, ".txt") != NULL;
}

/* The model has learnt prompts of that form, unless it has learnt plain text. */
static void write_generate(findings_t *self)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = begin_command(self, "generate", &line, &size);
    if (!out)
        return;
    if (is_text(fmq_config_text(self->what->config, "data.type"))) {
        write_option(out, "prompt", "Once upon a time");
    } else {
        fputs(" --instruct", out);
        write_option(out, "prompt", "What is the opposite of this word?");
        write_option(out, "input", "slow");
    }
    if (fclose(out) == 0)
        self->generate = line;
    else
        free(line);
}

/* The run's own file, where it is one and is here. */
static char *find_data(const fmq_config_t *config)
{
    const llm_records_source_t source = {.root = fmq_config_text(config, "data.root"),
                                         .type = fmq_config_text(config, "data.type"),
                                         .file = fmq_config_text(config, "data.file_path")};
    return fmq_config_bool(config, "fedmq.own_data") ? NULL : llm_records_locate(&source);
}

static void write_eval(findings_t *self)
{
    const fmq_config_t *config = self->what->config;
    const char *type = fmq_config_text(config, "data.type");
    const char *fields = fmq_config_text(config, "fedmq.data_fields");
    char *line = NULL, *data = find_data(config);
    size_t size = 0;
    FILE *out = begin_command(self, "eval", &line, &size);
    if (out) {
        write_option(out, "data", data ? data : "FILE");
        if (data && !strchr(type, '.'))
            write_option(out, "type", type);
        if (*fields)
            write_option(out, "fields", fields);
        self->needs_file = !data;
        if (fclose(out) == 0)
            self->eval = line;
        else
            free(line);
    }
    free(data);
}

static void find_all(findings_t *self)
{
    const fmq_exit_hint_t *what = self->what;
    self->local = strcmp(fmq_config_text(what->config, "federate.method"), "local") == 0;
    if (!self->local) {
        look_below(&self->last, what->directory, "adapter");
        look_below(&self->best, what->directory, "best/adapter");
        look_for_copies(self, fmq_config_text(what->config, "federate.save_to"));
    }
    if (what->clients && fmq_config_bool(what->config, "federate.save_client_model"))
        look_for_client(self);
    write_generate(self);
    write_eval(self);
}

static const char *noun(const found_t *found)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].kind == found->kind)
            return kinds[i].noun;
    return "state";
}

/* "the adapter is in exp/x/adapter", quoted as a shell wants it. */
static void say_place(fmq_output_t *output, const char *which, const found_t *found)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = found->kind != NOTHING ? open_memstream(&line, &size) : NULL;
    if (!out)
        return;
    fprintf(out, "%s%s %s in", which, noun(found), found->kind == LAYERS ? "are" : "is");
    fmq_aftermath_word(out, found->path);
    if (found->kind == LAYERS)
        fputs(" (a whole model is left by llm.offsite_tuning.save_full_model True with "
              "federate.save_to)",
              out);
    if (fclose(out) == 0)
        fmq_output_line(output, line);
    free(line);
}

static void say_local(const findings_t *self, fmq_output_t *output)
{
    static const char told[] = "every client has trained for itself (federate.method local)";
    char *line = NULL;
    size_t size = 0;
    bool saved = fmq_config_bool(self->what->config, "federate.save_client_model");
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return;
    if (self->client.kind != NOTHING) {
        fprintf(out, "%s: one of them left its %s in", told, noun(&self->client));
        fmq_aftermath_word(out, self->client.path);
    } else {
        fprintf(out, "%s, so there is no common adapter; %s", told,
                saved ? "each has saved its own where it runs"
                      : "federate.save_client_model True saves each client's own");
    }
    if (fclose(out) == 0)
        fmq_output_line(output, line);
    free(line);
}

static void say_command(fmq_output_t *output, const char *command)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = command ? open_memstream(&line, &size) : NULL;
    if (!out)
        return;
    fprintf(out, " %s", command);
    if (fclose(out) == 0)
        fmq_output_line(output, line);
    free(line);
}

static void say_lines(const findings_t *self, fmq_output_t *output)
{
    if (self->local)
        say_local(self, output);
    say_place(output, "the ", &self->last);
    say_place(output, "the best ", &self->best);
    say_place(output, "a copy of the best: the ", &self->copy);
    say_place(output, "a copy of the last: the ", &self->copy_last);
    if (!self->generate && !self->eval)
        return;
    fmq_output_line(output, self->needs_file ? "what to do next (FILE: records to measure on):"
                                             : "what to do next:");
    say_command(output, self->generate);
    say_command(output, self->eval);
}

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text && *text)
        json_object_set_new(object, name, fmq_display_json_string(text));
}

static void say_object(const findings_t *self, fmq_output_t *output)
{
    json_t *object = json_pack("{s:s, s:b}", "event", "goodbye", "local", self->local);
    if (!object)
        return;
    set_text(object, "directory", self->what->directory);
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].kind == self->last.kind)
            set_text(object, kinds[i].name, self->last.path);
    set_text(object, "best", self->best.path);
    set_text(object, "copy_of_best", self->copy.path);
    set_text(object, "copy_of_last", self->copy_last.path);
    set_text(object, "client", self->client.path);
    set_text(object, "generate", self->generate ? self->generate + 1 : NULL);
    set_text(object, "eval", self->eval ? self->eval + 1 : NULL);
    char *line = fmq_display_json_line(object);
    if (line)
        fmq_writer_put(fmq_output_results(output), FMQ_WRITER_IMPORTANT, line, strlen(line));
    free(line);
}

void fmq_exit_hint(const fmq_exit_hint_t *what, fmq_output_t *output)
{
    findings_t *self = calloc(1, sizeof *self);
    if (!self)
        return;
    self->what = what;
    find_all(self);
    if (what->json)
        say_object(self, output);
    else
        say_lines(self, output);
    free(self->generate);
    free(self->eval);
    free(self);
}
