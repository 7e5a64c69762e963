/*
 * oniguruma.c - a single pass over an expression that copies it and replaces
 * what the two libraries read differently.  It does not parse: whatever else is
 * wrong with an expression, PCRE2 says so when it compiles it.
 */
#include "llm/tokenizer/oniguruma.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Oniguruma's word characters; outside of a class it takes those below 256
 * from a table of Latin-1, which has these fractions and superscripts too. */
#define WORD       "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD_ALONE WORD "\\xb2\\xb3\\xb9\\xbc-\\xbe"
#define IN_WORD    "[" WORD_ALONE "]"

#define NAME_MAX_SIZE 64 /* bytes of a property's or class's name */

typedef struct {
    const char *text;
    size_t size, at;
    bool in_class; /* between [ and ] */
    llm_text_t *out;
    fmq_error_t *err;
} rewrite_t;

static int refuse(const rewrite_t *rewrite, const char *what)
{
    return fmq_error_set(rewrite->err, FMQ_ERR_UNSUPPORTED, "the expression '%.*s' uses %s",
                         (int)(rewrite->size > 200 ? 200 : rewrite->size), rewrite->text, what);
}

static int put(rewrite_t *rewrite, const char *text)
{
    return llm_text_append(rewrite->out, text, strlen(text), rewrite->err);
}

static int copy(rewrite_t *rewrite, size_t size)
{
    return llm_text_append(rewrite->out, rewrite->text + rewrite->at, size, rewrite->err);
}

/* Whether PCRE2 knows a script of this name. */
static bool is_script(const char *name)
{
    char expression[NAME_MAX_SIZE + 16];
    int code;
    PCRE2_SIZE offset;
    (void)snprintf(expression, sizeof expression, "\\p{sc:%s}", name);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF,
                                         &code, &offset, NULL);
    pcre2_code_free(compiled);
    return compiled != NULL;
}

/* "\p{Name}", at its p.  A script's name means Script to Oniguruma, and
 * Script_Extensions to PCRE2 unless it is told. */
static int rewrite_property(rewrite_t *rewrite)
{
    const char *at = rewrite->text + rewrite->at;
    size_t left = rewrite->size - rewrite->at;
    const char *end = left > 1 && at[1] == '{' ? memchr(at, '}', left) : NULL;
    size_t size = end ? (size_t)(end - at) - 2 : 0;
    if (!end || size >= NAME_MAX_SIZE)
        return refuse(rewrite, "\\p without a name in braces");
    char name[NAME_MAX_SIZE], text[NAME_MAX_SIZE + 16];
    bool negated = size > 0 && at[2] == '^';
    (void)snprintf(name, sizeof name, "%.*s", (int)(size - negated), at + 2 + negated);
    (void)snprintf(text, sizeof text, "\\%c{%s%s%s}", *at, negated ? "^" : "",
                   size > 2 && is_script(name) ? "sc:" : "", name);
    rewrite->at += (size_t)(end - at);
    return put(rewrite, text);
}

/* An escape, at its letter. */
static int rewrite_escape(rewrite_t *rewrite)
{
    bool in_class = rewrite->in_class;
    switch (rewrite->text[rewrite->at]) {
    case 's': /* PCRE2's \s has U+180E too */
        return put(rewrite, "\\p{White_Space}");
    case 'S':
        return put(rewrite, "\\P{White_Space}");
    case 'w':
        return put(rewrite, in_class ? WORD : IN_WORD);
    case 'W':
        return in_class ? refuse(rewrite, "\\W within a class, which is not supported")
                        : put(rewrite, "[^" WORD_ALONE "]");
    case 'b': /* a backspace within a class */
        return put(rewrite, in_class ? "\\b"
                                     : "(?:(?<=" IN_WORD ")(?!" IN_WORD ")|(?<!" IN_WORD
                                       ")(?=" IN_WORD "))");
    case 'B':
        return put(rewrite, "(?:(?<=" IN_WORD ")(?=" IN_WORD ")|(?<!" IN_WORD ")(?!" IN_WORD "))");
    case 'h':
    case 'H':
        return refuse(rewrite, "\\h, which is not supported");
    case 'p':
    case 'P':
        return rewrite_property(rewrite);
    default:
        return put(rewrite, "\\") < 0 ? -1 : copy(rewrite, 1);
    }
}

/* "[:name:]" within a class, at its bracket. */
static int rewrite_posix(rewrite_t *rewrite)
{
    static const char *const names[][2] = {
        {"[:alpha:]", "\\p{Alphabetic}"},  {"[:upper:]", "\\p{Uppercase}"},
        {"[:lower:]", "\\p{Lowercase}"},   {"[:alnum:]", "\\p{Alphabetic}\\p{Nd}"},
        {"[:punct:]", "\\p{P}\\p{S}"},     {"[:digit:]", "\\p{Nd}"},
        {"[:space:]", "\\p{White_Space}"}, {"[:cntrl:]", "\\p{Cc}"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i][0]);
        if (rewrite->size - rewrite->at < size ||
            memcmp(rewrite->text + rewrite->at, names[i][0], size) != 0)
            continue;
        rewrite->at += size - 1;
        return put(rewrite, names[i][1]);
    }
    return refuse(rewrite, "a class within a class, which is not supported");
}

/* A character of a class. */
static int rewrite_member(rewrite_t *rewrite, char here, char next)
{
    if (here == '[')
        return rewrite_posix(rewrite);
    if (here == '&' && next == '&')
        return refuse(rewrite, "'&&' within a class, which is not supported");
    rewrite->in_class = here != ']';
    return copy(rewrite, 1);
}

/* Any other character. */
static int rewrite_plain(rewrite_t *rewrite)
{
    char here = rewrite->text[rewrite->at];
    char next = '\0';
    if (rewrite->at + 1 < rewrite->size)
        next = rewrite->text[rewrite->at + 1];
    if (rewrite->in_class)
        return rewrite_member(rewrite, here, next);
    if (here == '}' && next == '+')
        return refuse(rewrite, "'}+', which the two syntaxes read differently");
    rewrite->in_class = here == '[';
    return copy(rewrite, 1);
}

int llm_oniguruma_rewrite(llm_slice_t expression, llm_text_t *out, fmq_error_t *err)
{
    rewrite_t rewrite = {.text = expression.data, .size = expression.size, .out = out, .err = err};
    for (; rewrite.at < rewrite.size; rewrite.at++) {
        bool escape = rewrite.text[rewrite.at] == '\\' && rewrite.at + 1 < rewrite.size;
        rewrite.at += escape;
        if ((escape ? rewrite_escape(&rewrite) : rewrite_plain(&rewrite)) < 0)
            return -1;
    }
    return llm_text_terminate(out, err);
}
