/*
 * obstacles.h - what is in the way of what a run will write.
 *
 * A run writes for hours; a folder where its checkpoint belongs, or a file
 * that it may not replace, is better known before it begins.  Nothing is
 * written here.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_OBSTACLES_H
#define FEDMQ_ACTORS_LAUNCHER_OBSTACLES_H

#include "fedmq/base/config.h"

/* Looks at everything below directory, and at where federate.save_to and
 * emu_align.save_to lead.  0, or -1 with FMQ_ERR_IO naming the path. */
int fmq_obstacles_check(const char *directory, const fmq_config_t *config, fmq_error_t *err);

/* The same for a directory that is still to be made, or to get a child. */
int fmq_obstacles_check_new(const char *directory, const fmq_config_t *config, fmq_error_t *err);

#endif
