/*
 * part_object.c - a part of an open model as an object, and whether a model
 * has the parts of a manifest.
 */
#include "actors/layers/part_object.h"

#include <stdlib.h>

static void release_image(void *argument)
{
    llm_part_image_t *image = argument;
    llm_part_image_destroy(&image);
}

fmq_object_t *fmq_part_object(const llm_model_t *model, uint32_t part, fmq_error_t *err)
{
    llm_part_image_t *image = llm_part_image_new(model, part, err);
    if (!image)
        return NULL;
    size_t count = llm_part_image_size(image);
    fmq_object_t *object = NULL;
    fmq_segment_t *segments = calloc(count ? count : 1, sizeof *segments);
    if (segments) {
        for (size_t i = 0; i < count; i++)
            segments[i] = (fmq_segment_t){.data = llm_part_image_at(image, i)->data,
                                          .bytes = llm_part_image_at(image, i)->bytes};
        object = fmq_object_borrow(segments, count, release_image, image, err);
    } else {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a part's segments");
    }
    if (!object)
        llm_part_image_destroy(&image);
    free(segments);
    return object;
}

static int match(const llm_model_t *full, uint32_t part, const fmq_part_t *expected,
                 fmq_error_t *err)
{
    fmq_object_t *object = fmq_part_object(full, part, err);
    if (!object)
        return -1;
    bool same = fmq_digest_equal(fmq_object_digest(object), &expected->digest);
    fmq_object_drop(&object);
    if (same)
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH, "the model in '%s' is not the run's",
                         llm_model_directory(full));
}

int fmq_layers_match(const llm_model_t *full, const fmq_manifest_t *manifest, fmq_error_t *err)
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
