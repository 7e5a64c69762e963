/*
 * part_object.c - a part of an open model as an object, and whether a model
 * has the parts of a manifest.
 */
#include "actors/model_transfer/part_object.h"

#include <stdlib.h>

#include "actors/model_transfer/pins.h"

typedef struct {
    llm_part_image_t *image; /* owned */
    fmq_pins_t *pins;        /* or NULL */
} loan_t;

static void end_loan(void *argument)
{
    loan_t *self = argument;
    fmq_pins_t *pins = self->pins;
    llm_part_image_destroy(&self->image);
    free(self);
    if (pins)
        fmq_pins_give(pins);
}

static fmq_object_t *borrow(loan_t *loan, fmq_error_t *err)
{
    size_t count = llm_part_image_size(loan->image);
    fmq_segment_t *segments = calloc(count ? count : 1, sizeof *segments);
    if (!segments) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a part's segments");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const llm_segment_t *segment = llm_part_image_at(loan->image, i);
        segments[i] = (fmq_segment_t){.data = segment->data, .bytes = segment->bytes};
    }
    fmq_object_t *object = fmq_object_borrow(segments, count, end_loan, loan, err);
    free(segments);
    return object;
}

fmq_object_t *fmq_part_object(const llm_model_t *model, uint32_t part, fmq_pins_t *pins,
                              fmq_error_t *err)
{
    fmq_object_t *object = NULL;
    loan_t *loan = calloc(1, sizeof *loan);
    if (!loan) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a part");
        return NULL;
    }
    loan->image = llm_part_image_new(model, part, err);
    if (loan->image)
        object = borrow(loan, err);
    if (!object) {
        llm_part_image_destroy(&loan->image);
        free(loan);
        return NULL;
    }
    if (pins)
        fmq_pins_take(pins);
    loan->pins = pins;
    return object;
}

static int match(const llm_model_t *full, uint32_t part, const fmq_blob_t *expected,
                 fmq_error_t *err)
{
    fmq_object_t *object = fmq_part_object(full, part, NULL, err);
    if (!object)
        return -1;
    bool same = fmq_digest_equal(fmq_object_digest(object), &expected->digest);
    fmq_object_drop(&object);
    if (same)
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH, "the model in '%s' is not the run's",
                         llm_model_directory(full));
}

int fmq_model_match(const llm_model_t *full, const fmq_manifest_t *manifest, fmq_error_t *err)
{
    llm_shape_t shape;
    if (fmq_manifest_shape(manifest, &shape, err) < 0)
        return -1;
    if (llm_model_shape(full)->layers != shape.layers)
        return fmq_error_set(
            err, FMQ_ERR_MISMATCH, "the model in '%s' has %u layers, the run's has %u",
            llm_model_directory(full), llm_model_shape(full)->layers, shape.layers);
    if (match(full, LLM_PART_STEM, &manifest->stem, err) < 0)
        return -1;
    for (uint32_t i = 0; i < manifest->layers; i++)
        if ((i < manifest->l || i >= manifest->behind) &&
            match(full, manifest->source[i], &manifest->parts[i], err) < 0)
            return -1;
    return 0;
}
