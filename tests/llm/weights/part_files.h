/*
 * part_files.h - a random model and the files of its parts, for tests to
 * compose, to change and to spoil.
 */
#ifndef FEDMQ_TESTS_LLM_WEIGHTS_PART_FILES_H
#define FEDMQ_TESTS_LLM_WEIGHTS_PART_FILES_H

#include "fedmq/llm/parts.h"
#include "tests/llm/pass/tiny.h"

#define LAYERS 2

/* A random model, a directory for its parts, and where they would lie. */
typedef struct {
    char directory[64], paths[LAYERS + 1][96]; /* layers, then the stem */
    llm_backend_t *be;
    llm_shape_t shape;
    llm_model_t *model;
} scene_t;

void scene_init(scene_t *self, const llm_shape_t *shape);
void scene_release(scene_t *self); /* removes the files */

/* All bytes of an image, the caller's. */
char *image_bytes(const llm_model_t *model, uint32_t part, size_t *size);
/* A new file: the old one may be mapped by a model. */
void write_file(const char *path, const void *bytes, size_t size);
/* The parts of scene.model, to where they lie. */
void write_parts(scene_t *self);

/* The model that the files make; composed() fails the test where there is none. */
llm_model_t *compose_files(const scene_t *self, fmq_error_t *err);
llm_model_t *composed(const scene_t *self);

/* The tensors of a layer's part file as they stand, for tests to change. */
typedef struct {
    llm_weights_t *weights;
    llm_part_tensor_t tensors[40];
    size_t size;
    const char *path;
} draft_t;

void draft_init(draft_t *self, const char *path);
llm_part_tensor_t *draft_at(draft_t *self, const char *name);
void draft_add(draft_t *self, const llm_part_tensor_t *tensor);
void draft_remove(draft_t *self, const char *name);
void draft_save(draft_t *self); /* replaces the file, and releases the draft */

/* Puts codes and scales in the place of the gate's weight of tiny_llama(). */
#define QUANTIZED "mlp.gate_proj.weight" /* [20][16] */
void quantize(draft_t *draft, uint32_t bits, uint64_t group, uint8_t *codes, float *scales);

/* Every third weight of the queries stays; the others become zero. */
#define SPARSE "self_attn.q_proj.weight" /* [24][16] */
void sparsify(draft_t *draft, uint8_t mask[48], float *values);

#endif
