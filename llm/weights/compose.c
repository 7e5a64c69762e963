/*
 * compose.c - a model put together from layers and a stem that an open model
 * lends or a part file holds.  Copies no weight.
 */
#include "fedmq/llm/parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "llm/weights/build.h"
#include "llm/weights/part.h"

/* "the stem" or "layer 3", for error texts. */
#define PART_TEXT_MAX 24
static void part_text(const llm_model_t *self, uint32_t number, char out[PART_TEXT_MAX])
{
    if (number == self->shape.layers)
        (void)snprintf(out, PART_TEXT_MAX, "the stem");
    else
        (void)snprintf(out, PART_TEXT_MAX, "layer %u", number);
}

static int borrow(llm_model_t *self, uint32_t number, const llm_part_origin_t *origin,
                  fmq_error_t *err)
{
    llm_model_part_t *part = &self->parts[number];
    const llm_model_t *lender = origin->model;
    if (!llm_shape_same_family(&lender->shape, &self->shape))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the model that is to lend it has another shape");
    if (number < self->shape.layers && origin->layer >= lender->shape.layers)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "layer %u is to be borrowed from a model of %u layers", origin->layer,
                             lender->shape.layers);
    if (number < self->shape.layers &&
        !llm_shape_same_layer(&lender->shape, origin->layer, &self->shape, number))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "layer %u of the model that is to lend it is of another kind (what it "
                             "attends to, or whether it turns queries and keys)",
                             origin->layer);
    part->lender = lender;
    part->layer = origin->layer;
    if (number < self->shape.layers) {
        part->ffn = lender->parts[origin->layer].ffn;
        llm_parameters_narrow(&self->parameters, &self->shape, number, part->ffn);
    }
    return 0;
}

static int take(llm_model_t *self, uint32_t number, const llm_part_origin_t *origin,
                fmq_error_t *err)
{
    int rc = 0;
    if (origin->model)
        rc = borrow(self, number, origin, err);
    else if (origin->path)
        rc = llm_part_open(self, number, origin->path, err);
    else
        rc = fmq_error_set(err, FMQ_ERR_INTERNAL, "neither a model nor a part file is given");
    if (rc < 0) {
        char text[PART_TEXT_MAX];
        part_text(self, number, text);
        fmq_error_prefix(err, "%s", text);
    }
    return rc;
}

llm_model_t *llm_model_compose(const llm_shape_t *shape, const llm_part_origin_t *stem,
                               const llm_part_origin_t *layers, llm_backend_t *be, fmq_error_t *err)
{
    if (shape->layers < 1 || shape->layers > LLM_LAYERS_MAX) {
        fmq_error_set(err, FMQ_ERR_MISMATCH,
                      "a model of %u layers is to be composed, not of 1 to %d", shape->layers,
                      LLM_LAYERS_MAX);
        return NULL;
    }
    llm_model_t *self = llm_model_shell_new(shape, "", err);
    if (!self)
        return NULL;
    for (uint32_t l = 0; l < shape->layers; l++) {
        if (take(self, l, &layers[l], err) < 0)
            goto fail;
    }
    if (take(self, shape->layers, stem, err) < 0 || llm_model_finish(self, be, err) < 0)
        goto fail;
    return self;
fail:
    llm_model_destroy(&self);
    return NULL;
}
