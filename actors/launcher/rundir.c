/*
 * rundir.c - the directory of a run: its name, its creation, its small files.
 */
#include "actors/launcher/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/protocol/status.h"
#include "actors/storage/dealt.h"
#include "actors/storage/directory.h"
#include "actors/storage/versions.h"

#define INITIAL_CHECKPOINT  "round-000000.state"
#define SUB_EXPERIMENTS_MAX 100 /* children tried within one second */

static const fmq_rundir_place_t places[] = {
    {"config.yaml", FMQ_PLACE_REPLACED, FMQ_EARLY_ANY},
    {FMQ_VERSIONS_NAME, FMQ_PLACE_REPLACED, FMQ_EARLY_ANY},
    {FMQ_DEALT_NAME, FMQ_PLACE_REPLACED, FMQ_EARLY_ANY},
    {FMQ_STATUS_NAME, FMQ_PLACE_REPLACED, FMQ_EARLY_ANY},
    {FMQ_LOCK_NAME, FMQ_PLACE_LOCK, FMQ_EARLY_ANY},
    {"run.log", FMQ_PLACE_APPENDED, FMQ_EARLY_ANY},
    {"metrics.jsonl", FMQ_PLACE_APPENDED, FMQ_EARLY_EMPTY},
    {"checkpoints", FMQ_PLACE_FOLDER, FMQ_EARLY_INITIAL},
    {"checkpoints/sent.state", FMQ_PLACE_REPLACED, FMQ_EARLY_NEVER},
    {"journal", FMQ_PLACE_FOLDER, FMQ_EARLY_EMPTY},
    {"best", FMQ_PLACE_FOLDER, FMQ_EARLY_NEVER},
    {"best/best.state", FMQ_PLACE_REPLACED, FMQ_EARLY_NEVER},
    {"best/adapter", FMQ_PLACE_FOLDER, FMQ_EARLY_NEVER},
    {"adapter", FMQ_PLACE_FOLDER, FMQ_EARLY_NEVER},
    {"emulator", FMQ_PLACE_FOLDER, FMQ_EARLY_NEVER},
    {"clients", FMQ_PLACE_FOLDER, FMQ_EARLY_EMPTY},
};

const fmq_rundir_place_t *fmq_rundir_place_at(size_t index)
{
    return index < sizeof places / sizeof *places ? &places[index] : NULL;
}

static char *format_path(fmq_error_t *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static char *format_path(fmq_error_t *err, const char *format, ...)
{
    char path[PATH_MAX];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(path, sizeof path, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof path) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "a path of the run is longer than %d bytes", PATH_MAX);
        return NULL;
    }
    char *copy = strdup(path);
    if (!copy)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    return copy;
}

char *fmq_rundir_name(const fmq_config_t *config, fmq_error_t *err)
{
    const char *given = fmq_config_text(config, "expname");
    const char *tag = fmq_config_text(config, "expname_tag");
    const char *joint = *tag ? "_" : "";
    char *name = NULL;
    if (*given)
        name = format_path(err, "%s%s%s", given, joint, tag);
    else
        name = format_path(
            err, "%s_%s_on_%s_lr%g_lstep%lld%s%s", fmq_config_text(config, "federate.method"),
            fmq_config_text(config, "model.type"), fmq_config_text(config, "data.type"),
            fmq_config_real(config, "train.optimizer.lr"),
            (long long)fmq_config_int(config, "train.local_update_steps"), joint, tag);
    for (char *c = name; c && *c; c++)
        if (*c == '/' && !*given)
            *c = '-';
    return name;
}

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* mkdir -p.  Names the folder that could not be made, not only the last. */
static int make_directories(const char *path, fmq_error_t *err)
{
    char *copy = strdup(path);
    int failed = 0;
    if (!copy)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    for (char *c = copy + 1; failed == 0; c++) {
        char kept = *c;
        if (kept != '/' && kept != '\0')
            continue;
        *c = '\0';
        if (mkdir(copy, 0777) < 0) {
            failed = errno == EEXIST ? ENOTDIR : errno;
            failed = is_directory(copy) ? 0 : failed;
        }
        if (failed)
            fmq_error_set(err, FMQ_ERR_IO, "cannot create directory '%s': '%s': %s", path, copy,
                          strerror(failed));
        *c = kept;
        if (kept == '\0')
            break;
    }
    free(copy);
    return failed ? -1 : 0;
}

static bool exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

/* True when path is a directory of which every entry passes. */
static bool holds_only(const char *path, bool (*passes)(const char *path, const char *name))
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    bool right = true;
    if (!directory)
        return false;
    while (right && (entry = readdir(directory)) != NULL)
        right = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                passes(path, entry->d_name);
    closedir(directory);
    return right;
}

/* The lock of a run that never wrote anything, or is about to begin. */
static bool is_lock(const char *path, const char *name)
{
    (void)path;
    return strcmp(name, FMQ_LOCK_NAME) == 0;
}

static bool nothing_passes(const char *path, const char *name)
{
    (void)path;
    (void)name;
    return false;
}

static bool is_empty(const char *path)
{
    return holds_only(path, nothing_passes);
}

int fmq_rundir_check_free(const char *path, fmq_error_t *err)
{
    if (holds_only(path, is_lock))
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "directory '%s' is not empty: choose another, or --resume the run in it",
                         path);
}

/* A child of parent that nobody else has made: mkdir itself decides. */
static char *make_child(const char *parent, time_t now, fmq_error_t *err)
{
    char stamp[32];
    struct tm local;
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &local);
    for (int i = 0; i < SUB_EXPERIMENTS_MAX; i++) {
        char suffix[16] = "";
        if (i > 0)
            snprintf(suffix, sizeof suffix, "_%d", i);
        char *path = format_path(err, "%s/sub_exp_%s%s", parent, stamp, suffix);
        if (!path || mkdir(path, 0777) == 0)
            return path;
        int failed = errno;
        free(path);
        if (failed != EEXIST) {
            fmq_error_set(err, FMQ_ERR_IO, "cannot create a directory below '%s': %s", parent,
                          strerror(failed));
            return NULL;
        }
    }
    fmq_error_set(err, FMQ_ERR_LIMIT, "'%s' has %d experiments of this second", parent,
                  SUB_EXPERIMENTS_MAX);
    return NULL;
}

char *fmq_rundir_path(const fmq_config_t *config, fmq_error_t *err)
{
    char *name = fmq_rundir_name(config, err);
    char *path = name ? format_path(err, "%s/%s", fmq_config_text(config, "outdir"), name) : NULL;
    free(name);
    return path;
}

char *fmq_rundir_of_client(const fmq_config_t *config, fmq_error_t *err)
{
    char *path = fmq_rundir_path(config, err);
    if (path && make_directories(path, err) < 0) {
        free(path);
        return NULL;
    }
    return path;
}

char *fmq_rundir_open(const fmq_config_t *config, const char *explicitly, bool resume, time_t now,
                      fmq_error_t *err)
{
    char *path = explicitly ? format_path(err, "%s", explicitly) : fmq_rundir_path(config, err);
    if (!path)
        return NULL;
    if (resume) {
        if (exists(path))
            return path;
        fmq_error_set(err, FMQ_ERR_NOTFOUND,
                      "there is no run to resume in '%s': leave out --resume to begin one", path);
    } else if (explicitly && exists(path)) {
        if (fmq_rundir_check_free(path, err) == 0)
            return path;
    } else if (exists(path)) {
        char *child = make_child(path, now, err);
        free(path);
        return child;
    } else if (make_directories(path, err) == 0) {
        return path;
    }
    free(path);
    return NULL;
}

int fmq_rundir_write(const char *directory, const char *name, const char *text, fmq_error_t *err)
{
    int result = -1;
    char *path = format_path(err, "%s/%s", directory, name);
    char *temporary = format_path(err, "%s/.%s.new", directory, name);
    FILE *file = NULL;
    if (!path || !temporary)
        goto done;
    file = fopen(temporary, "w");
    if (!file) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot create '%s': %s", temporary, strerror(errno));
        goto done;
    }
    int failed = fputs(text, file) < 0 || fflush(file) != 0 || fsync(fileno(file)) != 0;
    failed |= fclose(file) != 0;
    if (failed || rename(temporary, path) < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
        remove(temporary);
        goto done;
    }
    result = 0;
done:
    free(path);
    free(temporary);
    return result;
}

static bool is_initial_checkpoint(const char *path, const char *name)
{
    (void)path;
    return strcmp(name, INITIAL_CHECKPOINT) == 0;
}

/* Is it as it may be before the first round begins? */
static bool is_early(const fmq_rundir_place_t *place, const char *path)
{
    struct stat status;
    bool empty = place->early == FMQ_EARLY_EMPTY;
    if (place->early == FMQ_EARLY_NEVER)
        return false;
    if (place->kind == FMQ_PLACE_FOLDER)
        return empty ? is_empty(path) : holds_only(path, is_initial_checkpoint);
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode) && (!empty || status.st_size == 0);
}

static bool is_trace(const char *directory, const char *name)
{
    const fmq_rundir_place_t *place;
    for (size_t i = 0; (place = fmq_rundir_place_at(i)); i++) {
        if (strcmp(place->name, name) != 0)
            continue;
        char *path = format_path(NULL, "%s/%s", directory, name);
        bool right = path && is_early(place, path);
        free(path);
        return right;
    }
    return false;
}

/* Ends one of them. */
static void remove_place(const char *directory, const fmq_rundir_place_t *place)
{
    char *path = format_path(NULL, "%s/%s", directory, place->name);
    char *inside = path && place->early == FMQ_EARLY_INITIAL
                       ? format_path(NULL, "%s/" INITIAL_CHECKPOINT, path)
                       : NULL;
    if (inside)
        (void)remove(inside);
    if (path)
        (void)remove(path);
    free(inside);
    free(path);
}

void fmq_rundir_undo(const char *path, bool and_itself)
{
    if (!holds_only(path, is_trace))
        return;
    const fmq_rundir_place_t *place;
    for (size_t i = 0; (place = fmq_rundir_place_at(i)); i++)
        if (place->early != FMQ_EARLY_NEVER)
            remove_place(path, place);
    if (and_itself)
        (void)rmdir(path);
}
