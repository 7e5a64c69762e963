/*
 * bench_records.c - how fast records are read: JSON Lines and a list of the
 * same made-up records, in MB of file a second of processor time.
 *
 * The files are made in the working folder's place for temporary files and
 * removed.  The best of the turns counts, since other work only slows them.
 *
 * Usage: bench_records [--megabytes N] [--turns N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fedmq/llm/records.h"
#include "tests/bench/flags.h"

/* One record: quotes, escapes, a number, characters of two bytes. */
static int put_record(FILE *file, unsigned number)
{
    return fprintf(file,
                   "{\"id\": %u, \"instruction\": \"Say what the \\\"number\\\" %u is good for, "
                   "and why caf\xC3\xA9s count it.\", \"input\": \"line one\\nline two %u\", "
                   "\"output\": \"It is good for counting, for measuring and for nothing else that "
                   "comes to mind; number %u has been used so often that nobody asks.\", "
                   "\"category\": \"kind %u\", \"score\": %u.25}",
                   number, number, number, number, number % 8, number % 100);
}

static void make_file(const char *path, size_t bytes, int list)
{
    FILE *file = fopen(path, "w");
    size_t size = 0;
    if (!file)
        exit(1);
    for (unsigned i = 0; size < bytes; i++) {
        if (list)
            (void)fputs(i ? ",\n" : "[", file);
        size += (size_t)put_record(file, i) + 1;
        if (!list)
            (void)fputc('\n', file);
    }
    if (list)
        (void)fputs("]\n", file);
    if (fclose(file) != 0)
        exit(1);
}

static double read_once(const char *path, size_t *records)
{
    fmq_error_t err;
    llm_records_t *all = llm_records_new();
    clock_t began = clock();
    if (!all || llm_records_load(all, path, NULL, &err) < 0) {
        (void)fprintf(stderr, "bench_records: %s\n", all ? err.text : "out of memory");
        exit(1);
    }
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    *records = llm_records_size(all);
    llm_records_destroy(&all);
    return seconds;
}

int main(int argc, char **argv)
{
    int megabytes = 50, turns = 5;
    const bench_flag_t flags[] = {bench_number("--megabytes", &megabytes, 1, 4000),
                                  bench_number("--turns", &turns, 1, 1000)};
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
    for (int list = 0; list < 2; list++) {
        char path[64];
        size_t records = 0;
        double best = 0;
        (void)snprintf(path, sizeof path, "/tmp/bench_records.%ld.json%s", (long)getpid(),
                       list ? "" : "l");
        make_file(path, (size_t)megabytes * 1000000, list);
        for (int turn = 0; turn < turns; turn++) {
            double seconds = read_once(path, &records);
            best = turn == 0 || seconds < best ? seconds : best;
        }
        (void)remove(path);
        printf("%-10s %d MB  %zu records  %.1f MB/s\n", list ? "list" : "lines", megabytes, records,
               megabytes / best);
    }
    return 0;
}
