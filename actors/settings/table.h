/*
 * table.h - reads an open node of the configuration by a table of names.
 *
 * A row says which keyword is understood and how its value is taken.  A
 * keyword without a row is refused, naming those that have one.
 */
#ifndef FEDMQ_ACTORS_SETTINGS_TABLE_H
#define FEDMQ_ACTORS_SETTINGS_TABLE_H

#include "fedmq/base/config.h"

#define FMQ_SETTINGS_KEY_MAX 256 /* bytes of a full key with NUL */

/* Takes the value of key (its full path) into out, a struct of the caller's. */
typedef int(fmq_setting_fn)(const fmq_config_t *config, const char *key, void *out,
                            fmq_error_t *err);

typedef struct {
    const char *name; /* last part of the key */
    fmq_setting_fn *take;
} fmq_setting_t;

/* A table ends with a row whose name is NULL. */
int fmq_settings_take(const fmq_config_t *config, const char *node, const fmq_setting_t *table,
                      void *out, fmq_error_t *err);

/* Rows for keywords that are understood at their harmless value only. */
fmq_setting_fn fmq_setting_skip;      /* any value: it is read elsewhere */
fmq_setting_fn fmq_setting_only_off;  /* False, None or absent-like */
fmq_setting_fn fmq_setting_only_true; /* True */

/* A real or an integer within [least, most], for a take function. */
int fmq_setting_real(const fmq_config_t *config, const char *key, const double range[2],
                     double *out, fmq_error_t *err);
int fmq_setting_int(const fmq_config_t *config, const char *key, const int64_t range[2],
                    int64_t *out, fmq_error_t *err);

/* Two reals within [least, most], as an optimizer's betas are written. */
int fmq_setting_betas(const fmq_config_t *config, const char *key, const double range[2],
                      double out[2], fmq_error_t *err);

/* Shares of train, val and test: a list of two or three numbers from 0 to 1
 * whose sum is at most 1.  What is not given is 0. */
int fmq_setting_shares(const fmq_config_t *config, const char *key, double out[3],
                       fmq_error_t *err);

#endif
