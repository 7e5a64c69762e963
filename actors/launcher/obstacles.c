/*
 * obstacles.c - looks at every path that a run will write.
 */
#include "actors/launcher/obstacles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/launcher/rundir.h"

/* Folders whose entries round-<number>... are of one kind. */
static const struct {
    const char *name;
    fmq_place_kind_t kind;
} numbered[] = {{"checkpoints", FMQ_PLACE_REPLACED}, {"journal", FMQ_PLACE_FOLDER}};

/* path may be absent; what is there must be of that kind and writable. */
static int check_path(const char *path, fmq_place_kind_t kind, fmq_error_t *err)
{
    struct stat status;
    bool folder = kind == FMQ_PLACE_FOLDER;
    if (stat(path, &status) < 0)
        return errno == ENOENT ? 0
                               : fmq_error_set(err, FMQ_ERR_IO, "cannot look at '%s': %s", path,
                                               strerror(errno));
    if (folder ? !S_ISDIR(status.st_mode) : !S_ISREG(status.st_mode))
        return fmq_error_set(err, FMQ_ERR_IO,
                             "'%s' is in the way: it is %s where the run writes a %s; move it away",
                             path,
                             S_ISDIR(status.st_mode)   ? "a folder"
                             : S_ISREG(status.st_mode) ? "a file"
                                                       : "neither a file nor a folder",
                             folder ? "folder" : "file");
    if (kind != FMQ_PLACE_REPLACED && access(path, folder ? W_OK | X_OK : W_OK) < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "the run cannot write to '%s': %s", path,
                             strerror(errno));
    return 0;
}

static int join(char out[PATH_MAX], const char *directory, const char *name, fmq_error_t *err)
{
    int size = snprintf(out, PATH_MAX, "%s/%s", directory, name);
    return size >= 0 && size < PATH_MAX
               ? 0
               : fmq_error_set(err, FMQ_ERR_LIMIT, "a path of the run is longer than %d bytes",
                               PATH_MAX);
}

/* Entries of checkpoints/ and journal/. */
static int check_entries(const char *directory, size_t i, fmq_error_t *err)
{
    char folder[PATH_MAX], path[PATH_MAX];
    if (join(folder, directory, numbered[i].name, err) < 0)
        return -1;
    DIR *entries = opendir(folder);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && entries && (entry = readdir(entries)) != NULL;)
        if (strncmp(entry->d_name, "round-", strlen("round-")) == 0)
            rc = join(path, folder, entry->d_name, err) < 0
                     ? -1
                     : check_path(path, numbered[i].kind, err);
    if (entries)
        (void)closedir(entries);
    return rc;
}

/* The nearest folder above path that is there must take what is missing. */
static int check_above(const char *path, fmq_error_t *err)
{
    char above[PATH_MAX];
    struct stat status;
    (void)snprintf(above, sizeof above, "%s", path);
    for (;;) {
        char *slash = strrchr(above, '/');
        if (!slash)
            (void)snprintf(above, sizeof above, ".");
        else if (slash == above)
            above[1] = '\0';
        else
            *slash = '\0';
        if (stat(above, &status) == 0 || !slash || slash == above)
            return check_path(above, FMQ_PLACE_FOLDER, err);
        if (errno != ENOENT)
            return fmq_error_set(err, FMQ_ERR_IO, "cannot look at '%s': %s", above,
                                 strerror(errno));
    }
}

/* <above>/<before><name>, which will be an adapter's folder. */
static int check_copy(const char *save_to, const char *before, fmq_error_t *err)
{
    char path[PATH_MAX];
    const char *slash = strrchr(save_to, '/');
    const char *name = slash ? slash + 1 : save_to;
    int size =
        snprintf(path, sizeof path, "%.*s%s%s", (int)(name - save_to), save_to, before, name);
    if (size < 0 || (size_t)size >= sizeof path)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a path of the run is longer than %d bytes",
                             PATH_MAX);
    return check_path(path, FMQ_PLACE_FOLDER, err);
}

static int check_copies(const fmq_config_t *config, const char *key, const char *const before[2],
                        fmq_error_t *err)
{
    const char *save_to = fmq_config_text(config, key);
    if (!*save_to)
        return 0;
    if (check_above(save_to, err) < 0 || check_copy(save_to, before[0], err) < 0 ||
        check_copy(save_to, before[1], err) < 0)
        return fmq_error_prefix(err, "%s", key);
    return 0;
}

/* Copies of every save_freq-th round. */
static int check_rounds(const fmq_config_t *config, fmq_error_t *err)
{
    static const char key[] = "federate.save_to";
    int64_t rounds = fmq_config_int(config, "federate.total_round_num");
    int64_t freq = fmq_config_int(config, "federate.save_freq");
    if (!*fmq_config_text(config, key) || freq < 1)
        return 0;
    for (int64_t round = freq; round <= rounds; round += freq) {
        char before[32];
        (void)snprintf(before, sizeof before, "%lld_", (long long)round);
        if (check_copy(fmq_config_text(config, key), before, err) < 0)
            return fmq_error_prefix(err, "%s", key);
    }
    return 0;
}

static int check_elsewhere(const fmq_config_t *config, fmq_error_t *err)
{
    static const char *const state[2] = {"", "final_"}, *const emulator[2] = {"", "0_"};
    if (check_copies(config, "federate.save_to", state, err) < 0 || check_rounds(config, err) < 0)
        return -1;
    if (!fmq_config_bool(config, "llm.offsite_tuning.use") ||
        !fmq_config_bool(config, "llm.offsite_tuning.emu_align.use"))
        return 0;
    return check_copies(config, "llm.offsite_tuning.emu_align.save_to", emulator, err);
}

int fmq_obstacles_check(const char *directory, const fmq_config_t *config, fmq_error_t *err)
{
    char path[PATH_MAX];
    if (check_path(directory, FMQ_PLACE_FOLDER, err) < 0)
        return -1;
    const fmq_rundir_place_t *place;
    for (size_t i = 0; (place = fmq_rundir_place_at(i)); i++)
        if (place->kind != FMQ_PLACE_LOCK && /* who takes it says what is wrong with it */
            (join(path, directory, place->name, err) < 0 || check_path(path, place->kind, err) < 0))
            return -1;
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++)
        if (check_entries(directory, i, err) < 0)
            return -1;
    return check_elsewhere(config, err);
}

int fmq_obstacles_check_new(const char *directory, const fmq_config_t *config, fmq_error_t *err)
{
    if (check_above(directory, err) < 0 || check_path(directory, FMQ_PLACE_FOLDER, err) < 0)
        return -1;
    return check_elsewhere(config, err);
}
