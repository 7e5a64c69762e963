/*
 * compute.c - where a process computes, and what it keeps frozen weights as.
 */
#include <stdio.h>
#include <string.h>

#include "actors/settings/settings.h"

/* A whole model that trains is fp32 in one vector: nothing of it is frozen. */
static int check_frozen(const fmq_config_t *config, const llm_form_choice_t *weights,
                        fmq_error_t *err)
{
    if (!weights->given || weights->form == LLM_FORM_F32 ||
        fmq_config_bool(config, "llm.adapter.use"))
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: fedmq.weights is %s, but llm.adapter.use is False: the model's own "
                         "weights train, in fp32, and none is frozen; leave fedmq.weights out, or "
                         "train an adapter",
                         fmq_config_origin(config, "fedmq.weights"), llm_form_choice_name(weights));
}

int fmq_settings_compute(const fmq_config_t *config, fmq_compute_settings_t *out, fmq_error_t *err)
{
    fmq_compute_settings_t settings = {
        .device = fmq_compute_device(fmq_config_bool(config, "train.is_enable_half")),
        .lacks_gpu = fmq_config_bool(config, "use_gpu")};
    if (llm_form_choice_parse(fmq_config_text(config, "fedmq.weights"), &settings.weights, err) < 0)
        return fmq_error_prefix(err, "%s", fmq_config_origin(config, "fedmq.weights"));
    if (check_frozen(config, &settings.weights, err) < 0)
        return -1;
    if (settings.lacks_gpu && fmq_config_bool(config, "fedmq.require_gpu"))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%s: fedmq.require_gpu is True, but this build has no GPU module; set "
                             "it to False to compute on the CPU",
                             fmq_config_origin(config, "fedmq.require_gpu"));
    *out = settings;
    return 0;
}

const char *fmq_compute_device(bool half)
{
    return half ? "cpu:bf16" : "cpu";
}
