/*
 * link.c - fedmq.heartbeat and fedmq.peer_timeout in milliseconds.
 */
#include "actors/settings/settings.h"

static uint32_t milliseconds(const fmq_config_t *config, const char *key)
{
    double value = fmq_config_real(config, key) * 1000;
    if (value < 1)
        return 1;
    return value > INT32_MAX ? INT32_MAX : (uint32_t)value;
}

void fmq_settings_times(const fmq_config_t *config, uint32_t *heartbeat_ms, uint32_t *timeout_ms)
{
    *heartbeat_ms = milliseconds(config, "fedmq.heartbeat");
    *timeout_ms = milliseconds(config, "fedmq.peer_timeout");
}
