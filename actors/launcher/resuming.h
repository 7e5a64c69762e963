/*
 * resuming.h - whether the run in a directory can go on with a configuration.
 *
 * Asked before anything is written: a run that is refused stays as it was,
 * byte for byte.  What may differ is a column of the table of keys.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_RESUMING_H
#define FEDMQ_ACTORS_LAUNCHER_RESUMING_H

#include "fedmq/base/config.h"
#include "fedmq/base/digest.h"

/* Compares config with the run's own config.yaml and with how far the run is.
 * *changes_p becomes "key: old -> new; ..." of what differs and may (the
 * caller's; "" when nothing does).  -1 with FMQ_ERR_MISMATCH naming keys and
 * both values (each of them a line
 * on standard error, an object with json), FMQ_ERR_CONFIG for fewer rounds than are done,
 * FMQ_ERR_NOTFOUND where there is no run, FMQ_ERR_FORMAT when it is damaged. */
int fmq_resuming_check(const char *directory, const fmq_config_t *config, bool json,
                       char **changes_p, fmq_error_t *err);

/* -1 with FMQ_ERR_MISMATCH when the run was made with another base model. */
int fmq_resuming_check_model(const char *directory, const fmq_digest_t *model, fmq_error_t *err);

#endif
