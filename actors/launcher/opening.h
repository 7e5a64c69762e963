/*
 * opening.h - what commands open: the configuration, the model, the log.
 *
 * It is the one place that knows in which order these are opened and checked.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_OPENING_H
#define FEDMQ_ACTORS_LAUNCHER_OPENING_H

#include "actors/launcher/aftermath.h"
#include "actors/launcher/command.h"
#include "actors/launcher/engine.h"
#include "fedmq/actors/actors.h"

/* Defaults, --cfg, --client_cfg and KEY VALUE pairs, not yet checked: mistakes
 * are in the config.  NULL with err when memory runs out or --cfg is missing. */
fmq_config_t *fmq_opening_merge(const fmq_arguments_t *arguments, const fmq_words_t *words,
                                fmq_error_t *err);

/* The same, checked: every mistake goes to stderr, also those that only the
 * settings' translations find. */
fmq_config_t *fmq_opening_config(const fmq_arguments_t *arguments, const fmq_words_t *words,
                                 fmq_error_t *err);
/* Checks and reports, with json as objects {"event":"mistake","text":..}; log may
 * be NULL.  0, or -1 with err saying how many. */
int fmq_opening_check(fmq_config_t *config, bool json, fmq_log_t *log, fmq_error_t *err);

/* The run's directory (see rundir.h), locked; nothing is in the way there, and
 * a run that is resumed can go on with config.  The place is the caller's.  On
 * failure it is untouched, nothing is left, and a run that was there is as it
 * was. */
int fmq_opening_directory(fmq_run_place_t *place, const fmq_arguments_t *arguments,
                          const fmq_config_t *config, fmq_error_t *err);

/* Whether an evaluator belongs beside the server: federate.make_global_eval or
 * fedmq.match_tokens, unless an option says otherwise. */
bool fmq_opening_evaluator(const fmq_arguments_t *arguments, const fmq_config_t *config);

/* Cores that this process may use, at least 1. */
unsigned fmq_opening_cores(void);

/* Own records of a client or evaluator: --train, --val and --test files, or
 * --data split by data.splits; out[i] is NULL where nothing was given. */
int fmq_opening_records(const fmq_arguments_t *arguments, const fmq_config_t *config,
                        llm_records_t *out[3], fmq_error_t *err);
/* One file of records; type: its fields are those of that data.type ("dolly-15k"
 * or "dolly-15k@llm"), NULL: instruction, input, output; names: others than
 * those, as in fedmq.data_fields, or "". */
llm_records_t *fmq_opening_file(const char *path, const char *type, const char *names,
                                fmq_error_t *err);

#endif
