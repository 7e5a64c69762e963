/*
 * remarks.c - one line in the log, and one object for programs.
 */
#include "actors/launcher/remarks.h"

#include <stdlib.h>
#include <string.h>

#include "actors/launcher/display_json.h"

#define LISTED_MAX 1500 /* bytes of a list; a line of the log is not much longer */

typedef struct {
    bool asked;
    size_t count, left_out; /* beyond LISTED_MAX */
    char list[LISTED_MAX];
    json_t *keys; /* owned; NULL: nobody wants them */
} inert_t;

static void take(void *argument, const fmq_config_inert_t *inert)
{
    inert_t *self = argument;
    size_t used = strlen(self->list);
    if (self->asked && strncmp(inert->origin, "command line", strlen("command line")) != 0)
        return;
    if (used + strlen(inert->key) + 3 < sizeof self->list)
        (void)snprintf(self->list + used, sizeof self->list - used, "%s%s", used ? ", " : "",
                       inert->key);
    else
        self->left_out++;
    self->count++;
    if (self->keys)
        json_array_append_new(self->keys, json_pack("{s:s, s:s, s:s}", "key", inert->key, "value",
                                                    inert->value, "why", inert->why));
}

static void print(json_t *object, fmq_writer_t *out)
{
    char *line = fmq_display_json_line(object);
    if (line)
        fmq_writer_put(out, FMQ_WRITER_IMPORTANT, line, strlen(line));
    free(line);
}

void fmq_remarks_inert(const fmq_config_t *config, bool asked, fmq_log_t *log, fmq_writer_t *json)
{
    char more[48] = "";
    inert_t found = {.asked = asked, .keys = json ? json_array() : NULL};
    fmq_config_visit_inert(config, take, &found);
    if (found.left_out > 0)
        (void)snprintf(more, sizeof more, " and %zu more", found.left_out);
    if (found.count > 0)
        fmq_log_write(log, FMQ_LOG_WARNING, "config", "keys-without-effect",
                      "count=%zu keys=\"%s%s\"", found.count, found.list, more);
    if (json && found.count > 0)
        print(json_pack("{s:s, s:O}", "event", "keys-without-effect", "keys", found.keys), json);
    json_decref(found.keys);
}

/* "cuda:0:bf16,cuda:1:bf16", cut where the line ends. */
static void join(const fmq_device_list_t *list, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < list->size && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "," : "", list->names[i]);
}

void fmq_remarks_compute(const fmq_compute_settings_t *compute, fmq_log_t *log)
{
    char devices[400], team[400];
    join(&compute->devices, devices, sizeof devices);
    join(&compute->team, team, sizeof team);
    if (compute->team.size > 1)
        fmq_log_write(log, FMQ_LOG_INFO, "launcher", "computing",
                      "device=%s weights=%s together=%s optimizer=%s", devices,
                      llm_form_choice_name(&compute->weights), team,
                      compute->sharded ? "sharded" : "whole");
    else
        fmq_log_write(log, FMQ_LOG_INFO, "launcher", "computing", "device=%s weights=%s", devices,
                      llm_form_choice_name(&compute->weights));
    if (compute->lacks_gpu)
        fmq_log_write(log, FMQ_LOG_WARNING, "launcher", "no-gpu",
                      "reason=\"use_gpu is True, but %s: the CPU is used; with fedmq.require_gpu "
                      "True that is an error\"",
                      compute->why);
    if (*compute->told)
        fmq_log_write(log, FMQ_LOG_WARNING, "launcher", "deepspeed-without-effect",
                      "entries=\"%s\"", compute->told);
    if (compute->sharded && compute->team.size <= 1)
        fmq_log_write(
            log, FMQ_LOG_WARNING, "launcher", "nothing-to-shard",
            "reason=\"llm.deepspeed.use is True, but one device computes: it keeps all of "
            "the optimizer's state; name several in train.data_para_dids\"");
}

void fmq_remarks_resumed(const char *directory, const char *changes, fmq_log_t *log,
                         fmq_writer_t *json)
{
    if (!*changes)
        return;
    fmq_log_write(log, FMQ_LOG_WARNING, "config", "resumed-with-changes",
                  "directory=\"%.400s\" changes=\"%s\"", directory, changes);
    if (json)
        print(json_pack("{s:s, s:s, s:s}", "event", "resumed-with-changes", "directory", directory,
                        "changes", changes),
              json);
}
