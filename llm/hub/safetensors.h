/*
 * safetensors.h - one safetensors file: its header, checked or made.
 *
 * Private to the hub.  The format: 8 bytes of header length, a JSON header,
 * the tensors' bytes without gaps
 * (https://github.com/huggingface/safetensors#format).
 */
#ifndef FEDMQ_LLM_HUB_SAFETENSORS_H
#define FEDMQ_LLM_HUB_SAFETENSORS_H

#include <stdio.h>

#include "fedmq/llm/hub.h"

typedef struct {
    char *path;                 /* owned */
    void *map;                  /* owned mapping, or NULL */
    size_t size;                /* bytes of the mapping */
    llm_tensor_view_t *tensors; /* owned, by offset; names lie behind each */
    size_t count;
} llm_safetensors_t;

/* Maps and checks a file.  On failure *file is released. */
int llm_safetensors_open(llm_safetensors_t *file, const char *path, fmq_error_t *err);

/* Fills tensors from size bytes at data, which must stay; file->path is named
 * in errors.  On failure llm_safetensors_release() frees what there is. */
int llm_safetensors_parse(llm_safetensors_t *file, const void *data, size_t size, fmq_error_t *err);

void llm_safetensors_release(llm_safetensors_t *file);

/* Bytes of one element of a dtype, by the format's word; 0 when unknown. */
unsigned llm_safetensors_element_size(const char *dtype);

/* What a header says of one tensor. */
typedef struct {
    const char *name, *dtype;
    uint32_t rank;
    const uint64_t *shape;
    uint64_t bytes;
} llm_safetensors_entry_t;

/* The first *size bytes, the caller's, of a file that holds these tensors in
 * this order; the same entries give the same bytes.  path is named in errors. */
char *llm_safetensors_header(const char *path, const llm_safetensors_entry_t *entries, size_t count,
                             size_t *size, fmq_error_t *err);

/* Writes such a file (temporary, fsync, rename).  write() puts the bytes of
 * tensor index into the stream; a value other than 0, or an error of the
 * stream, ends it. */
typedef int(llm_safetensors_write_fn)(void *argument, size_t index, FILE *stream);
typedef struct {
    const llm_safetensors_entry_t *entries;
    size_t count;
    llm_safetensors_write_fn *write;
    void *argument;
} llm_safetensors_content_t;
int llm_safetensors_write(const char *path, const llm_safetensors_content_t *content,
                          fmq_error_t *err);

/* "[2, 3]" for error texts. */
#define LLM_SHAPE_TEXT_MAX 96
void llm_safetensors_shape_text(char out[LLM_SHAPE_TEXT_MAX], uint32_t rank, const uint64_t *shape);

#endif
