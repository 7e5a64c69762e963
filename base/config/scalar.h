/*
 * scalar.h - what a piece of text means as a value: nothing, a truth value, a
 * number or just text.  One grammar for YAML files and Python literals.
 */
#ifndef FEDMQ_BASE_CONFIG_SCALAR_H
#define FEDMQ_BASE_CONFIG_SCALAR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    FMQ_SCALAR_NULL,
    FMQ_SCALAR_BOOL,
    FMQ_SCALAR_INT,
    FMQ_SCALAR_REAL,
    FMQ_SCALAR_TEXT
} fmq_scalar_kind_t;

/* What unquoted text is.  "3e-4" and "1e3" are reals, "1_000" an integer,
 * "010" a text (YAML and Python disagree about it). */
fmq_scalar_kind_t fmq_scalar_kind(const char *text);

/* 0, or -1 when text is not of that kind or does not fit.  An integral real
 * ("3.0") is an integer too, and every integer is a real. */
int fmq_scalar_bool(const char *text, bool *out);
int fmq_scalar_int(const char *text, int64_t *out);
int fmq_scalar_real(const char *text, double *out);

#endif
