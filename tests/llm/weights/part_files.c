/*
 * part_files.c - see part_files.h.
 */
#include "tests/llm/weights/part_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scene_init(scene_t *self, const llm_shape_t *shape)
{
    fmq_error_t err = {0};
    (void)snprintf(self->directory, sizeof self->directory, "/tmp/fedmq-parts-XXXXXX");
    assert_non_null(mkdtemp(self->directory));
    for (int i = 0; i <= LAYERS; i++)
        (void)snprintf(self->paths[i], sizeof self->paths[i], "%s/%d.part", self->directory, i);
    self->be = llm_backend_cpu_new(2, &err);
    self->shape = *shape;
    self->model = llm_model_new_random(shape, 3, self->be, &err);
    assert_non_null(self->model);
}

void scene_release(scene_t *self)
{
    for (int i = 0; i <= LAYERS; i++)
        (void)unlink(self->paths[i]);
    assert_int_equal(rmdir(self->directory), 0);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

/* All bytes of an image, the caller's. */
char *image_bytes(const llm_model_t *model, uint32_t part, size_t *size)
{
    fmq_error_t err = {0};
    llm_part_image_t *image = llm_part_image_new(model, part, &err);
    if (!image)
        fail_msg("%s", err.text);
    char *bytes = malloc((size_t)llm_part_image_bytes(image));
    *size = 0;
    for (size_t i = 0; i < llm_part_image_size(image); i++) {
        const llm_segment_t *segment = llm_part_image_at(image, i);
        memcpy(bytes + *size, segment->data, (size_t)segment->bytes);
        *size += (size_t)segment->bytes;
    }
    assert_int_equal(*size, llm_part_image_bytes(image));
    assert_null(llm_part_image_at(image, llm_part_image_size(image)));
    llm_part_image_destroy(&image);
    return bytes;
}

/* A new file: the old one may be mapped by a model. */
void write_file(const char *path, const void *bytes, size_t size)
{
    (void)unlink(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void write_parts(scene_t *self)
{
    for (uint32_t i = 0; i <= LAYERS; i++) {
        size_t size = 0;
        char *bytes = image_bytes(self->model, i < LAYERS ? i : LLM_PART_STEM, &size);
        write_file(self->paths[i], bytes, size);
        free(bytes);
    }
}

llm_model_t *compose_files(const scene_t *self, fmq_error_t *err)
{
    llm_part_origin_t layers[LAYERS], stem = {.path = self->paths[LAYERS]};
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (llm_part_origin_t){.path = self->paths[i]};
    return llm_model_compose(&self->shape, &stem, layers, self->be, err);
}

llm_model_t *composed(const scene_t *self)
{
    fmq_error_t err = {0};
    llm_model_t *model = compose_files(self, &err);
    if (!model)
        fail_msg("%s", err.text);
    return model;
}

void draft_init(draft_t *self, const char *path)
{
    fmq_error_t err = {0};
    *self = (draft_t){.weights = llm_weights_open(path, &err), .path = path};
    assert_non_null(self->weights);
    for (size_t i = 0; i < llm_weights_size(self->weights); i++) {
        const llm_tensor_view_t *view = llm_weights_at(self->weights, i);
        self->tensors[self->size] = (llm_part_tensor_t){.name = view->name,
                                                        .dtype = view->dtype_text,
                                                        .rank = view->rank,
                                                        .data = view->data,
                                                        .bytes = view->bytes};
        memcpy(self->tensors[self->size++].shape, view->shape, sizeof view->shape);
    }
}

llm_part_tensor_t *draft_at(draft_t *self, const char *name)
{
    for (size_t i = 0; i < self->size; i++)
        if (strcmp(self->tensors[i].name, name) == 0)
            return &self->tensors[i];
    fail_msg("no tensor '%s'", name);
    return NULL;
}

void draft_add(draft_t *self, const llm_part_tensor_t *tensor)
{
    self->tensors[self->size++] = *tensor;
}

void draft_remove(draft_t *self, const char *name)
{
    llm_part_tensor_t *gone = draft_at(self, name);
    *gone = self->tensors[--self->size];
}

/* Replaces the file, or leaves it when compose is to be refused anyway. */
void draft_save(draft_t *self)
{
    fmq_error_t err = {0};
    if (llm_part_save(self->path, self->tensors, self->size, &err) < 0)
        fail_msg("%s", err.text);
    llm_weights_close(&self->weights);
}

/* Puts codes and scales in the place of the gate's weight. */
void quantize(draft_t *draft, uint32_t bits, uint64_t group, uint8_t *codes, float *scales)
{
    draft_remove(draft, QUANTIZED);
    uint64_t width = 16 * bits / 8, groups = (16 + group - 1) / group;
    for (size_t i = 0; i < 20 * width; i++)
        codes[i] = (uint8_t)(37 * i + 11);
    tiny_normal(scales, 20 * groups, 0.01, 5);
    draft_add(draft,
              &(llm_part_tensor_t){QUANTIZED ".codes", "U8", 2, {20, width}, codes, 20 * width});
    draft_add(draft, &(llm_part_tensor_t){
                         QUANTIZED ".scales", "F32", 2, {20, groups}, scales, 80 * groups});
}

/* Every third weight stays; the others become zero. */
void sparsify(draft_t *draft, uint8_t mask[48], float *values)
{
    llm_part_tensor_t *dense = draft_at(draft, SPARSE);
    size_t kept = 0;
    memset(mask, 0, 48);
    for (size_t i = 0; i < 24 * 16; i += 3) {
        mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << i % 8);
        memcpy(&values[kept++], (const char *)dense->data + 4 * i, sizeof *values);
    }
    draft_remove(draft, SPARSE);
    draft_add(draft, &(llm_part_tensor_t){SPARSE ".mask", "U8", 1, {48}, mask, 48});
    draft_add(draft, &(llm_part_tensor_t){SPARSE ".values", "F32", 1, {kept}, values, 4 * kept});
}
