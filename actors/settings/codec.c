/*
 * codec.c - in what numbers travel: fedmq.codec, and what extensions bring beside it.
 */
#include "actors/settings/settings.h"

#include "fedmq/extend/codec.h"

int fmq_settings_codec(const fmq_config_t *config, fmq_codec_t *out, fmq_error_t *err)
{
    const char *name = fmq_config_text(config, "fedmq.codec");
    int number = fmq_codec_find(name);
    const fmq_codec_ops_t *own = fmq_config_offered(config, "fedmq.codec", name);
    if (number < 0 && !own)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no codec '%s' (fedmq.codec)", name);
    *out = number < 0 ? (fmq_codec_t)own->number : (fmq_codec_t)number;
    return 0;
}
