/*
 * share.h - how many compute at once in a process, with how many threads each,
 * and on which devices.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_SHARE_H
#define FEDMQ_ACTORS_LAUNCHER_SHARE_H

#include "actors/settings/settings.h"
#include "fedmq/actors/devices.h"

typedef struct {
    uint64_t permits, threads; /* 0: fmq_share_open() decides */
} fmq_share_t;

/* Decides what is 0 in self (by the GPUs or teams that compute names, else by
 * the cores, shared among the actors that compute) and opens the devices so. */
fmq_devices_t *fmq_share_open(fmq_share_t *self, const fmq_compute_settings_t *compute,
                              uint32_t actors, unsigned cores, fmq_error_t *err);

#endif
