/*
 * assemble.c - the client's model and its tokenizer from the files of a cache.
 */
#include "actors/model_transfer/manifest.h"
#include "actors/storage/blob_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *path_of(const char *directory, const fmq_blob_t *part, fmq_error_t *err)
{
    return fmq_blob_cache_path(directory, &part->digest, err);
}

static llm_emulator_t *assemble(const char *directory, const fmq_manifest_t *manifest,
                                const llm_adapter_spec_t *spec, llm_backend_t *be, fmq_error_t *err)
{
    llm_emulator_t *emulator = NULL;
    char *stem = path_of(directory, &manifest->stem, err);
    char **parts = calloc(manifest->layers, sizeof *parts);
    llm_emulator_files_t files = {.l = manifest->l,
                                  .r = manifest->r,
                                  .behind = manifest->behind,
                                  .source = manifest->source,
                                  .layers = manifest->layers,
                                  .stem = stem,
                                  .parts = (const char *const *)parts,
                                  .adapter = *spec};
    bool ready = stem && parts;
    if (!parts)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model's parts");
    for (uint32_t i = 0; ready && i < manifest->layers; i++)
        ready = (parts[i] = path_of(directory, &manifest->parts[i], err)) != NULL;
    if (ready && fmq_manifest_shape(manifest, &files.full, err) == 0)
        emulator = llm_emulator_assemble(&files, be, err);
    for (uint32_t i = 0; parts && i < manifest->layers; i++)
        free(parts[i]);
    free(parts);
    free(stem);
    return emulator;
}

/* Puts a name for a file of the cache into a folder that lies in it. */
static int link_file(const char *folder, const fmq_manifest_file_t *file, fmq_error_t *err)
{
    char hex[FMQ_DIGEST_HEX_SIZE], target[FMQ_DIGEST_HEX_SIZE + 3], path[4096];
    fmq_digest_hex(&file->part.digest, hex);
    (void)snprintf(target, sizeof target, "../%s", hex);
    (void)snprintf(path, sizeof path, "%s/%s", folder, file->name);
    if (symlink(target, path) == 0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_IO, "cannot make '%s': %s", path, strerror(errno));
}

static void remove_folder(const char *folder, const fmq_manifest_t *manifest)
{
    for (uint32_t i = 0; i < manifest->files; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", folder, manifest->file[i].name);
        (void)unlink(path);
    }
    char config[4096];
    (void)snprintf(config, sizeof config, "%s/config.json", folder);
    (void)unlink(config);
    (void)rmdir(folder);
}

/* Which tokens end a text, the model's configuration says too. */
static int write_config(const char *folder, const fmq_manifest_t *manifest, fmq_error_t *err)
{
    char path[4096];
    llm_shape_t shape;
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    return fmq_manifest_shape(manifest, &shape, err) < 0 ? -1 : llm_shape_save(&shape, path, err);
}

/* A tokenizer is opened by a folder with its files: one is made for that
 * moment, for a tokenizer keeps no file open. */
static llm_tokenizer_t *open_tokenizer(const char *directory, const fmq_manifest_t *manifest,
                                       fmq_error_t *err)
{
    char folder[4096];
    llm_tokenizer_t *tokenizer = NULL;
    if (snprintf(folder, sizeof folder - FMQ_MANIFEST_NAME_MAX, "%s/tokenizer.XXXXXX", directory) >=
        (int)sizeof folder - FMQ_MANIFEST_NAME_MAX) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "the path '%.80s...' is too long", directory);
        return NULL;
    }
    if (!mkdtemp(folder)) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot make a folder in '%s': %s", directory,
                      strerror(errno));
        return NULL;
    }
    int rc = write_config(folder, manifest, err);
    for (uint32_t i = 0; i < manifest->files && rc == 0; i++)
        rc = link_file(folder, &manifest->file[i], err);
    if (rc == 0)
        tokenizer = llm_tokenizer_open(folder, err);
    remove_folder(folder, manifest);
    return tokenizer;
}

int fmq_assembled_open(fmq_assembled_t *self, const char *directory, const fmq_manifest_t *manifest,
                       const llm_adapter_spec_t *spec, llm_backend_t *be, fmq_error_t *err)
{
    fmq_assembled_t student = {.tokenizer = open_tokenizer(directory, manifest, err)};
    if (student.tokenizer)
        student.emulator = assemble(directory, manifest, spec, be, err);
    if (!student.emulator) {
        fmq_assembled_close(&student);
        return fmq_error_prefix(err, "the run's model cannot be put together");
    }
    *self = student;
    return 0;
}

void fmq_assembled_close(fmq_assembled_t *self)
{
    llm_emulator_destroy(&self->emulator);
    llm_tokenizer_destroy(&self->tokenizer);
}
