/*
 * adapter.c - which modules train, under which names and at which offsets, and
 * their first values.  Neither reads nor writes files.
 */
#include "fedmq/llm/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "llm/adapter/layout.h"

/* PEFT's rule: the target is the module's path, or the tail of it behind a dot. */
static bool is_targeted(const llm_adapter_spec_t *spec, uint32_t target, const char *path)
{
    const char *name = spec->target[target];
    size_t size = strlen(name), whole = strlen(path);
    if (size == whole)
        return strcmp(name, path) == 0;
    return size < whole && path[whole - size - 1] == '.' && strcmp(path + whole - size, name) == 0;
}

/* What a target names, in the whole model and in the layers that train. */
typedef struct {
    bool anywhere, here;
} found_t;

/* Does any target name this module?  Notes what each target found. */
static bool match(const llm_adapter_spec_t *spec, const char *path, bool here, found_t *found)
{
    bool any = false;
    for (uint32_t t = 0; t < spec->targets; t++) {
        if (!is_targeted(spec, t, path))
            continue;
        found[t].anywhere = true;
        found[t].here = found[t].here || here;
        any = here;
    }
    return any;
}

static int add_lora(llm_adapter_t *self, uint32_t layer, llm_module_t module, const char *path,
                    fmq_error_t *err)
{
    size_t out = 0, in = 0;
    llm_shape_module(&self->shape, module, &out, &in);
    const uint64_t a[] = {self->spec.rank, in}, b[] = {out, self->spec.rank};
    llm_lora_slot_t *slot = &self->lora[(size_t)layer * LLM_MODULES + module];
    char name[2 * FMQ_SCHEMA_NAME_MAX];

    slot->a = fmq_schema_elements(self->schema);
    (void)snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", path);
    if (fmq_schema_add(self->schema, name, 2, a, err) < 0)
        return -1;
    slot->b = fmq_schema_elements(self->schema);
    (void)snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", path);
    if (fmq_schema_add(self->schema, name, 2, b, err) < 0)
        return -1;
    slot->trains = true;
    if (layer < self->first_layer)
        self->first_layer = layer;
    return 0;
}

/* FMQ_ERR_CONFIG with the names that a target may have. */
static int refuse_target(const llm_adapter_t *self, const char *target, bool anywhere,
                         fmq_error_t *err)
{
    if (anywhere)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter's target '%s' names no module of the layers to transform",
                             target);
    char known[512] = "";
    for (int m = 0; m < LLM_MODULES; m++) {
        const char *path = self->shape.arch->modules[m];
        if (!path)
            continue;
        const char *dot = strrchr(path, '.');
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s%s%s%s", used ? ", " : "",
                       dot ? dot + 1 : path, dot ? " (" : "", dot ? path : "", dot ? ")" : "");
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "the adapter's target '%s' names no linear module of %s; it has %s",
                         target, self->shape.arch->model_type, known);
}

static int lay_out_lora(llm_adapter_t *self, fmq_error_t *err)
{
    found_t found[LLM_TARGETS_MAX] = {0};
    self->lora = calloc((size_t)self->shape.layers * LLM_MODULES, sizeof *self->lora);
    if (!self->lora)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
    for (uint32_t layer = 0; layer < self->shape.layers; layer++) {
        bool here = llm_layer_set_has(&self->spec.layers, layer);
        for (int m = 0; m < LLM_MODULES; m++) {
            if (!self->shape.arch->modules[m])
                continue;
            char path[FMQ_SCHEMA_NAME_MAX];
            llm_parameter_module_path(&self->shape, layer, (llm_module_t)m, path);
            if (match(&self->spec, path, here, found) &&
                add_lora(self, layer, (llm_module_t)m, path, err) < 0)
                return -1;
        }
    }
    for (uint32_t t = 0; t < self->spec.targets; t++) {
        if (!found[t].here)
            return refuse_target(self, self->spec.target[t], found[t].anywhere, err);
    }
    return 0;
}

static int lay_out_full(llm_adapter_t *self, fmq_error_t *err)
{
    llm_parameters_t parameters;
    if (llm_parameters_init(&parameters, &self->shape, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < parameters.size && rc == 0; i++) {
        if (!llm_adapter_covers(self, &parameters.items[i]))
            continue;
        char name[FMQ_SCHEMA_NAME_MAX];
        llm_parameter_name(&self->shape, &parameters.items[i], name);
        rc = fmq_schema_add(self->schema, name, parameters.items[i].rank, parameters.items[i].shape,
                            err);
    }
    llm_parameters_release(&parameters);
    self->first_layer = 0;
    while (!llm_layer_set_has(&self->spec.layers, self->first_layer))
        self->first_layer++;
    return rc;
}

/* Every layer of the set must exist: PEFT passes over those that do not, and
 * so hides an index that counts from one. */
static int check_layers(const llm_shape_t *shape, const llm_layer_set_t *layers, fmq_error_t *err)
{
    if (!layers->some)
        return 0;
    bool any = false;
    for (uint32_t layer = 0; layer < LLM_LAYERS_MAX; layer++) {
        bool has = llm_layer_set_has(layers, layer);
        if (has && layer >= shape->layers)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "the adapter is to transform layer %u; the model has layers 0 to "
                                 "%u",
                                 layer, shape->layers - 1);
        any = any || has;
    }
    if (!any)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter is to transform no layer; the model has layers 0 to %u",
                             shape->layers - 1);
    return 0;
}

static int check_lora_numbers(const llm_adapter_spec_t *spec, fmq_error_t *err)
{
    if (spec->rank < 1 || spec->rank > LLM_LORA_RANK_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "LoRA's rank r is %u; it must lie between 1 and %d", spec->rank,
                             LLM_LORA_RANK_MAX);
    if (!(spec->dropout >= 0.0f && spec->dropout < 1.0f))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "lora_dropout is %g; it must be at least 0 and below 1",
                             (double)spec->dropout);
    if (!isfinite(spec->alpha))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "lora_alpha is not a finite number");
    if (spec->targets > LLM_TARGETS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%u target modules are named; %d are the limit",
                             spec->targets, LLM_TARGETS_MAX);
    for (uint32_t t = 0; t < spec->targets; t++) {
        if (!memchr(spec->target[t], '\0', sizeof spec->target[t]) || !spec->target[t][0])
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "target module number %u is empty or longer than %zu bytes", t,
                                 sizeof spec->target[t] - 1);
    }
    return 0;
}

static void name_default_targets(llm_adapter_t *self)
{
    const llm_arch_t *arch = self->shape.arch;
    for (uint32_t t = 0; t < LLM_MODULES && arch->lora_targets[t]; t++) {
        (void)snprintf(self->spec.target[t], sizeof self->spec.target[t], "%s",
                       arch->lora_targets[t]);
        self->spec.targets = t + 1;
    }
}

llm_adapter_t *llm_adapter_new(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                               fmq_error_t *err)
{
    if (spec->kind == LLM_ADAPTER_LORA && check_lora_numbers(spec, err) < 0)
        return NULL;
    if (spec->kind != LLM_ADAPTER_NONE && check_layers(shape, &spec->layers, err) < 0)
        return NULL;
    llm_adapter_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
        return NULL;
    }
    self->shape = *shape;
    self->spec = *spec;
    self->first_layer = shape->layers;
    self->schema = fmq_schema_new(FMQ_F32);
    if (!self->schema) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
        goto fail;
    }
    int rc = 0;
    if (spec->kind == LLM_ADAPTER_LORA) {
        if (!spec->targets)
            name_default_targets(self);
        rc = lay_out_lora(self, err);
    } else if (spec->kind == LLM_ADAPTER_FULL) {
        rc = lay_out_full(self, err);
    }
    if (rc == 0) {
        (void)fmq_schema_digest(self->schema); /* from here on it is immutable */
        return self;
    }
fail:
    llm_adapter_destroy(&self);
    return NULL;
}

void llm_adapter_destroy(llm_adapter_t **self_p)
{
    llm_adapter_t *self = *self_p;
    if (!self)
        return;
    fmq_schema_destroy(&self->schema);
    free(self->lora);
    free(self);
    *self_p = NULL;
}

const llm_adapter_spec_t *llm_adapter_spec(const llm_adapter_t *self)
{
    return &self->spec;
}

const llm_shape_t *llm_adapter_shape(const llm_adapter_t *self)
{
    return &self->shape;
}

const fmq_schema_t *llm_adapter_schema(const llm_adapter_t *self)
{
    return self->schema;
}

uint32_t llm_adapter_first_layer(const llm_adapter_t *self)
{
    return self->first_layer;
}

const llm_lora_slot_t *llm_adapter_lora(const llm_adapter_t *self, uint32_t layer,
                                        llm_module_t module)
{
    if (!self->lora)
        return NULL;
    const llm_lora_slot_t *slot = &self->lora[(size_t)layer * LLM_MODULES + module];
    return slot->trains ? slot : NULL;
}

bool llm_adapter_covers(const llm_adapter_t *self, const llm_parameter_t *parameter)
{
    if (self->spec.kind != LLM_ADAPTER_FULL)
        return false;
    switch (parameter->role) {
    case LLM_ROLE_NORM_ATTENTION:
    case LLM_ROLE_NORM_MLP:
    case LLM_ROLE_MODULE:
        return llm_layer_set_has(&self->spec.layers, parameter->layer);
    default:
        return !self->spec.layers.some;
    }
}

float llm_adapter_scaling(const llm_adapter_t *self)
{
    return self->spec.kind == LLM_ADAPTER_LORA ? self->spec.alpha / (float)self->spec.rank : 0.0f;
}

/* torch's kaiming_uniform_(a = sqrt 5) over A[r][in]: U(-b, b) with
 * b = sqrt(6 / ((1 + 5) in)) = 1 / sqrt(in). */
static void draw_a(const fmq_tensor_t *tensor, uint32_t index, uint64_t seed, float *vector)
{
    double bound = 1.0 / sqrt((double)tensor->shape[1]);
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = seed, .purpose = FMQ_RNG_ADAPTER_INIT, .step = index};
    fmq_rng_init(&rng, &name);
    for (uint64_t i = 0; i < tensor->count; i++)
        vector[tensor->offset + i] = (float)((2.0 * fmq_rng_uniform(&rng) - 1.0) * bound);
}

int llm_adapter_init(const llm_adapter_t *self, const llm_model_t *model, uint64_t seed,
                     float *vector, fmq_error_t *err)
{
    for (size_t i = 0; i < fmq_schema_size(self->schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(self->schema, i);
        if (self->spec.kind == LLM_ADAPTER_FULL) {
            if (llm_model_read(model, tensor->name, vector + tensor->offset, err) < 0)
                return -1;
        } else if (i % 2 == 0) { /* A and B take turns */
            draw_a(tensor, (uint32_t)i, seed, vector);
        } else {
            memset(vector + tensor->offset, 0, (size_t)tensor->count * sizeof *vector);
        }
    }
    return 0;
}
