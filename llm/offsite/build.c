/*
 * build.c - an emulator of an open teacher: which part files it needs, under which
 * names; calls the strategy for those that are missing, and puts all together.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "llm/hub/file.h"
#include "llm/offsite/emulator.h"
#include "llm/offsite/strategy.h"

static char *path_of(const llm_making_t *self, uint32_t i, const fmq_digest_t *common)
{
    char name[160], hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_t key = llm_making_key(self, i, common);
    fmq_digest_hex(&key, hex);
    (void)snprintf(name, sizeof name, "%s-%04u-%s.safetensors", llm_making_strategy(self->spec),
                   llm_making_source(self, i), hex);
    return llm_file_path(self->how->directory, name);
}

static char **paths_new(const llm_making_t *self, fmq_error_t *err)
{
    uint32_t count = llm_making_layers(self);
    char **paths = calloc(count, sizeof *paths);
    fmq_digest_t common = llm_making_key_common(self);
    for (uint32_t i = 0; paths && i < count; i++) {
        paths[i] = path_of(self, i, &common);
        if (!paths[i])
            llm_making_paths_destroy(&paths, count);
    }
    if (!paths)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an emulator's paths");
    return paths;
}

static int check(const llm_making_t *self, fmq_error_t *err)
{
    const llm_emulator_spec_t *spec = self->spec;
    bool looks =
        spec->strategy == LLM_DISTILLATION || (spec->strategy == LLM_PRUNING && spec->structured);
    if (!self->how->directory)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "an emulator made by %s needs a directory for its layers",
                             llm_making_strategy(spec));
    if (looks && (!self->how->data || llm_dataset_size(self->how->data) == 0))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "an emulator made by %s needs public examples, and there are none",
                             llm_making_strategy(spec));
    if (spec->strategy == LLM_DISTILLATION && !self->how->distil)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "distillation is not told how to train");
    if (mkdir(self->how->directory, 0777) < 0 && errno != EEXIST)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot create '%s' for an emulator's layers: %s",
                             self->how->directory, strerror(errno));
    return 0;
}

static int make(const llm_making_t *self, char *const *paths, fmq_error_t *err)
{
    switch (self->spec->strategy) {
    case LLM_PRUNING:
        return self->spec->structured ? llm_make_narrowed(self, paths, err)
                                      : llm_make_pruned(self, paths, err);
    case LLM_QUANTIZATION:
        return llm_make_quantized(self, paths, err);
    case LLM_DISTILLATION:
        return llm_make_distilled(self, paths, err);
    default:
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "%s makes no layers of its own",
                             llm_making_strategy(self->spec));
    }
}

static char **make_files(const llm_making_t *self, fmq_error_t *err)
{
    if (check(self, err) < 0)
        return NULL;
    char **paths = paths_new(self, err);
    if (!paths)
        return NULL;
    uint32_t count = llm_making_layers(self), there = 0;
    while (there < count && llm_making_has(paths[there]))
        there++;
    if (there < count && make(self, paths, err) < 0)
        llm_making_paths_destroy(&paths, count);
    return paths;
}

static int finish(llm_emulator_t *self, const llm_model_t *teacher, const llm_emulator_spec_t *spec,
                  const llm_emulator_building_t *how, fmq_error_t *err)
{
    char **paths = NULL;
    const llm_making_t making = {teacher, spec, how, llm_emulator_structure(self)};
    if (spec->strategy != LLM_DROP_LAYER && !(paths = make_files(&making, err)))
        return -1;
    int rc = llm_emulator_compose(self, teacher, paths, err);
    llm_making_paths_destroy(&paths, llm_making_layers(&making));
    return rc;
}

llm_emulator_t *llm_emulator_new(const llm_model_t *teacher, const llm_emulator_spec_t *spec,
                                 const llm_emulator_building_t *how, fmq_error_t *err)
{
    llm_emulator_t *self = llm_emulator_begin(teacher, spec, err);
    if (self && finish(self, teacher, spec, how, err) < 0)
        llm_emulator_destroy(&self);
    return self;
}
