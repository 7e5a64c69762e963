/*
 * resuming.c - compares what a run was told with what it shall be told now.
 */
#include "actors/launcher/resuming.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/launcher/aside.h"
#include "actors/storage/checkpoint.h"

#define SHOWN_MAX 100 /* bytes of a value in a message */

typedef struct {
    const char *directory;              /* borrowed */
    bool json;                          /* how those refused are told */
    FILE *changes;                      /* what may be */
    size_t allowed;                     /* so many */
    size_t refused;                     /* what may not */
    char first[FMQ_ERROR_TEXT_MAX / 2]; /* of these, in words */
} findings_t;

static bool is_allowed(const fmq_config_change_t *change)
{
    if (change->resume == FMQ_RESUME_MORE)
        return strtod(change->to, NULL) > strtod(change->from, NULL);
    return change->resume == FMQ_RESUME_FREE;
}

static void take(void *argument, const fmq_config_change_t *change)
{
    findings_t *self = argument;
    if (is_allowed(change)) {
        fprintf(self->changes, "%s%s: %.*s -> %.*s", self->allowed++ ? "; " : "", change->key,
                SHOWN_MAX, change->from, SHOWN_MAX, change->to);
        return;
    }
    char text[sizeof self->first];
    (void)snprintf(text, sizeof text, "%s: the run has %.*s, not %.*s%s", change->key, SHOWN_MAX,
                   change->from, SHOWN_MAX, change->to,
                   change->resume == FMQ_RESUME_MORE ? " (it may only grow)" : "");
    if (self->refused++ == 0)
        (void)snprintf(self->first, sizeof self->first, "%s", text);
    fmq_aside(self->json, "change", text);
}

static int refuse(const findings_t *self, fmq_error_t *err)
{
    char more[32] = "";
    if (self->refused > 1)
        (void)snprintf(more, sizeof more, " (and %zu more)", self->refused - 1);
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' cannot be resumed with another configuration: %s%s; leave that as "
                         "it was, or begin a run of its own (federate.restore_from %s/adapter)",
                         self->directory, self->first, more, self->directory);
}

/* found begins empty; what may change is put into *changes_p. */
static int compare(const fmq_config_t *own, const fmq_config_t *config, findings_t *found,
                   char **changes_p, fmq_error_t *err)
{
    char *text = NULL;
    size_t size = 0;
    found->changes = open_memstream(&text, &size);
    if (!found->changes)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for what has changed");
    int rc = fmq_config_visit_changes(own, config, take, found, err);
    if (fclose(found->changes) != 0 && rc == 0)
        rc = fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for what has changed");
    if (rc == 0 && found->refused > 0)
        rc = refuse(found, err);
    if (rc < 0)
        free(text);
    else
        *changes_p = text;
    return rc;
}

/* The run's own configuration; a run without one is not compared. */
static int compare_with_own(findings_t *found, const fmq_config_t *config, char **changes_p,
                            fmq_error_t *err)
{
    char path[PATH_MAX];
    fmq_error_t why;
    (void)snprintf(path, sizeof path, "%s/config.yaml", found->directory);
    if (access(path, F_OK) < 0) {
        *changes_p = strdup("");
        return *changes_p ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory");
    }
    fmq_config_t *own = fmq_config_new();
    int rc = -1;
    if (own)
        fmq_config_set_offers(own, fmq_config_offers(config));
    if (!own)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the run's configuration");
    else if (fmq_config_load(own, path, &why) < 0)
        fmq_error_set(err, FMQ_ERR_FORMAT,
                      "the run's own configuration cannot be read: %.400s; put it right, or move "
                      "it away to go on without comparing",
                      why.text);
    else
        rc = compare(own, config, found, changes_p, err);
    fmq_config_destroy(&own);
    return rc;
}

static int look(const char *directory, fmq_checkpoint_t *newest, fmq_error_t *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/checkpoints", directory);
    int found = fmq_checkpoint_look(path, newest, err);
    return found < 0 ? fmq_error_prefix(err, "no checkpoint in '%s' is intact", path) : found;
}

/* A directory that holds neither a configuration nor a checkpoint is no run;
 * one that was interrupted before its first checkpoint begins anew. */
static int check_rounds(const char *directory, const fmq_config_t *config, fmq_error_t *err)
{
    char path[PATH_MAX];
    fmq_checkpoint_t newest;
    int64_t rounds = fmq_config_int(config, "federate.total_round_num");
    int found = look(directory, &newest, err);
    (void)snprintf(path, sizeof path, "%s/config.yaml", directory);
    if (found < 0)
        return -1;
    if (found == 0 && access(path, F_OK) < 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                             "there is no run to resume in '%s': leave out --resume to begin one",
                             directory);
    if (found > 0 && rounds < (int64_t)newest.round)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "federate.total_round_num is %lld, but the run in '%s' has done %u "
                             "rounds: give %u or more",
                             (long long)rounds, directory, newest.round, newest.round);
    return 0;
}

int fmq_resuming_check(const char *directory, const fmq_config_t *config, bool json,
                       char **changes_p, fmq_error_t *err)
{
    findings_t found = {.directory = directory, .json = json};
    if (strlen(directory) + 32 > PATH_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the path of the run's directory is too long");
    if (check_rounds(directory, config, err) < 0)
        return -1;
    return compare_with_own(&found, config, changes_p, err);
}

int fmq_resuming_check_model(const char *directory, const fmq_digest_t *model, fmq_error_t *err)
{
    fmq_checkpoint_t newest;
    int found = look(directory, &newest, err);
    if (found > 0 && !fmq_digest_equal(&newest.model, model))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the run in '%s' was made with another base model", directory);
    return found < 0 ? -1 : 0;
}
