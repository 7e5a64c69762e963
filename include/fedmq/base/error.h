/*
 * error.h - what went wrong, where, why and what to do about it.
 *
 * A fallible function takes an fmq_error_t * last and returns -1 (or NULL)
 * after filling it.  The setter itself returns -1, so that a failure path is
 * one statement.  An error is plain data on the caller's stack; err may be
 * NULL everywhere, when the caller does not want the text.
 */
#ifndef FEDMQ_BASE_ERROR_H
#define FEDMQ_BASE_ERROR_H

#include <stdarg.h>

#include "fedmq/base/api.h"

FMQ_API_BEGIN

#define FMQ_ERROR_TEXT_MAX 1024 /* bytes with the final NUL; longer texts are cut */

typedef enum {
    FMQ_OK = 0,
    FMQ_ERR_NOMEM,       /* out of memory */
    FMQ_ERR_IO,          /* the operating system refused: file, disk, socket */
    FMQ_ERR_FORMAT,      /* a file or message is not what it claims to be */
    FMQ_ERR_CONFIG,      /* a mistake in the configuration or command line */
    FMQ_ERR_LIMIT,       /* beyond a documented limit */
    FMQ_ERR_MISMATCH,    /* two things that must agree do not: shapes, digests */
    FMQ_ERR_NOTFOUND,    /* no such file, model, key, tensor, member */
    FMQ_ERR_DENIED,      /* a role, key or address that may not do this */
    FMQ_ERR_TIMEOUT,     /* nothing was heard in time */
    FMQ_ERR_STOPPED,     /* asked to stop: $TERM, Ctrl-C */
    FMQ_ERR_UNSUPPORTED, /* valid, but this program does not act on it */
    FMQ_ERR_NUMERIC,     /* NaN or infinity where a number was needed */
    FMQ_ERR_FAILED,      /* what others lead, and we took part in, has failed */
    FMQ_ERR_INTERNAL     /* a mistake of ours */
} fmq_error_code_t;

typedef struct {
    fmq_error_code_t code;
    char text[FMQ_ERROR_TEXT_MAX];
} fmq_error_t;

/* Fills err (when not NULL) with code and the formatted text: lower case, no
 * full stop, the subject quoted.  Always returns -1. */
int fmq_error_set(fmq_error_t *err, fmq_error_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As fmq_error_set() with a va_list. */
int fmq_error_setv(fmq_error_t *err, fmq_error_code_t code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Makes err (when not NULL) say what other says: a failure that was looked at is passed on.  Always
 * returns -1. */
int fmq_error_copy(fmq_error_t *err, const fmq_error_t *other);

/* Puts "<formatted>: " before the text that is already in err, keeping its
 * code: how a caller says where it was.  Always returns -1. */
int fmq_error_prefix(fmq_error_t *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes err say FMQ_OK and an empty text. */
void fmq_error_clear(fmq_error_t *err);

/* The constant's name in lower case without FMQ_ERR_, such as "mismatch". */
const char *fmq_error_name(fmq_error_code_t code);

/* The documented process exit status for a code (docs/exit-codes.md):
 * 0 for FMQ_OK, 2 for FMQ_ERR_CONFIG, 130 for FMQ_ERR_STOPPED, and so on. */
int fmq_error_exit_status(fmq_error_code_t code);

FMQ_API_END

#endif
