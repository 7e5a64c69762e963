/*
 * error.c - fills error texts.  Knows nothing of logs: who has an error decides
 * whether anybody should read it.
 */
#include "fedmq/base/error.h"

#include <stdio.h>
#include <string.h>

int fmq_error_setv(fmq_error_t *err, fmq_error_code_t code, const char *format, va_list args)
{
    if (err) {
        err->code = code;
        (void)vsnprintf(err->text, sizeof err->text, format, args);
    }
    return -1;
}

int fmq_error_set(fmq_error_t *err, fmq_error_code_t code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fmq_error_setv(err, code, format, args);
    va_end(args);
    return -1;
}

int fmq_error_copy(fmq_error_t *err, const fmq_error_t *other)
{
    if (err && err != other)
        *err = *other;
    return -1;
}

int fmq_error_prefix(fmq_error_t *err, const char *format, ...)
{
    if (!err)
        return -1;
    char head[FMQ_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(head, sizeof head, format, args);
    va_end(args);

    char tail[FMQ_ERROR_TEXT_MAX];
    memcpy(tail, err->text, sizeof tail);
    size_t used = strlen(head);
    memcpy(err->text, head, used + 1);
    (void)snprintf(err->text + used, sizeof err->text - used, ": %s", tail);
    return -1;
}

void fmq_error_clear(fmq_error_t *err)
{
    if (err) {
        err->code = FMQ_OK;
        err->text[0] = '\0';
    }
}

static const struct {
    const char *name;
    int exit_status;
} codes[] = {
    [FMQ_OK] = {"ok", 0},
    [FMQ_ERR_NOMEM] = {"nomem", 12},
    [FMQ_ERR_IO] = {"io", 4},
    [FMQ_ERR_FORMAT] = {"format", 5},
    [FMQ_ERR_CONFIG] = {"config", 2},
    [FMQ_ERR_LIMIT] = {"limit", 6},
    [FMQ_ERR_MISMATCH] = {"mismatch", 7},
    [FMQ_ERR_NOTFOUND] = {"notfound", 3},
    [FMQ_ERR_DENIED] = {"denied", 8},
    [FMQ_ERR_TIMEOUT] = {"timeout", 9},
    [FMQ_ERR_STOPPED] = {"stopped", 130},
    [FMQ_ERR_UNSUPPORTED] = {"unsupported", 10},
    [FMQ_ERR_NUMERIC] = {"numeric", 11},
    [FMQ_ERR_FAILED] = {"failed", 13},
    [FMQ_ERR_INTERNAL] = {"internal", 70},
};

const char *fmq_error_name(fmq_error_code_t code)
{
    return code < sizeof codes / sizeof *codes ? codes[code].name : "unknown";
}

int fmq_error_exit_status(fmq_error_code_t code)
{
    return code < sizeof codes / sizeof *codes ? codes[code].exit_status : 70;
}
