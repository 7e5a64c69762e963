/*
 * manifest.c - what a client's model is made of, as msgpack, and its checks:
 * [version, config, l, r, behind, source, parts, files].
 */
#include "actors/model_transfer/manifest.h"

#include <inttypes.h>
#include <string.h>

#include "fedmq/broker/object.h"
#include "fedmq/broker/pack.h"

#define VERSION     1
#define ITEMS       8
#define OBJECT_MAX  ((uint64_t)FMQ_OBJECT_CHUNKS_MAX * FMQ_CHUNK_MAX)
#define HEADER_MAX  (UINT64_C(1) << 20) /* of a part file, generously */
#define ELEMENT_MAX 8 /* bytes that a parameter may cost: quantized, sparse or dense */

static const char *const file_names[FMQ_MANIFEST_FILES_MAX + 1] = {"tokenizer.json",
                                                                   "tokenizer_config.json",
                                                                   "special_tokens_map.json",
                                                                   "added_tokens.json",
                                                                   "vocab.json",
                                                                   "merges.txt",
                                                                   "generation_config.json"};

const char *fmq_manifest_file_name(size_t index)
{
    return index < FMQ_MANIFEST_FILES_MAX ? file_names[index] : NULL;
}

const fmq_blob_t *fmq_manifest_at(const fmq_manifest_t *self, size_t index)
{
    if (index == 0)
        return &self->stem;
    if (index <= self->layers)
        return &self->parts[index - 1];
    index -= 1 + self->layers;
    return index < self->files ? &self->file[index].part : NULL;
}

bool fmq_manifest_repeats(const fmq_manifest_t *self, size_t index)
{
    const fmq_blob_t *part = fmq_manifest_at(self, index);
    for (size_t i = 0; i < index; i++)
        if (fmq_digest_equal(&fmq_manifest_at(self, i)->digest, &part->digest))
            return true;
    return false;
}

uint64_t fmq_manifest_bytes(const fmq_manifest_t *self)
{
    const fmq_blob_t *part;
    uint64_t bytes = 0;
    for (size_t i = 0; (part = fmq_manifest_at(self, i)) != NULL; i++)
        if (!fmq_manifest_repeats(self, i))
            bytes += part->bytes;
    return bytes;
}

static void pack_part(fmq_packer_t *packer, const fmq_blob_t *part)
{
    fmq_pack_array(packer, 2);
    fmq_pack_bin(packer, part->digest.bytes, sizeof part->digest.bytes);
    fmq_pack_uint(packer, part->bytes);
}

size_t fmq_manifest_encode(const fmq_manifest_t *self, void *out, size_t capacity, fmq_error_t *err)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, capacity);
    fmq_pack_array(&packer, ITEMS);
    fmq_pack_uint(&packer, VERSION);
    fmq_pack_str(&packer, self->config);
    fmq_pack_uint(&packer, self->l);
    fmq_pack_uint(&packer, self->r);
    fmq_pack_uint(&packer, self->behind);
    fmq_pack_array(&packer, self->layers);
    for (uint32_t i = 0; i < self->layers; i++)
        fmq_pack_uint(&packer, self->source[i]);
    fmq_pack_array(&packer, 1 + self->layers);
    for (uint32_t i = 0; i <= self->layers; i++)
        pack_part(&packer, fmq_manifest_at(self, i));
    fmq_pack_map(&packer, self->files);
    for (uint32_t i = 0; i < self->files; i++) {
        fmq_pack_str(&packer, self->file[i].name);
        pack_part(&packer, &self->file[i].part);
    }
    return fmq_packer_end(&packer, err);
}

static void unpack_part(fmq_unpacker_t *in, fmq_blob_t *part, uint64_t most)
{
    if (fmq_unpack_array(in, 2) != 2)
        fmq_unpack_fail(in, "a part is a digest and a size");
    fmq_unpack_bin_exact(in, part->digest.bytes, sizeof part->digest.bytes);
    part->bytes = fmq_unpack_uint(in, most);
    if (part->bytes == 0)
        fmq_unpack_fail(in, "a part has bytes");
}

static void unpack_file(fmq_unpacker_t *in, fmq_manifest_t *out)
{
    fmq_manifest_file_t *file = &out->file[out->files];
    bool known = false;
    fmq_unpack_str(in, file->name, sizeof file->name);
    for (size_t i = 0; file_names[i]; i++)
        known |= strcmp(file_names[i], file->name) == 0;
    for (uint32_t i = 0; i < out->files; i++)
        known &= strcmp(out->file[i].name, file->name) != 0;
    if (!known)
        fmq_unpack_fail(in, "a file's name is not one of a tokenizer's, or is there twice");
    unpack_part(in, &file->part, LLM_TOKENIZER_FILE_MAX);
    out->files++;
}

/* A's layers stand for themselves; E's lie in [l, r), in order. */
static bool source_makes_sense(const fmq_manifest_t *self)
{
    uint32_t layers = self->layers;
    if (layers == 0 || self->l >= self->r || self->r > LLM_LAYERS_MAX || self->l >= self->behind ||
        self->behind > layers || self->behind - self->l > self->r - self->l ||
        layers - self->behind > LLM_LAYERS_MAX - self->r)
        return false;
    for (uint32_t i = 0; i < layers; i++) {
        uint32_t source = self->source[i];
        if (i < self->l && source != i)
            return false;
        if (i >= self->behind && source != self->r + (i - self->behind))
            return false;
        if (i > 0 && source <= self->source[i - 1])
            return false;
    }
    return true;
}

static void unpack(fmq_unpacker_t *in, fmq_manifest_t *out)
{
    if (fmq_unpack_array(in, ITEMS) != ITEMS || fmq_unpack_uint(in, UINT32_MAX) != VERSION)
        fmq_unpack_fail(in, "a manifest of another version");
    fmq_unpack_str(in, out->config, sizeof out->config);
    out->l = (uint32_t)fmq_unpack_uint(in, LLM_LAYERS_MAX);
    out->r = (uint32_t)fmq_unpack_uint(in, LLM_LAYERS_MAX);
    out->behind = (uint32_t)fmq_unpack_uint(in, LLM_LAYERS_MAX);
    out->layers = fmq_unpack_array(in, LLM_LAYERS_MAX);
    for (uint32_t i = 0; i < out->layers; i++)
        out->source[i] = (uint32_t)fmq_unpack_uint(in, LLM_LAYERS_MAX - 1);
    if (!fmq_unpack_failed(in) && !source_makes_sense(out))
        fmq_unpack_fail(in, "layers that are no emulator between two ends of a model");
    if (fmq_unpack_array(in, LLM_LAYERS_MAX + 1) != out->layers + 1)
        fmq_unpack_fail(in, "there is a part for the stem and each layer");
    unpack_part(in, &out->stem, OBJECT_MAX);
    for (uint32_t i = 0; i < out->layers && !fmq_unpack_failed(in); i++)
        unpack_part(in, &out->parts[i], OBJECT_MAX);
    uint32_t files = fmq_unpack_map(in, FMQ_MANIFEST_FILES_MAX);
    for (uint32_t i = 0; i < files && !fmq_unpack_failed(in); i++)
        unpack_file(in, out);
}

int fmq_manifest_decode(fmq_manifest_t *out, const void *data, size_t size, fmq_error_t *err)
{
    fmq_manifest_t read;
    fmq_unpacker_t in;
    memset(&read, 0, sizeof read);
    fmq_unpacker_init(&in, data, size);
    unpack(&in, &read);
    if (fmq_unpack_done(&in, err) < 0)
        return fmq_error_prefix(err, "manifest");
    memcpy(out, &read, sizeof read);
    return 0;
}

static int check_size(const fmq_blob_t *part, const char *what, uint64_t parameters,
                      fmq_error_t *err)
{
    uint64_t most = ELEMENT_MAX * parameters + HEADER_MAX;
    if (part->bytes <= most)
        return 0;
    return fmq_error_set(err, FMQ_ERR_LIMIT,
                         "manifest: %s has %" PRIu64 " bytes where such a model's has %" PRIu64
                         " at most",
                         what, part->bytes, most);
}

int fmq_manifest_shape(const fmq_manifest_t *self, llm_shape_t *full, fmq_error_t *err)
{
    llm_shape_t shape, none;
    if (llm_shape_parse(&shape, "config.json", self->config, strlen(self->config), err) < 0)
        return fmq_error_prefix(err, "manifest");
    if (shape.layers != self->r + self->layers - self->behind)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "manifest: its model has %u layers, its parts are of one with %u",
                             shape.layers, self->r + self->layers - self->behind);
    none = shape;
    none.layers = 0;
    uint64_t stem = llm_shape_parameters(&none);
    uint64_t layer = (llm_shape_parameters(&shape) - stem) / shape.layers;
    if (check_size(&self->stem, "the stem", stem, err) < 0)
        return -1;
    for (uint32_t i = 0; i < self->layers; i++)
        if (check_size(&self->parts[i], "a layer", layer, err) < 0)
            return -1;
    *full = shape;
    return 0;
}
