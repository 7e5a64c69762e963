/*
 * targets.c - see targets.h.  Settings beyond PEFT's own mistakes are refused:
 * every name has to find something.
 */
#include "llm/adapter/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void name_defaults(llm_adapter_spec_t *spec, const char *const *defaults)
{
    for (uint32_t t = 0; defaults && t < LLM_TARGETS_MAX && defaults[t]; t++) {
        (void)snprintf(spec->target[t], sizeof spec->target[t], "%s", defaults[t]);
        spec->targets = t + 1;
    }
}

int llm_targets_init(llm_targets_t *self, llm_adapter_t *adapter, const char *const *defaults,
                     fmq_error_t *err)
{
    llm_adapter_spec_t *spec = &adapter->spec;
    *self = (llm_targets_t){.adapter = adapter};
    if (!spec->targets && !spec->expression[0])
        name_defaults(spec, defaults);
    if (!spec->targets && !spec->expression[0])
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter needs 'target_modules': there are no defaults for %s",
                             adapter->shape.arch->model_type);
    self->all_linear = strcasecmp(spec->expression, "all-linear") == 0;
    if (!self->all_linear)
        memcpy(self->pattern.expression, spec->expression, sizeof self->pattern.expression);
    if (llm_matcher_init(&self->expression, "target_modules", &self->pattern, err) < 0)
        return -1;
    return llm_matcher_init(&self->excluded, "exclude_modules", &spec->excluded, err);
}

void llm_targets_release(llm_targets_t *self)
{
    llm_matcher_release(&self->expression);
    llm_matcher_release(&self->excluded);
}

/* Does a name of modules_to_save stand in the path, as PEFT leaves its modules
 * out of the targets? */
static bool is_kept_whole(const llm_names_t *saved, const char *path)
{
    for (uint32_t i = 0; i < saved->size; i++) {
        const char *name = saved->name[i];
        size_t size = strlen(name);
        for (const char *at = strstr(path, name); at; at = strstr(at + 1, name))
            if ((at == path || at[-1] == '.') && (at[size] == '\0' || at[size] == '.'))
                return true;
    }
    return false;
}

/* By the names, noting what each of them found; a module is one of many. */
static bool is_named(llm_targets_t *self, const char *path, bool here)
{
    const llm_adapter_spec_t *spec = &self->adapter->spec;
    bool any = false;
    for (uint32_t t = 0; t < spec->targets; t++) {
        if (!llm_name_is_tail(spec->target[t], path))
            continue;
        self->anywhere[t] = true;
        self->here[t] = self->here[t] || here;
        any = true;
    }
    return any;
}

bool llm_targets_has(llm_targets_t *self, const llm_parameter_t *weight)
{
    const llm_adapter_spec_t *spec = &self->adapter->spec;
    char path[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_path(&self->adapter->shape, weight, path);
    bool here = llm_parameter_in_layer(weight) ? llm_layer_set_has(&spec->layers, weight->layer)
                                               : !spec->layers.some;
    bool wanted = self->all_linear                   ? weight->role == LLM_ROLE_MODULE
                  : self->expression.expression.code ? llm_matcher_has(&self->expression, path)
                                                     : is_named(self, path, here);
    if (!wanted || !here || llm_matcher_has(&self->excluded, path) ||
        is_kept_whole(&spec->saved, path))
        return false;
    self->any = true;
    return true;
}

/* FMQ_ERR_CONFIG with the names that a target may have. */
static int refuse_target(const llm_targets_t *self, const char *target, bool anywhere,
                         fmq_error_t *err)
{
    const llm_arch_t *arch = self->adapter->shape.arch;
    if (anywhere)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter's target '%s' names no module of the layers to transform",
                             target);
    char known[512] = "";
    for (int m = 0; m < LLM_MODULES; m++) {
        const char *path = arch->modules[m];
        if (!path)
            continue;
        const char *dot = strrchr(path, '.');
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s%s%s%s", used ? ", " : "",
                       dot ? dot + 1 : path, dot ? " (" : "", dot ? path : "", dot ? ")" : "");
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "the adapter's target '%s' names no linear module of %s; it has %s",
                         target, arch->model_type, known);
}

int llm_targets_check(const llm_targets_t *self, fmq_error_t *err)
{
    const llm_adapter_spec_t *spec = &self->adapter->spec;
    for (uint32_t t = 0; t < spec->targets; t++)
        if (!self->here[t])
            return refuse_target(self, spec->target[t], self->anywhere[t], err);
    if (self->any)
        return 0;
    if (spec->expression[0])
        return refuse_target(self, spec->expression, false, err);
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "the adapter has no module left: 'exclude_modules' or 'modules_to_save' "
                         "take all that 'target_modules' names");
}

int llm_targets_list(llm_parameters_t *out, const llm_shape_t *shape, fmq_error_t *err)
{
    llm_shape_t untied = *shape;
    untied.tied = false;
    return llm_parameters_init(out, &untied, err);
}

/* PEFT's rule: the path of the module, or of one that it lies in, ends in the
 * name, whatever stands before it. */
static bool is_saved_by(const char *name, const char *path)
{
    size_t size = strlen(name), whole = strlen(path);
    for (size_t end = size; end <= whole; end++)
        if ((path[end] == '\0' || path[end] == '.') && memcmp(path + end - size, name, size) == 0)
            return true;
    return false;
}

bool llm_targets_is_saved(const llm_adapter_spec_t *spec, const llm_shape_t *shape,
                          const llm_parameter_t *parameter)
{
    char path[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_path(shape, parameter, path);
    for (uint32_t i = 0; i < spec->saved.size; i++)
        if (is_saved_by(spec->saved.name[i], path))
            return true;
    return false;
}

static int check_saved(const llm_adapter_t *adapter, const llm_parameters_t *list, fmq_error_t *err)
{
    const llm_names_t *saved = &adapter->spec.saved;
    for (uint32_t i = 0; i < saved->size; i++) {
        bool any = false;
        for (size_t p = 0; p < list->size && !any; p++) {
            char path[FMQ_SCHEMA_NAME_MAX];
            llm_parameter_path(&adapter->shape, &list->items[p], path);
            any = is_saved_by(saved->name[i], path);
        }
        if (!any)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "'modules_to_save': '%s' names no module of %s", saved->name[i],
                                 adapter->shape.arch->model_type);
    }
    return 0;
}

static bool is_adapted(const llm_adapter_t *adapter, const llm_parameter_t *parameter)
{
    for (size_t i = 0; i < adapter->size; i++) {
        const llm_piece_t *piece = &adapter->pieces[i];
        llm_parameter_t weight = *parameter;
        weight.bias = piece->place.bias;
        if (piece->ops != &llm_piece_dense && llm_parameter_same(&piece->place, &weight))
            return true;
    }
    return false;
}

static int add_saved(llm_adapter_t *adapter, const llm_parameter_t *parameter, fmq_error_t *err)
{
    char path[FMQ_SCHEMA_NAME_MAX];
    llm_piece_t piece = {.ops = &llm_piece_dense, .place = *parameter, .called = LLM_DENSE_PEFT};
    llm_parameter_path(&adapter->shape, parameter, path);
    if (is_adapted(adapter, parameter))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%s' is both among 'target_modules' and 'modules_to_save'", path);
    return llm_adapter_add(adapter, &piece, err);
}

int llm_targets_add_saved(llm_adapter_t *adapter, fmq_error_t *err)
{
    llm_parameters_t list;
    if (!adapter->spec.saved.size)
        return 0;
    if (llm_targets_list(&list, &adapter->shape, err) < 0)
        return -1;
    int rc = check_saved(adapter, &list, err);
    for (size_t i = 0; i < list.size && rc == 0; i++)
        if (llm_targets_is_saved(&adapter->spec, &adapter->shape, &list.items[i]))
            rc = add_saved(adapter, &list.items[i], err);
    llm_parameters_release(&list);
    return rc;
}
