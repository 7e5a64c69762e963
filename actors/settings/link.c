/*
 * link.c - fedmq.heartbeat, fedmq.peer_timeout and fedmq.connect_timeout in
 * milliseconds.
 */
#include "actors/settings/settings.h"

static uint32_t milliseconds(const fmq_config_t *config, const char *key)
{
    double value = fmq_config_real(config, key) * 1000;
    if (value < 1)
        return 1;
    return value > INT32_MAX ? INT32_MAX : (uint32_t)value;
}

uint32_t fmq_settings_connect(const fmq_config_t *config)
{
    return fmq_config_real(config, "fedmq.connect_timeout") > 0
               ? milliseconds(config, "fedmq.connect_timeout")
               : 0;
}

void fmq_settings_times(const fmq_config_t *config, uint32_t *heartbeat_ms, uint32_t *timeout_ms)
{
    *heartbeat_ms = milliseconds(config, "fedmq.heartbeat");
    *timeout_ms = milliseconds(config, "fedmq.peer_timeout");
}
