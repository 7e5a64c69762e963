/*
 * making.c - what all strategies need of a making: whose layer it is, whether its
 * file is there, and who is told.
 */
#include <stdlib.h>

#include "llm/hub/file.h"
#include "llm/offsite/strategy.h"

const char *llm_making_strategy(const llm_emulator_spec_t *spec)
{
    switch (spec->strategy) {
    case LLM_DROP_LAYER:
        return "drop_layer";
    case LLM_PRUNING:
        return spec->structured ? "pruning-structured" : "pruning-magnitude";
    case LLM_QUANTIZATION:
        return "quantization";
    case LLM_DISTILLATION:
        return "distillation";
    }
    return "unknown";
}

uint32_t llm_making_source(const llm_making_t *self, uint32_t i)
{
    return self->structure->source[self->structure->l + i];
}

uint32_t llm_making_layers(const llm_making_t *self)
{
    return self->structure->behind - self->structure->l;
}

int llm_making_progress(const llm_making_t *self, uint32_t i, fmq_error_t *err)
{
    const llm_emulator_building_t *how = self->how;
    if (how->progress && how->progress(how->argument, i + 1, llm_making_layers(self), 0) != 0)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while the emulator was made");
    return 0;
}

bool llm_making_has(const char *path)
{
    if (!llm_file_exists(path))
        return false;
    llm_weights_t *weights = llm_weights_open(path, NULL);
    bool readable = weights != NULL;
    llm_weights_close(&weights);
    return readable;
}

int llm_making_each(const llm_making_t *self, char *const *paths, llm_make_layer_fn *make,
                    fmq_error_t *err)
{
    for (uint32_t i = 0; i < llm_making_layers(self); i++) {
        if (!llm_making_has(paths[i]) && make(self, i, paths[i], err) < 0)
            return fmq_error_prefix(err, "layer %u for the emulator", llm_making_source(self, i));
        if (llm_making_progress(self, i, err) < 0)
            return -1;
    }
    return 0;
}

void llm_making_paths_destroy(char ***paths_p, uint32_t count)
{
    char **paths = *paths_p;
    for (uint32_t i = 0; paths && i < count; i++)
        free(paths[i]);
    free(paths);
    *paths_p = NULL;
}
