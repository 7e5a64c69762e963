/*
 * publish.c - the server's end: parts of the client's model as objects, whose
 * bytes stay where they are.  What the client's model lacks is not touched.
 */
#include "actors/model_transfer/manifest.h"
#include "actors/model_transfer/part_object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const readers[] = {"@client", "@evaluator"};

/* Publishes and gives the reference back. */
static int offer(fmq_link_t *link, fmq_object_t *object, fmq_blob_t *part, fmq_error_t *err)
{
    if (!object)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < sizeof readers / sizeof *readers && rc == 0; i++)
        rc = fmq_link_publish(link, object, readers[i], err);
    *part = (fmq_blob_t){.digest = *fmq_object_digest(object), .bytes = fmq_object_bytes(object)};
    fmq_object_drop(&object);
    return rc;
}

/* The bytes of a tokenizer's file.  NULL without err when there is none. */
static char *load_file(const char *directory, const char *name, size_t *size, fmq_error_t *err)
{
    char path[4096];
    char *bytes = NULL;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "the path of '%s' is too long", name);
        return NULL;
    }
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        if (errno != ENOENT)
            fmq_error_set(err, FMQ_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    long length = fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    if (length > (long)LLM_TOKENIZER_FILE_MAX)
        fmq_error_set(err, FMQ_ERR_LIMIT, "'%s' has more than %u bytes", path,
                      LLM_TOKENIZER_FILE_MAX);
    else if (length < 0 || fseek(stream, 0, SEEK_SET) != 0)
        fmq_error_set(err, FMQ_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    else if (!(bytes = malloc((size_t)length + 1)))
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for '%s'", path);
    if (bytes && fread(bytes, 1, (size_t)length, stream) != (size_t)length) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot read '%s'", path);
        free(bytes);
        bytes = NULL;
    }
    *size = length < 0 ? 0 : (size_t)length;
    (void)fclose(stream);
    return bytes;
}

static int offer_files(fmq_link_t *link, const char *directory, fmq_manifest_t *manifest,
                       fmq_error_t *err)
{
    const char *name;
    for (size_t i = 0; (name = fmq_manifest_file_name(i)) != NULL; i++) {
        size_t size = 0;
        fmq_error_t why = {0};
        char *bytes = load_file(directory, name, &size, &why);
        if (!bytes && why.code == FMQ_OK)
            continue;
        if (!bytes)
            return fmq_error_copy(err, &why);
        fmq_manifest_file_t *file = &manifest->file[manifest->files];
        (void)snprintf(file->name, sizeof file->name, "%s", name);
        int rc = 0;
        if (size > 0)
            rc = offer(link, fmq_object_from_bytes(bytes, size, err), &file->part, err);
        free(bytes);
        if (rc < 0)
            return fmq_error_prefix(err, "'%s/%s'", directory, name);
        manifest->files += size > 0;
    }
    return 0;
}

static int offer_parts(fmq_link_t *link, const fmq_model_offer_t *what, fmq_manifest_t *manifest,
                       fmq_error_t *err)
{
    const llm_model_t *student = what->offsite->student;
    for (uint32_t i = 0; i <= manifest->layers; i++) {
        uint32_t part = i == 0 ? LLM_PART_STEM : i - 1;
        fmq_blob_t *place = i == 0 ? &manifest->stem : &manifest->parts[i - 1];
        fmq_object_t *object = fmq_part_object(student, part, what->pins, err);
        if (offer(link, object, place, err) < 0)
            return fmq_error_prefix(err, "cannot publish part %u of the client's model", i);
    }
    return 0;
}

static int describe(const llm_offsite_t *offsite, fmq_manifest_t *manifest, fmq_error_t *err)
{
    char *config = llm_shape_text(offsite->full, err);
    if (!config)
        return -1;
    int length = snprintf(manifest->config, sizeof manifest->config, "%s", config);
    free(config);
    if (length < 0 || (size_t)length >= sizeof manifest->config)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the model's configuration has %d bytes", length);
    manifest->l = offsite->l;
    manifest->r = offsite->r;
    manifest->behind = offsite->behind;
    manifest->layers = llm_model_shape(offsite->student)->layers;
    memcpy(manifest->source, offsite->source, manifest->layers * sizeof *manifest->source);
    return 0;
}

int fmq_model_publish(fmq_link_t *link, const fmq_model_offer_t *what, fmq_blob_t *manifest,
                      fmq_error_t *err)
{
    fmq_manifest_t *self = calloc(1, sizeof *self);
    uint8_t *bytes = malloc(FMQ_MANIFEST_MAX);
    int rc = -1;
    size_t size = 0;
    if (!self || !bytes)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a manifest");
    else if (describe(what->offsite, self, err) == 0 && offer_parts(link, what, self, err) == 0 &&
             offer_files(link, what->tokenizer, self, err) == 0)
        size = fmq_manifest_encode(self, bytes, FMQ_MANIFEST_MAX, err);
    if (size > 0)
        rc = offer(link, fmq_object_from_bytes(bytes, size, err), manifest, err);
    free(bytes);
    free(self);
    return rc;
}
