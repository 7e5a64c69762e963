/*
 * structure.c - see structure.h.
 */
#include "llm/offsite/structure.h"

#include <stdlib.h>
#include <string.h>

#include "llm/offsite/quantize.h"

static int check_ratio(const char *name, double ratio, fmq_error_t *err)
{
    if (ratio >= 0.0 && ratio < 1.0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%s is %g; it must be at least 0 and below 1", name,
                         ratio);
}

static int check_numbers(const llm_emulator_spec_t *spec, fmq_error_t *err)
{
    switch (spec->strategy) {
    case LLM_DROP_LAYER:
    case LLM_DISTILLATION:
        return check_ratio("drop_ratio", spec->drop_ratio, err);
    case LLM_PRUNING:
        return check_ratio("pruning's ratio", spec->prune_ratio, err);
    case LLM_QUANTIZATION:
        if (spec->group > LLM_QUANTIZATION_GROUP_MAX || (spec->group & (spec->group - 1)) != 0)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "quantization in groups of %u; a power of two up to %d is needed",
                                 spec->group, LLM_QUANTIZATION_GROUP_MAX);
        if (spec->bits != 4 && spec->bits != 8)
            return fmq_error_set(err, FMQ_ERR_CONFIG, "quantization to %u bits; 8 and 4 exist",
                                 spec->bits);
        return 0;
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%d is no way to make an emulator",
                         (int)spec->strategy);
}

static int allocate(llm_structure_t *self, fmq_error_t *err)
{
    self->source = calloc(self->full, sizeof *self->source);
    if (!self->source)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list of %u layers",
                             self->full);
    return 0;
}

/* The numbers of E's layers within [l, r); returns how many. */
static uint32_t choose(const llm_structure_t *self, const llm_emulator_spec_t *spec, uint32_t *kept)
{
    uint32_t m = self->r - self->l, n = m;
    if (spec->strategy == LLM_DROP_LAYER || spec->strategy == LLM_DISTILLATION)
        return llm_drop_layer_kept(m, spec->drop_ratio, kept);
    for (uint32_t i = 0; i < m; i++)
        kept[i] = i;
    return n;
}

int llm_structure_init(llm_structure_t *self, uint32_t full, const llm_emulator_spec_t *spec,
                       fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (check_numbers(spec, err) < 0)
        return -1;
    /* FedBiOT's clamping: FS-LLM also lifts l to 1.  The last layer is always A's. */
    self->full = full;
    self->l = spec->emu_l;
    self->r = spec->emu_r < full ? spec->emu_r : full - 1;
    if (self->l >= self->r)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "emu_l %u and emu_r %u leave nothing to emulate in a model of %u "
                             "layers: they mean layers [%u, %u), and the last layer always belongs "
                             "to the adapter",
                             spec->emu_l, spec->emu_r, full, self->l, self->r);
    if (allocate(self, err) < 0)
        return -1;
    uint32_t *next = self->source;
    for (uint32_t i = 0; i < self->l; i++)
        *next++ = i;
    uint32_t kept = choose(self, spec, next);
    for (uint32_t i = 0; i < kept; i++)
        *next++ += self->l;
    self->behind = self->l + kept;
    for (uint32_t i = self->r; i < full; i++)
        *next++ = i;
    self->layers = (uint32_t)(next - self->source);
    return 0;
}

/* Do A's layers stand for themselves, and E's for some of [l, r) in order? */
static int check_source(const llm_emulator_files_t *files, fmq_error_t *err)
{
    for (uint32_t i = 0; i < files->layers; i++) {
        uint32_t source = files->source[i], first = files->l, behind = files->r;
        if (i < files->l) {
            first = i;
            behind = i + 1;
        } else if (i >= files->behind) {
            first = files->r + (i - files->behind);
            behind = first + 1;
        } else if (i > files->l) {
            first = files->source[i - 1] + 1;
        }
        if (source < first || source >= behind)
            return fmq_error_set(err, FMQ_ERR_MISMATCH,
                                 "layer %u of the client's model stands for layer %u where "
                                 "one of [%u, %u) belongs",
                                 i, source, first, behind);
    }
    return 0;
}

int llm_structure_copy(llm_structure_t *self, const llm_emulator_files_t *files, fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    uint32_t full = files->full.layers;
    bool sound = full >= 1 && full <= LLM_LAYERS_MAX && files->l < files->r && files->r <= full &&
                 files->behind > files->l && files->behind - files->l <= files->r - files->l &&
                 files->layers == files->behind + (full - files->r);
    if (!sound)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "a client's model of %u layers, [%u, %u) of them the emulator, does "
                             "not stand for layers [%u, %u) of a model of %u",
                             files->layers, files->l, files->behind, files->l, files->r, full);
    if (check_source(files, err) < 0)
        return -1;
    *self = (llm_structure_t){.full = full,
                              .l = files->l,
                              .r = files->r,
                              .layers = files->layers,
                              .behind = files->behind};
    if (allocate(self, err) < 0)
        return -1;
    memcpy(self->source, files->source, files->layers * sizeof *self->source);
    return 0;
}

llm_shape_t llm_structure_shape(const llm_structure_t *self, const llm_shape_t *full)
{
    llm_shape_t shape = *full;
    shape.layers = self->layers;
    for (uint32_t l = 0; l < self->layers; l++)
        llm_shape_take_layer(&shape, l, full, self->source[l]);
    return shape;
}

void llm_structure_release(llm_structure_t *self)
{
    free(self->source);
    memset(self, 0, sizeof *self);
}

llm_layer_set_t llm_structure_plugged(const llm_structure_t *self)
{
    llm_layer_set_t set = {0};
    llm_layer_set_add(&set, 0, self->l);
    llm_layer_set_add(&set, self->r, self->full);
    return set;
}

llm_layer_set_t llm_structure_adapter(const llm_structure_t *self)
{
    llm_layer_set_t set = {0};
    llm_layer_set_add(&set, 0, self->l);
    llm_layer_set_add(&set, self->behind, self->layers);
    return set;
}

llm_layer_set_t llm_structure_emulator(const llm_structure_t *self)
{
    llm_layer_set_t set = {0};
    llm_layer_set_add(&set, self->l, self->behind);
    return set;
}
