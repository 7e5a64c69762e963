/*
 * parameter.c - lists and names the tensors of a model.  Reads no file itself
 * and knows nothing of backends.
 */
#include "llm/weights/parameter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

/* Tensors of a layer at most: its norms and modules, each with a bias. */
#define LAYER_PARAMETERS_MAX (2 * (LLM_LAYER_NORMS + LLM_MODULES))
/* Embedding, its norm with bias, positions, final norm with bias, head with bias. */
#define MODEL_PARAMETERS_MAX 8

static bool is_attention(llm_module_t module)
{
    return module <= LLM_O;
}

static void count_elements(llm_parameter_t *item)
{
    if (item->rank == 1)
        item->shape[1] = 1;
    item->count = item->shape[0] * item->shape[1];
}

static void append(llm_parameters_t *self, const llm_parameter_t *parameter)
{
    llm_parameter_t *item = &self->items[self->size++];
    *item = *parameter;
    count_elements(item);
}

static void append_norm(llm_parameters_t *self, const llm_shape_t *shape, llm_parameter_t norm)
{
    norm.rank = 1;
    append(self, &norm);
    if (shape->arch->norm != LLM_NORM_LAYER)
        return;
    norm.bias = true;
    append(self, &norm);
}

static void append_layer_norm(llm_parameters_t *self, const llm_shape_t *shape,
                              llm_layer_norm_t which, uint32_t layer)
{
    llm_parameter_t norm = {.role = LLM_ROLE_NORM, .layer = layer, .norm = which};
    norm.shape[0] = llm_shape_norm(shape, which);
    if (shape->arch->norms[which])
        append_norm(self, shape, norm);
}

static void append_modules(llm_parameters_t *self, const llm_shape_t *shape, uint32_t layer,
                           bool attention)
{
    for (int m = 0; m < LLM_MODULES; m++) {
        llm_module_t module = (llm_module_t)m;
        if (!shape->arch->modules[m] || is_attention(module) != attention)
            continue;
        size_t out = 0, in = 0;
        llm_shape_module(shape, module, &out, &in);
        bool major = shape->arch->input_major;
        llm_parameter_t weight = {.role = LLM_ROLE_MODULE, .layer = layer, .module = module};
        weight.rank = 2;
        weight.shape[0] = major ? in : out;
        weight.shape[1] = major ? out : in;
        append(self, &weight);
        if (!llm_shape_has_bias(shape, module))
            continue;
        llm_parameter_t bias = {.role = LLM_ROLE_MODULE, .layer = layer, .module = module};
        bias.bias = true;
        bias.rank = 1;
        bias.shape[0] = out;
        append(self, &bias);
    }
}

int llm_parameters_init(llm_parameters_t *self, const llm_shape_t *shape, fmq_error_t *err)
{
    size_t most = (size_t)shape->layers * LAYER_PARAMETERS_MAX + MODEL_PARAMETERS_MAX;
    self->size = 0;
    self->items = calloc(most, sizeof *self->items);
    if (!self->items)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list of %zu tensors", most);

    llm_parameter_t table = {.rank = 2, .shape = {shape->vocab, shape->width}};
    table.role = LLM_ROLE_TOKENS;
    append(self, &table);
    llm_parameter_t embedding = {.role = LLM_ROLE_NORM_EMBEDDING, .shape = {shape->width}};
    if (shape->arch->norm_embedding)
        append_norm(self, shape, embedding);
    if (shape->arch->positions == LLM_POSITIONS_LEARNED) {
        uint64_t rows = (uint64_t)shape->context + shape->arch->position_offset;
        llm_parameter_t positions = {.rank = 2, .shape = {rows, shape->width}};
        positions.role = LLM_ROLE_POSITIONS;
        append(self, &positions);
    }
    self->front = self->size;
    self->layers = shape->layers;
    for (uint32_t layer = 0; layer < shape->layers; layer++) {
        append_layer_norm(self, shape, LLM_NORM_ATTENTION, layer);
        append_modules(self, shape, layer, true);
        append_layer_norm(self, shape, LLM_NORM_Q, layer);
        append_layer_norm(self, shape, LLM_NORM_K, layer);
        append_layer_norm(self, shape, LLM_NORM_POST_ATTENTION, layer);
        append_layer_norm(self, shape, LLM_NORM_MLP, layer);
        append_modules(self, shape, layer, false);
        append_layer_norm(self, shape, LLM_NORM_POST_MLP, layer);
    }
    self->per_layer = shape->layers ? (self->size - self->front) / shape->layers : 0;
    llm_parameter_t final = {.role = LLM_ROLE_NORM_FINAL, .shape = {shape->width}};
    append_norm(self, shape, final);
    if (!shape->tied) {
        table.role = LLM_ROLE_HEAD;
        append(self, &table);
    }
    llm_parameter_t bias = {
        .role = LLM_ROLE_HEAD, .bias = true, .rank = 1, .shape = {shape->vocab}};
    if (shape->arch->head_bias)
        append(self, &bias);
    return 0;
}

void llm_parameters_release(llm_parameters_t *self)
{
    free(self->items);
    *self = (llm_parameters_t){0};
}

void llm_parameters_narrow(llm_parameters_t *self, const llm_shape_t *shape, uint32_t layer,
                           uint32_t ffn)
{
    llm_parameter_t *items = &self->items[self->front + layer * self->per_layer];
    for (size_t i = 0; i < self->per_layer; i++) {
        llm_parameter_t *item = &items[i];
        if (item->role != LLM_ROLE_MODULE || is_attention(item->module))
            continue;
        bool narrow_input = item->module == LLM_DOWN;
        if (item->bias && narrow_input)
            continue;
        item->shape[!item->bias && narrow_input != shape->arch->input_major] =
            item->module == LLM_GATE_UP ? 2 * (uint64_t)ffn : ffn;
        count_elements(item);
    }
}

bool llm_parameter_same(const llm_parameter_t *a, const llm_parameter_t *b)
{
    return a->role == b->role && a->bias == b->bias && a->layer == b->layer &&
           a->module == b->module && a->norm == b->norm;
}

bool llm_parameter_in_layer(const llm_parameter_t *parameter)
{
    return parameter->role == LLM_ROLE_MODULE || parameter->role == LLM_ROLE_NORM;
}

bool llm_parameter_is_norm_weight(const llm_parameter_t *parameter)
{
    bool norm = parameter->role == LLM_ROLE_NORM || parameter->role == LLM_ROLE_NORM_FINAL ||
                parameter->role == LLM_ROLE_NORM_EMBEDDING;
    return norm && !parameter->bias;
}

size_t llm_parameters_index(const llm_parameters_t *self, size_t index,
                            const llm_parameters_t *other, uint32_t layer)
{
    if (llm_parameter_in_layer(&self->items[index]))
        return other->front + layer * other->per_layer + (index - self->front) % self->per_layer;
    if (index < self->front)
        return index;
    return index - self->layers * self->per_layer + other->layers * other->per_layer;
}

static void layer_path(const llm_shape_t *shape, uint32_t layer, const char *name,
                       char out[FMQ_SCHEMA_NAME_MAX])
{
    (void)snprintf(out, FMQ_SCHEMA_NAME_MAX, "%s%" PRIu32 ".%s", shape->arch->layer_prefix, layer,
                   name);
}

void llm_parameter_module_path(const llm_shape_t *shape, uint32_t layer, llm_module_t module,
                               char out[FMQ_SCHEMA_NAME_MAX])
{
    layer_path(shape, layer, shape->arch->modules[module], out);
}

void llm_parameter_path(const llm_shape_t *shape, const llm_parameter_t *parameter,
                        char out[FMQ_SCHEMA_NAME_MAX])
{
    const llm_arch_t *arch = shape->arch;
    const char *plain = NULL;
    switch (parameter->role) {
    case LLM_ROLE_TOKENS:
        plain = arch->token_embedding;
        break;
    case LLM_ROLE_NORM_EMBEDDING:
        plain = arch->norm_embedding;
        break;
    case LLM_ROLE_POSITIONS:
        plain = arch->position_embedding;
        break;
    case LLM_ROLE_NORM_FINAL:
        plain = arch->norm_final;
        break;
    case LLM_ROLE_HEAD:
        plain = arch->head;
        break;
    case LLM_ROLE_NORM:
        layer_path(shape, parameter->layer, arch->norms[parameter->norm], out);
        break;
    case LLM_ROLE_MODULE:
        llm_parameter_module_path(shape, parameter->layer, parameter->module, out);
        break;
    }
    if (plain)
        (void)snprintf(out, FMQ_SCHEMA_NAME_MAX, "%s", plain);
}

void llm_parameter_name(const llm_shape_t *shape, const llm_parameter_t *parameter,
                        char out[FMQ_SCHEMA_NAME_MAX])
{
    llm_parameter_path(shape, parameter, out);
    size_t used = strlen(out);
    (void)snprintf(out + used, FMQ_SCHEMA_NAME_MAX - used, "%s",
                   parameter->bias ? ".bias" : ".weight");
}

void llm_parameter_part_name(const llm_shape_t *shape, const llm_parameter_t *parameter,
                             char out[FMQ_SCHEMA_NAME_MAX])
{
    char full[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(shape, parameter, full);
    const char *name = full;
    if (llm_parameter_in_layer(parameter))
        name = strchr(full + strlen(shape->arch->layer_prefix), '.') + 1;
    (void)snprintf(out, FMQ_SCHEMA_NAME_MAX, "%s", name);
}

static const llm_tensor_view_t *find_by_name(const llm_shape_t *shape,
                                             const llm_parameter_t *parameter, const char *name,
                                             const llm_weights_t *weights)
{
    const llm_tensor_view_t *view = llm_weights_find(weights, name);
    const char *dot = strchr(shape->arch->layer_prefix, '.');
    size_t prefix = dot ? (size_t)(dot - shape->arch->layer_prefix) + 1 : 0;
    if (!view && prefix && strncmp(name, shape->arch->layer_prefix, prefix) == 0)
        view = llm_weights_find(weights, name + prefix);
    if (!view && parameter->role == LLM_ROLE_TOKENS && shape->tied) {
        char head[FMQ_SCHEMA_NAME_MAX];
        (void)snprintf(head, sizeof head, "%s.weight", shape->arch->head);
        view = llm_weights_find(weights, head);
    }
    return view;
}

int llm_parameter_check_tie(const llm_shape_t *shape, const llm_weights_t *weights,
                            fmq_error_t *err)
{
    llm_shape_t untied = *shape;
    llm_parameter_t tokens = {.role = LLM_ROLE_TOKENS, .rank = 2};
    char name[FMQ_SCHEMA_NAME_MAX], head_name[FMQ_SCHEMA_NAME_MAX];
    if (!shape->tied)
        return 0;
    untied.tied = false;
    llm_parameter_name(shape, &tokens, name);
    (void)snprintf(head_name, sizeof head_name, "%s.weight", shape->arch->head);
    const llm_tensor_view_t *first = find_by_name(&untied, &tokens, name, weights);
    const llm_tensor_view_t *second = llm_weights_find(weights, head_name);
    if (!first || !second)
        return 0;
    bool same = first->dtype == second->dtype && first->bytes == second->bytes &&
                memcmp(first->data, second->data, (size_t)first->bytes) == 0;
    fmq_pages_release(first->data, (size_t)first->bytes);
    fmq_pages_release(second->data, (size_t)second->bytes);
    if (same)
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "config.json says \"tie_word_embeddings\": true, but the file holds '%s' "
                         "and '%s', which differ; set it to false if both are meant, or take the "
                         "latter out of the file",
                         first->name, second->name);
}

const llm_tensor_view_t *llm_parameter_find(const llm_shape_t *shape,
                                            const llm_parameter_t *parameter,
                                            const llm_weights_t *weights, fmq_error_t *err)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(shape, parameter, name);
    const llm_tensor_view_t *view = find_by_name(shape, parameter, name, weights);
    if (!view) {
        fmq_error_set(err, FMQ_ERR_NOTFOUND, "the weights hold no tensor '%s'", name);
        return NULL;
    }
    return llm_parameter_check(parameter, view, err) < 0 ? NULL : view;
}

int llm_parameter_check(const llm_parameter_t *parameter, const llm_tensor_view_t *view,
                        fmq_error_t *err)
{
    if (view->dtype != FMQ_F32 && view->dtype != FMQ_F16 && view->dtype != FMQ_BF16) {
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "tensor '%s' is stored as %s; F32, F16 and BF16 can be read: convert "
                             "the model (from_pretrained(..., dtype=torch.bfloat16), then "
                             "save_pretrained(...))",
                             view->name, view->dtype_text);
    }
    if (view->rank != parameter->rank || view->shape[0] != parameter->shape[0] ||
        (view->rank == 2 && view->shape[1] != parameter->shape[1])) {
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "tensor '%s' has rank %" PRIu32 " and %" PRIu64 " x %" PRIu64
                             " elements where the model's shape asks for rank %" PRIu32
                             " and %" PRIu64 " x %" PRIu64,
                             view->name, view->rank, view->shape[0],
                             view->rank > 1 ? view->shape[1] : 1, parameter->rank,
                             parameter->shape[0], parameter->shape[1]);
    }
    return 0;
}
