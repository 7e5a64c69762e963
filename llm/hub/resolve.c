/*
 * resolve.c - from a model's id to the directory that holds it, following the
 * layout of huggingface_hub's cache.  Looks at the disk only.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/hub.h"
#include "llm/hub/file.h"
#include "llm/hub/foreign.h"

#define ID_MAX     256 /* bytes; an id beyond this can only be a path */
#define PATH_SIZE  4096
#define COMMIT_MAX 128
#define FS_SUFFIX  "@huggingface_llm"

/* One search: what is sought, what was found, where we looked. */
typedef struct {
    char id[ID_MAX];
    char folder[ID_MAX + 16]; /* "models--org--name" */
    char places[FMQ_ERROR_TEXT_MAX];
    char *found; /* the caller's */
} search_t;

/* "name" or "org/name" of the characters that HF allows. */
static bool is_hub_id(const char *id)
{
    size_t length = strlen(id);
    int slashes = 0;
    if (length == 0 || length >= ID_MAX || id[length - 1] == '/' || strstr(id, ".."))
        return false;
    for (const char *c = id; *c; c++) {
        bool first = c == id || c[-1] == '/';
        if (*c == '/')
            slashes++;
        else if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            return false;
        if (first && (*c == '/' || *c == '.' || *c == '-'))
            return false;
    }
    return slashes <= 1;
}

static void name_folder(search_t *search)
{
    size_t used = (size_t)snprintf(search->folder, sizeof search->folder, "models--");
    for (const char *c = search->id; *c && used + 3 < sizeof search->folder; c++) {
        search->folder[used++] = *c == '/' ? '-' : *c;
        if (*c == '/')
            search->folder[used++] = '-';
    }
    search->folder[used] = '\0';
}

static void note_place(search_t *search, const char *place)
{
    size_t used = strlen(search->places);
    (void)snprintf(search->places + used, sizeof search->places - used, "%s'%s'", used ? ", " : "",
                   place);
}

/* Takes path when it is a directory. */
static bool take(search_t *search, const char *path)
{
    note_place(search, path);
    if (!llm_file_is_directory(path))
        return false;
    search->found = strdup(path);
    return true;
}

/* The commit that refs/main names, or false. */
static bool read_commit(const char *repository, char commit[COMMIT_MAX])
{
    char path[PATH_SIZE];
    size_t size;
    (void)snprintf(path, sizeof path, "%s/refs/main", repository);
    char *text = llm_file_read(path, COMMIT_MAX - 1, &size, NULL);
    if (!text)
        return false;
    size_t length = strcspn(text, " \t\r\n");
    bool plain = length > 0;
    for (size_t i = 0; i < length; i++)
        plain = plain && isalnum((unsigned char)text[i]);
    (void)snprintf(commit, COMMIT_MAX, "%.*s", (int)length, text);
    free(text);
    return plain;
}

/* Looks below one cache root; true when the search is over. */
static bool look_below(search_t *search, const char *root)
{
    char path[PATH_SIZE], commit[COMMIT_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", root, search->folder);
    if (n < 0 || (size_t)n >= sizeof path - COMMIT_MAX - sizeof "/snapshots/")
        return false;
    if (read_commit(path, commit)) {
        (void)snprintf(path + n, sizeof path - (size_t)n, "/snapshots/%s", commit);
        if (take(search, path))
            return true;
    } else {
        note_place(search, path);
    }
    (void)snprintf(path, sizeof path, "%s/%s", root, search->id);
    return take(search, path);
}

static bool look_below_variable(search_t *search, const char *variable, const char *below)
{
    const char *value = getenv(variable);
    char root[PATH_SIZE];
    if (!value || !*value)
        return false;
    int n = snprintf(root, sizeof root, "%s%s", value, below);
    return n > 0 && (size_t)n < sizeof root && look_below(search, root);
}

/* Copies the id without FS-LLM's suffix; false when it cannot be a hub id. */
static bool read_id(search_t *search, const char *id)
{
    size_t length = strlen(id);
    size_t suffix = strlen(FS_SUFFIX);
    if (length > suffix && strcmp(id + length - suffix, FS_SUFFIX) == 0)
        length -= suffix;
    if (length >= ID_MAX)
        return false;
    memcpy(search->id, id, length);
    search->id[length] = '\0';
    return is_hub_id(search->id);
}

/* A model in one file is another program's. */
static int refuse_file(const char *path, fmq_error_t *err)
{
    char what[LLM_FOREIGN_MAX];
    if (llm_foreign_describe(path, what))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "a model is given by its directory: %s",
                             what);
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                         "'%.160s' is a file; a model is given by its directory", path);
}

char *llm_hub_resolve(const char *id, const char *cache, fmq_error_t *err)
{
    search_t search = {0};
    if (take(&search, id))
        goto done;
    bool hub_id = read_id(&search, id);
    const char *file = llm_file_exists(id) ? id : llm_file_exists(search.id) ? search.id : NULL;
    if (file) {
        (void)refuse_file(file, err);
        return NULL;
    }
    if (strcmp(search.id, id) != 0 && *search.id && take(&search, search.id))
        goto done;
    if (hub_id) {
        name_folder(&search);
        if ((cache && *cache && look_below(&search, cache)) ||
            look_below_variable(&search, "HF_HOME", "/hub") ||
            look_below_variable(&search, "HF_HUB_CACHE", "") ||
            look_below_variable(&search, "HOME", "/.cache/huggingface/hub"))
            goto done;
        fmq_error_set(err, FMQ_ERR_NOTFOUND,
                      "no model '%s' on this machine: give its directory, or fetch it where there "
                      "is a network ('huggingface-cli download %s') and set llm.cache.model or "
                      "HF_HOME; looked at %s",
                      search.id, search.id, search.places);
        return NULL;
    }
    fmq_error_set(
        err, FMQ_ERR_NOTFOUND,
        "no model '%.200s': it is neither a directory nor an id like 'gpt2' or 'org/name'; "
        "looked at %s",
        id, search.places);
    return NULL;

done:
    if (!search.found)
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to find model '%s'", id);
    return search.found;
}
