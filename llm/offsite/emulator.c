/*
 * emulator.c - puts a client's model together, from the open teacher or from
 * files, and binds to it what trains in A and in E.  How layers are changed is
 * not known here (build.c).
 */
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/emulator.h"
#include "llm/offsite/structure.h"

struct llm_emulator {
    llm_offsite_t offsite; /* borrows from what follows */
    llm_shape_t full;
    llm_structure_t structure;
    llm_model_t *student;                     /* owned */
    llm_adapter_t *plugged, *adapter, *state; /* owned */
};

static llm_emulator_t *shell_new(const llm_shape_t *full, fmq_error_t *err)
{
    llm_emulator_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an emulator");
        return NULL;
    }
    self->full = *full;
    return self;
}

void llm_emulator_destroy(llm_emulator_t **self_p)
{
    llm_emulator_t *self = *self_p;
    if (!self)
        return;
    llm_adapter_destroy(&self->plugged);
    llm_adapter_destroy(&self->adapter);
    llm_adapter_destroy(&self->state);
    llm_model_destroy(&self->student);
    llm_structure_release(&self->structure);
    free(self);
    *self_p = NULL;
}

int llm_emulator_set_form(llm_emulator_t *self, const llm_form_choice_t *choice, fmq_error_t *err)
{
    return llm_model_set_form(self->student, choice, err);
}

const llm_offsite_t *llm_emulator_offsite(const llm_emulator_t *self)
{
    return &self->offsite;
}

/* The spec bound to some layers of a shape; what names them for errors. */
static llm_adapter_t *adapter_over(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                                   llm_layer_set_t layers, const char *what, fmq_error_t *err)
{
    llm_adapter_spec_t some = *spec;
    some.layers = layers;
    llm_adapter_t *adapter = llm_adapter_new(shape, &some, err);
    if (!adapter) {
        fmq_error_prefix(err, "the %s of offsite tuning", what);
    } else if (fmq_schema_elements(llm_adapter_schema(adapter)) == 0) {
        fmq_error_set(err, FMQ_ERR_CONFIG,
                      "nothing would be trained in the %s of offsite tuning: the adapter's targets "
                      "name no module of its layers",
                      what);
        llm_adapter_destroy(&adapter);
    }
    return adapter;
}

static int bind_adapters(llm_emulator_t *self, const llm_adapter_spec_t *spec, fmq_error_t *err)
{
    const llm_structure_t *structure = &self->structure;
    llm_shape_t student = llm_structure_shape(structure, &self->full);
    if (spec->kind == LLM_ADAPTER_PROMPT || spec->kind == LLM_ADAPTER_P_TUNING ||
        spec->kind == LLM_ADAPTER_PREFIX)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "offsite tuning trains modules of some layers, and virtual tokens "
                             "belong to none: use adapter_method lora with it, or none");
    if (spec->kind == LLM_ADAPTER_NONE)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "offsite tuning needs an adapter, LoRA's or the layers themselves");
    self->plugged =
        adapter_over(&self->full, spec, llm_structure_plugged(structure), "adapter", err);
    if (!self->plugged)
        return -1;
    self->adapter = adapter_over(&student, spec, llm_structure_adapter(structure), "adapter", err);
    if (!self->adapter)
        return -1;
    self->state = adapter_over(&student, spec, llm_structure_emulator(structure), "emulator", err);
    if (!self->state)
        return -1;
    uint64_t plugged = fmq_schema_elements(llm_adapter_schema(self->plugged));
    uint64_t adapter = fmq_schema_elements(llm_adapter_schema(self->adapter));
    if (plugged != adapter)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter has %llu elements in the full model and %llu in the "
                             "client's; its targets must not name single layers",
                             (unsigned long long)plugged, (unsigned long long)adapter);
    return 0;
}

/* Composes the student and fills offsite; parts are [layers] origins. */
static int assemble(llm_emulator_t *self, const llm_part_origin_t *stem,
                    const llm_part_origin_t *parts, llm_backend_t *be, fmq_error_t *err)
{
    llm_shape_t shape = llm_structure_shape(&self->structure, &self->full);
    self->student = llm_model_compose(&shape, stem, parts, be, err);
    if (!self->student)
        return fmq_error_prefix(err, "the client's model of offsite tuning");
    return 0;
}

static void describe(llm_emulator_t *self, const llm_model_t *teacher)
{
    self->offsite = (llm_offsite_t){.teacher = teacher,
                                    .full = &self->full,
                                    .l = self->structure.l,
                                    .r = self->structure.r,
                                    .student = self->student,
                                    .first = self->structure.l,
                                    .behind = self->structure.behind,
                                    .source = self->structure.source,
                                    .plugged = self->plugged,
                                    .adapter = self->adapter,
                                    .state = self->state};
}

/* E's layers come from files where paths has some, all else from the teacher. */
static int compose_from_teacher(llm_emulator_t *self, const llm_model_t *teacher,
                                char *const *paths, fmq_error_t *err)
{
    const llm_structure_t *structure = &self->structure;
    llm_part_origin_t stem = {.model = teacher};
    llm_part_origin_t *parts = calloc(structure->layers, sizeof *parts);
    if (!parts)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an emulator");
    for (uint32_t i = 0; i < structure->layers; i++) {
        bool own = paths && i >= structure->l && i < structure->behind;
        if (own)
            parts[i].path = paths[i - structure->l];
        else
            parts[i] = (llm_part_origin_t){.model = teacher, .layer = structure->source[i]};
    }
    const llm_form_choice_t form = llm_model_form(teacher);
    int rc = assemble(self, &stem, parts, NULL, err);
    if (rc == 0)
        rc = llm_model_set_form(self->student, &form, err);
    free(parts);
    return rc;
}

llm_emulator_t *llm_emulator_begin(const llm_model_t *teacher, const llm_emulator_spec_t *spec,
                                   fmq_error_t *err)
{
    llm_emulator_t *self = shell_new(llm_model_shape(teacher), err);
    if (self && (llm_structure_init(&self->structure, self->full.layers, spec, err) < 0 ||
                 bind_adapters(self, &spec->adapter, err) < 0))
        llm_emulator_destroy(&self);
    return self;
}

const llm_structure_t *llm_emulator_structure(const llm_emulator_t *self)
{
    return &self->structure;
}

int llm_emulator_compose(llm_emulator_t *self, const llm_model_t *teacher, char *const *paths,
                         fmq_error_t *err)
{
    if (compose_from_teacher(self, teacher, paths, err) < 0)
        return -1;
    describe(self, teacher);
    return 0;
}

static int compose_from_files(llm_emulator_t *self, const llm_emulator_files_t *files,
                              llm_backend_t *be, fmq_error_t *err)
{
    llm_part_origin_t stem = {.path = files->stem};
    llm_part_origin_t *parts = calloc(files->layers, sizeof *parts);
    if (!parts)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an emulator");
    for (uint32_t i = 0; i < files->layers; i++)
        parts[i].path = files->parts[i];
    int rc = assemble(self, &stem, parts, be, err);
    free(parts);
    return rc;
}

llm_emulator_t *llm_emulator_assemble(const llm_emulator_files_t *files, llm_backend_t *be,
                                      fmq_error_t *err)
{
    llm_emulator_t *self = shell_new(&files->full, err);
    if (!self)
        return NULL;
    if (llm_structure_copy(&self->structure, files, err) < 0 ||
        bind_adapters(self, &files->adapter, err) < 0 ||
        compose_from_files(self, files, be, err) < 0)
        llm_emulator_destroy(&self);
    else
        describe(self, NULL);
    return self;
}
