/*
 * flags.c - reads the arguments of a benchmark by a table.
 */
#include "tests/bench/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_usage(const bench_flag_t *flags, size_t count, const char *program)
{
    (void)fprintf(stderr, "usage: %s", program);
    for (size_t i = 0; i < count; i++) {
        const bench_flag_t *flag = &flags[i];
        if (flag->number)
            (void)fprintf(stderr, " [%s %d..%d]", flag->name, flag->least, flag->most);
        else
            (void)fprintf(stderr, " [%s%s%s]", flag->name, flag->text ? " " : "",
                          flag->text ? flag->choices : "");
    }
    (void)fprintf(stderr, "\n");
    exit(2);
}

static const bench_flag_t *find(const bench_flag_t *flags, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

static bool take_number(const bench_flag_t *flag, const char *word)
{
    char *end = NULL;
    long value = strtol(word, &end, 10);
    if (end == word || *end || value < flag->least || value > flag->most)
        return false;
    *flag->number = (int)value;
    return true;
}

static bool is_choice(const char *choices, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = choices; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, word, size) == 0 && (at[size] == '|' || at[size] == '\0'))
            return true;
    }
    return false;
}

static bool take_text(const bench_flag_t *flag, const char *word)
{
    if (strchr(flag->choices, '|') && !is_choice(flag->choices, word))
        return false;
    *flag->text = word;
    return true;
}

void bench_flags(const bench_flag_t *flags, size_t count, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bench_flag_t *flag = find(flags, count, argv[i]);
        if (flag && flag->set)
            *flag->set = true;
        else if (!flag || ++i == argc ||
                 !(flag->number ? take_number(flag, argv[i]) : take_text(flag, argv[i])))
            bench_usage(flags, count, argv[0]);
    }
}
