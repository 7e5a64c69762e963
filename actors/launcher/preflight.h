/*
 * preflight.h - whether a run could start here: everything that it opens at
 * its start is opened and closed again, and nothing is written.
 *
 * It is asked by `fedmq config check`, after the configuration itself has been
 * found right.  What depends on the moment (ports, who comes) is not asked.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_PREFLIGHT_H
#define FEDMQ_ACTORS_LAUNCHER_PREFLIGHT_H

#include <stdio.h>

#include "fedmq/base/config.h"

/* Prints every reason against it to out, one a line.  0, or -1 with err saying
 * how many there are, with the code of the first. */
int fmq_preflight(const fmq_config_t *config, FILE *out, fmq_error_t *err);

#endif
