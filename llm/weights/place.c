/*
 * place.c - hands a model's tensors to devices, and takes over those that
 * another model lends.  Reads no file itself.
 *
 * Matrices are made by the instance of whoever asks, with all its threads;
 * vectors belong to an instance that the placement keeps, so that an asker may
 * go before the model does.
 */
#include "llm/weights/placement.h"

#include <stdlib.h>
#include <string.h>

#include "llm/backend/instance.h"
#include "llm/weights/build.h"
#include "llm/weights/source.h"

/* What one part is placed with. */
typedef struct {
    const llm_model_t *model;
    llm_placement_t *placement;
    llm_backend_t *be; /* borrowed: the asker's */
} placing_t;

static llm_matrix_t **matrix_slot(llm_placement_t *self, const llm_parameter_t *parameter)
{
    if (parameter->bias || parameter->rank == 1)
        return NULL;
    switch (parameter->role) {
    case LLM_ROLE_TOKENS:
        return &self->stem.tokens;
    case LLM_ROLE_HEAD:
        return &self->stem.head;
    case LLM_ROLE_MODULE:
        return &self->layers[parameter->layer].linear[parameter->module].weight;
    default:
        return NULL;
    }
}

static float **vector_slot(llm_placement_t *self, const llm_parameter_t *parameter)
{
    llm_placed_norm_t *norm = NULL;
    switch (parameter->role) {
    case LLM_ROLE_MODULE:
        return &self->layers[parameter->layer].linear[parameter->module].bias;
    case LLM_ROLE_NORM:
        norm = &self->layers[parameter->layer].norms[parameter->norm];
        break;
    case LLM_ROLE_NORM_FINAL:
        norm = &self->stem.norm_final;
        break;
    case LLM_ROLE_NORM_EMBEDDING:
        norm = &self->stem.norm_embedding;
        break;
    case LLM_ROLE_HEAD:
        return &self->stem.head_bias;
    default:
        return &self->stem.positions;
    }
    return parameter->bias ? &norm->bias : &norm->weight;
}

static llm_matrix_t *quantized_matrix(llm_backend_t *be, const llm_source_t *source, size_t out,
                                      size_t in, bool major)
{
    llm_quantized_t data = {.codes = source->main.data,
                            .scales = source->more.data,
                            .bits = source->bits,
                            .group = (size_t)source->group};
    return be->ops->matrix_new_quantized(be, &data, out, in, major);
}

static llm_matrix_t *dense_matrix(llm_backend_t *be, const llm_stored_t *stored, size_t out,
                                  size_t in, bool major, llm_matrix_form_t form)
{
    if (form == LLM_FORM_F32)
        return be->ops->matrix_new(be, stored->data, stored->dtype, out, in, major);
    return be->ops->matrix_new_form(be, stored->data, stored->dtype, out, in, major, form);
}

/* Other weights that are stored in pieces are put together first. */
static llm_matrix_t *decoded_matrix(llm_backend_t *be, const llm_source_t *source, size_t out,
                                    size_t in, bool major, llm_matrix_form_t form)
{
    float *host = malloc((size_t)source->count * sizeof *host);
    if (!host)
        return NULL;
    llm_source_read(source, host);
    const llm_stored_t whole = {.data = host, .dtype = FMQ_F32};
    llm_matrix_t *matrix = dense_matrix(be, &whole, out, in, major, form);
    free(host);
    return matrix;
}

static bool has_form(const llm_backend_t *be, llm_matrix_form_t form)
{
    return form == LLM_FORM_F32 || (be->ops->matrix_new_form && be->ops->forms >> form & 1);
}

/* What a matrix is kept as; -1 with err when it was chosen and cannot be. */
static int choose_form(const placing_t *self, const llm_parameter_t *parameter,
                       llm_matrix_form_t *out, fmq_error_t *err)
{
    const llm_form_choice_t *choice = &self->model->form;
    bool half = self->be->ops->act == FMQ_BF16 && has_form(self->be, LLM_FORM_BF16);
    llm_matrix_form_t form = choice->given ? choice->form : half ? LLM_FORM_BF16 : LLM_FORM_F32;
    if (form > LLM_FORM_BF16 && parameter->role != LLM_ROLE_MODULE)
        form = LLM_FORM_BF16;
    if (!has_form(self->be, form))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "the '%s' backend keeps no weights as %s",
                             self->be->ops->name, llm_form_choice_name(choice));
    *out = form;
    return 0;
}

/* The elements of a source as a matrix; NULL: out of memory. */
static llm_matrix_t *matrix_of(llm_backend_t *be, const llm_source_t *source, size_t out, size_t in,
                               bool major, llm_matrix_form_t form)
{
    if (source->form == LLM_DENSE)
        return dense_matrix(be, &source->main, out, in, major, form);
    if (source->form == LLM_QUANTIZED && be->ops->matrix_new_quantized)
        return quantized_matrix(be, source, out, in, major);
    return decoded_matrix(be, source, out, in, major, form);
}

static int place_matrix(const placing_t *self, const llm_parameter_t *parameter,
                        llm_source_t *source, llm_matrix_t **slot, fmq_error_t *err)
{
    llm_matrix_form_t form = LLM_FORM_F32;
    bool major = parameter->role == LLM_ROLE_MODULE && self->model->shape.arch->input_major;
    size_t out = (size_t)parameter->shape[major ? 1 : 0];
    size_t in = (size_t)parameter->shape[major ? 0 : 1];
    if (choose_form(self, parameter, &form, err) < 0)
        return -1;
    if (source->form == LLM_DENSE && llm_source_align(source, err) < 0)
        return -1;
    *slot = matrix_of(self->be, source, out, in, major, form);
    if (!*slot)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a weight of %zu x %zu", out,
                             in);
    self->placement->bytes += self->be->ops->matrix_bytes(*slot);
    return 0;
}

/* Norms compute with whole weights. */
static void add_one(float *weights, size_t count)
{
    for (size_t i = 0; i < count; i++)
        weights[i] += 1.0f;
}

static int place_vector(const placing_t *self, const llm_parameter_t *parameter,
                        const llm_source_t *source, float **slot, fmq_error_t *err)
{
    llm_backend_t *keeper = self->placement->keeper;
    size_t bytes = (size_t)parameter->count * sizeof(float);
    float *host = malloc(bytes);
    *slot = keeper->ops->alloc(keeper, bytes);
    int rc = 0;
    if (!host || !*slot) {
        rc = fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a tensor of %zu bytes", bytes);
    } else {
        llm_source_read(source, host);
        if (self->model->shape.arch->norm_less_one && llm_parameter_is_norm_weight(parameter))
            add_one(host, (size_t)parameter->count);
        keeper->ops->upload(keeper, *slot, host, bytes);
        self->placement->bytes += bytes;
    }
    free(host);
    return rc;
}

static int place_parameter(const placing_t *self, size_t index, fmq_error_t *err)
{
    const llm_parameter_t *parameter = &self->model->parameters.items[index];
    llm_matrix_t **matrix = matrix_slot(self->placement, parameter);
    llm_source_t source;
    if (llm_source_open(&source, self->model, index, err) < 0)
        return -1;
    int rc = matrix ? place_matrix(self, parameter, &source, matrix, err)
                    : place_vector(self, parameter, &source,
                                   vector_slot(self->placement, parameter), err);
    llm_source_close(&source);
    return rc;
}

static void vector_release(llm_backend_t *be, float **vector)
{
    if (*vector)
        be->ops->release(be, *vector);
    *vector = NULL;
}

static void matrix_release(llm_backend_t *be, llm_matrix_t **matrix)
{
    if (*matrix)
        be->ops->matrix_destroy(be, matrix);
}

static void norm_release(llm_backend_t *be, llm_placed_norm_t *norm)
{
    vector_release(be, &norm->weight);
    vector_release(be, &norm->bias);
}

static void layer_release(llm_backend_t *be, llm_placed_layer_t *layer)
{
    for (int n = 0; n < LLM_LAYER_NORMS; n++)
        norm_release(be, &layer->norms[n]);
    for (int m = 0; m < LLM_MODULES; m++) {
        matrix_release(be, &layer->linear[m].weight);
        vector_release(be, &layer->linear[m].bias);
    }
}

static void stem_release(llm_backend_t *be, llm_placed_stem_t *stem)
{
    norm_release(be, &stem->norm_embedding);
    norm_release(be, &stem->norm_final);
    vector_release(be, &stem->head_bias);
    vector_release(be, &stem->positions);
    matrix_release(be, &stem->tokens);
    matrix_release(be, &stem->head);
}

static void part_release(llm_placement_t *self, const llm_model_t *model, uint32_t number)
{
    if (model->parts[number].lender)
        return;
    if (number < model->shape.layers)
        layer_release(self->keeper, &self->layers[number]);
    else
        stem_release(self->keeper, &self->stem);
}

static int take_over(const placing_t *self, uint32_t number, fmq_error_t *err)
{
    const llm_model_part_t *part = &self->model->parts[number];
    uint32_t layers = part->lender->shape.layers;
    bool stem = number == self->model->shape.layers;
    bool *wanted = calloc((size_t)layers + 1, sizeof *wanted);
    if (!wanted)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model's parts");
    wanted[stem ? layers : part->layer] = true;
    const llm_placement_t *lent = llm_model_placed(part->lender, self->be, wanted, err);
    free(wanted);
    if (!lent)
        return -1;
    if (stem)
        self->placement->stem = lent->stem;
    else
        self->placement->layers[number] = lent->layers[part->layer];
    return 0;
}

/* Until all of it is there: who computes with it next need not be the instance
 * that put it there, and knows nothing of what that one still has to do. */
static int place_tensors(const placing_t *self, uint32_t number, fmq_error_t *err)
{
    const llm_model_t *model = self->model;
    llm_backend_t *keeper = self->placement->keeper;
    for (size_t i = 0; i < model->parameters.size; i++) {
        if (llm_model_part_of(model, &model->parameters.items[i]) == &model->parts[number] &&
            place_parameter(self, i, err) < 0)
            return -1;
    }
    return self->be->ops->synchronize(self->be, err) < 0 ? -1
                                                         : keeper->ops->synchronize(keeper, err);
}

/* All of it, or nothing. */
static int place_part(const placing_t *self, uint32_t number, fmq_error_t *err)
{
    if (self->model->parts[number].lender)
        return take_over(self, number, err);
    size_t before = self->placement->bytes;
    if (place_tensors(self, number, err) == 0)
        return 0;
    part_release(self->placement, self->model, number);
    self->placement->bytes = before;
    return -1;
}

static void placement_destroy(llm_placement_t **self_p, const llm_model_t *model)
{
    llm_placement_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t p = 0; self->keeper && self->there && self->layers && p <= model->shape.layers;
         p++) {
        if (self->there[p])
            part_release(self, model, p);
    }
    llm_backend_destroy(&self->keeper);
    free(self->layers);
    free(self->there);
    free(self);
    *self_p = NULL;
}

static llm_placement_t *placement_new(const llm_model_t *model, const llm_backend_t *be,
                                      fmq_error_t *err)
{
    llm_placement_t *self = calloc(1, sizeof *self);
    if (!self)
        goto fail;
    self->layers = calloc(model->shape.layers, sizeof *self->layers);
    self->there = calloc((size_t)model->shape.layers + 1, sizeof *self->there);
    if (!self->layers || !self->there)
        goto fail;
    self->keeper = be->ops->another(be, 1, err);
    if (!self->keeper)
        placement_destroy(&self, model);
    return self;
fail:
    placement_destroy(&self, model);
    fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model's table of weights");
    return NULL;
}

/* That of the device, which is made when there is none; with the lock. */
static llm_placement_t *find_or_make(const llm_model_t *model, const llm_backend_t *be,
                                     fmq_error_t *err)
{
    llm_placement_t **at = &model->placements->first;
    while (*at && !llm_instance_same_device((*at)->keeper, be))
        at = &(*at)->next;
    if (!*at)
        *at = placement_new(model, be, err);
    return *at;
}

const llm_placement_t *llm_model_placed(const llm_model_t *self, llm_backend_t *be,
                                        const bool *parts, fmq_error_t *err)
{
    (void)pthread_mutex_lock(&self->placements->lock);
    placing_t placing = {.model = self, .be = be, .placement = find_or_make(self, be, err)};
    llm_placement_t *found = placing.placement;
    for (uint32_t p = 0; found && p <= self->shape.layers; p++) {
        if (found->there[p] || (parts && !parts[p]))
            continue;
        found->there[p] = place_part(&placing, p, err) == 0;
        if (!found->there[p])
            found = NULL;
    }
    (void)pthread_mutex_unlock(&self->placements->lock);
    return found;
}

int llm_model_place(const llm_model_t *self, llm_backend_t *be, fmq_error_t *err)
{
    return llm_model_placed(self, be, NULL, err) ? 0 : -1;
}

int llm_model_set_form(llm_model_t *self, const llm_form_choice_t *choice, fmq_error_t *err)
{
    (void)pthread_mutex_lock(&self->placements->lock);
    bool placed = self->placements->first != NULL;
    if (!placed)
        self->form = *choice;
    (void)pthread_mutex_unlock(&self->placements->lock);
    return placed ? fmq_error_set(err, FMQ_ERR_INTERNAL, "the model's weights are placed already")
                  : 0;
}

llm_form_choice_t llm_model_form(const llm_model_t *self)
{
    return self->form;
}

size_t llm_model_bytes(const llm_model_t *self)
{
    size_t bytes = 0;
    (void)pthread_mutex_lock(&self->placements->lock);
    for (const llm_placement_t *p = self->placements->first; p; p = p->next)
        bytes += p->bytes;
    (void)pthread_mutex_unlock(&self->placements->lock);
    return bytes;
}

llm_placements_t *llm_placements_new(void)
{
    llm_placements_t *self = calloc(1, sizeof *self);
    if (self && pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        self = NULL;
    }
    return self;
}

void llm_model_displace(llm_model_t *self)
{
    llm_placements_t *placements = self->placements;
    if (!placements)
        return;
    while (placements->first) {
        llm_placement_t *one = placements->first;
        placements->first = one->next;
        placement_destroy(&one, self);
    }
    (void)pthread_mutex_destroy(&placements->lock);
    free(placements);
    self->placements = NULL;
}
