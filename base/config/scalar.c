/*
 * scalar.c - the grammar of numbers and truth values, written out: strtod()
 * alone would take "0x1p3", "inf" and leading blanks.
 */
#include "base/config/scalar.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 64 /* characters of a number */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

/* Passes digits with single underscores between them; the number of digits. */
static size_t skip_digits(const char **at)
{
    size_t digits = 0;
    while (is_digit(**at) || (digits && **at == '_' && is_digit((*at)[1]))) {
        digits += **at != '_';
        (*at)++;
    }
    return digits;
}

static bool skip_exponent(const char **at)
{
    if (**at != 'e' && **at != 'E')
        return false;
    const char *after = *at + 1;
    if (*after == '+' || *after == '-')
        after++;
    if (!skip_digits(&after))
        return false;
    *at = after;
    return true;
}

/* FMQ_SCALAR_INT, FMQ_SCALAR_REAL or FMQ_SCALAR_TEXT. */
static fmq_scalar_kind_t number_kind(const char *text)
{
    const char *at = text;
    if (*at == '+' || *at == '-')
        at++;
    bool leading_zero = at[0] == '0' && is_digit(at[1]);
    size_t digits = skip_digits(&at);
    bool real = false;
    if (*at == '.') {
        at++;
        real = true;
        digits += skip_digits(&at);
    }
    if (!digits)
        return FMQ_SCALAR_TEXT;
    real |= skip_exponent(&at);
    if (*at || at - text >= NUMBER_MAX || (leading_zero && !real))
        return FMQ_SCALAR_TEXT;
    return real ? FMQ_SCALAR_REAL : FMQ_SCALAR_INT;
}

fmq_scalar_kind_t fmq_scalar_kind(const char *text)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL", "None"};
    bool truth;
    if (is_one_of(text, nothing, sizeof nothing / sizeof *nothing))
        return FMQ_SCALAR_NULL;
    if (fmq_scalar_bool(text, &truth) == 0)
        return FMQ_SCALAR_BOOL;
    return number_kind(text);
}

int fmq_scalar_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"True", "true", "TRUE", "yes", "Yes",
                                      "YES",  "on",   "On",   "ON"};
    static const char *const no[] = {"False", "false", "FALSE", "no", "No",
                                     "NO",    "off",   "Off",   "OFF"};
    if (is_one_of(text, yes, sizeof yes / sizeof *yes))
        *out = true;
    else if (is_one_of(text, no, sizeof no / sizeof *no))
        *out = false;
    else
        return -1;
    return 0;
}

/* The number without its underscores. */
static void plain_digits(const char *text, char out[NUMBER_MAX])
{
    size_t n = 0;
    for (; *text && n < NUMBER_MAX - 1; text++)
        if (*text != '_')
            out[n++] = *text;
    out[n] = '\0';
}

int fmq_scalar_real(const char *text, double *out)
{
    if (number_kind(text) == FMQ_SCALAR_TEXT)
        return -1;
    char digits[NUMBER_MAX];
    plain_digits(text, digits);
    double value = strtod(digits, NULL);
    if (!isfinite(value))
        return -1;
    *out = value;
    return 0;
}

int fmq_scalar_int(const char *text, int64_t *out)
{
    fmq_scalar_kind_t kind = number_kind(text);
    if (kind == FMQ_SCALAR_INT) {
        char digits[NUMBER_MAX];
        plain_digits(text, digits);
        errno = 0;
        long long value = strtoll(digits, NULL, 10);
        if (errno)
            return -1;
        *out = value;
        return 0;
    }
    double value;
    if (kind != FMQ_SCALAR_REAL || fmq_scalar_real(text, &value) < 0)
        return -1;
    if (value != floor(value) || fabs(value) > 0x1p53) /* beyond it a double skips integers */
        return -1;
    *out = (int64_t)value;
    return 0;
}
