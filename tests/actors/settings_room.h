/*
 * settings_room.h - a configuration for a test to fill and translate.
 */
#ifndef FEDMQ_TESTS_ACTORS_SETTINGS_ROOM_H
#define FEDMQ_TESTS_ACTORS_SETTINGS_ROOM_H

#include <string.h>

#include "actors/settings/settings.h"

static fmq_config_t *config;
static fmq_error_t err;

static inline int set_up(void **state)
{
    (void)state;
    config = fmq_config_new();
    err = (fmq_error_t){0};
    return config ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    fmq_config_destroy(&config);
    return 0;
}

/* An empty configuration, in the middle of a test. */
static inline void start_anew(void)
{
    (void)tear_down(NULL);
    (void)set_up(NULL);
}

static inline void given(const char *yaml)
{
    if (fmq_config_parse(config, "given.yaml", yaml, strlen(yaml), &err) < 0)
        fail_msg("%s", err.text);
}

#endif
