/*
 * share.c - the cores and devices of a process, shared among what computes there.
 */
#include "actors/launcher/share.h"

/* What is 0 by the cores. */
static void fill(fmq_share_t *self, uint32_t actors, unsigned cores)
{
    if (self->permits == 0 && self->threads > 0)
        self->permits = cores / self->threads;
    if (self->permits == 0)
        self->permits = cores;
    if (self->permits > actors)
        self->permits = actors;
    if (self->permits == 0)
        self->permits = 1;
    if (self->threads == 0)
        self->threads = cores / self->permits;
    if (self->threads == 0)
        self->threads = 1;
}

/* How many may compute at once where nobody says: one a GPU, or with a team one
 * a team, on the CPU as many as have a core for each worker; 0: as without any. */
static uint64_t permits_of(const fmq_compute_settings_t *compute, unsigned cores)
{
    size_t workers = compute->team.size;
    if (fmq_compute_on_gpu(compute))
        return workers > 1 ? 1 : compute->devices.size;
    return workers > 1 ? (cores > workers ? cores / workers : 1) : 0;
}

static void names_of(const fmq_device_list_t *list, const char *names[FMQ_DEVICE_LIST_MAX])
{
    for (size_t i = 0; i < list->size; i++)
        names[i] = list->names[i];
}

static fmq_devices_t *open_devices(const fmq_share_t *self, const fmq_compute_settings_t *compute,
                                   fmq_error_t *err)
{
    const char *devices[FMQ_DEVICE_LIST_MAX], *team[FMQ_DEVICE_LIST_MAX];
    names_of(&compute->devices, devices);
    names_of(&compute->team, team);
    const fmq_devices_plan_t plan = {.devices = devices,
                                     .devices_size = compute->devices.size,
                                     .team = team,
                                     .team_size = compute->team.size,
                                     .sharded = compute->sharded,
                                     .permits = (unsigned)self->permits,
                                     .threads = (unsigned)self->threads};
    return fmq_devices_open(&plan, err);
}

fmq_devices_t *fmq_share_open(fmq_share_t *self, const fmq_compute_settings_t *compute,
                              uint32_t actors, unsigned cores, fmq_error_t *err)
{
    if (self->permits == 0 && self->threads == 0)
        self->permits = permits_of(compute, cores);
    fill(self, actors, cores);
    return open_devices(self, compute, err);
}
