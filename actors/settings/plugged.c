/*
 * plugged.c - which layers the adapter has once the model's shape is known.
 */
#include "actors/settings/settings.h"

int fmq_settings_plugged(const fmq_offsite_settings_t *offsite, uint32_t layers,
                         llm_adapter_spec_t *out, fmq_error_t *err)
{
    uint32_t l = offsite->emulator.emu_l, r = offsite->emulator.emu_r;
    llm_adapter_spec_t spec = offsite->emulator.adapter;
    l = l < layers ? l : layers;
    r = r < layers ? r : layers;
    if (l >= r || r - l >= layers)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the emulator would replace layers [%u, %u) of %u: it must leave some "
                             "to adapt and replace some; change llm.offsite_tuning.emu_l and emu_r",
                             l, r, layers);
    spec.layers = (llm_layer_set_t){0};
    llm_layer_set_add(&spec.layers, 0, l);
    llm_layer_set_add(&spec.layers, r, layers);
    *out = spec;
    return 0;
}
