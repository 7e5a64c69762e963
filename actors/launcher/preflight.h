/*
 * preflight.h - whether a run could start here: everything that it opens at
 * its start is opened and closed again, and nothing is written.
 *
 * It is asked by `fedmq config check`, after the configuration itself has been
 * found right.  What depends on the moment (ports, who comes) is not asked.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_PREFLIGHT_H
#define FEDMQ_ACTORS_LAUNCHER_PREFLIGHT_H

#include <stdbool.h>

#include "fedmq/base/config.h"

/* Prints every reason against it to standard error, one a line, and what is to
 * be known beside to standard output; objects with json.  0, or -1 with err
 * saying how many reasons there are, with the code of the first. */
int fmq_preflight(const fmq_config_t *config, bool json, fmq_error_t *err);

#endif
