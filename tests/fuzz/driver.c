/*
 * driver.c - runs a fuzz target as a test: every seed, every cut of it, and
 * mutations of it that are the same in every run, for a second or two.  For
 * real fuzzing there is libFuzzer.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/base/rng.h"
#include "tests/fuzz/fuzz.h"

#define SEEDS_MAX    64
#define INPUT_MAX    65536
#define ROUNDS       200000
#define MILLISECONDS 1500

typedef struct {
    uint8_t *data; /* owned */
    size_t size;
} seed_t;

static size_t load_seeds(const char *folder, seed_t *seeds)
{
    DIR *directory = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory)) && count < SEEDS_MAX;) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *stream = fopen(path, "rb");
        seed_t *seed = &seeds[count];
        seed->data = stream ? malloc(INPUT_MAX) : NULL;
        if (seed->data) {
            seed->size = fread(seed->data, 1, INPUT_MAX, stream);
            count++;
        }
        if (stream)
            (void)fclose(stream);
    }
    if (directory)
        (void)closedir(directory);
    return count;
}

/* readdir() has no order, and mutations must not depend on one. */
static int by_content(const void *a, const void *b)
{
    const seed_t *left = a, *right = b;
    if (left->size != right->size)
        return left->size < right->size ? -1 : 1;
    return memcmp(left->data, right->data, left->size);
}

/* An input in a block of its own, so that a sanitizer sees every overrun. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Opens a gap of length bytes, as far as there is room; returns its length. */
static size_t make_room(uint8_t *data, size_t *size, size_t at, size_t length)
{
    if (length > INPUT_MAX - *size)
        length = INPUT_MAX - *size;
    memmove(data + at + length, data + at, *size - at);
    *size += length;
    return length;
}

static void insert_number(fmq_rng_t *rng, uint8_t *data, size_t *size, size_t at)
{
    static const char *const texts[] = {"0",
                                        "-1",
                                        "255",
                                        "65536",
                                        "2147483648",
                                        "4294967295",
                                        "18446744073709551616",
                                        "1e308",
                                        "0.5",
                                        "null",
                                        "[]",
                                        "{}",
                                        "\"\"",
                                        "[[[[",
                                        "\\u0000",
                                        "\\ud800",
                                        "\xf0\x9f\x98\x80",
                                        "(a+)+"};
    const char *text = texts[fmq_rng_below(rng, sizeof texts / sizeof *texts)];
    size_t length = make_room(data, size, at, strlen(text));
    memcpy(data + at, text, length);
}

static void mutate(fmq_rng_t *rng, uint8_t *data, size_t *size, const seed_t *other)
{
    size_t at = *size ? fmq_rng_below(rng, (uint32_t)*size) : 0;
    size_t length = 1 + fmq_rng_below(rng, 16);
    size_t rest = *size - at < length ? *size - at : length;
    switch (fmq_rng_below(rng, 7)) {
    case 0: /* flip a bit */
        if (*size)
            data[at] ^= (uint8_t)(1u << fmq_rng_below(rng, 8));
        break;
    case 1: /* any byte */
        if (*size)
            data[at] = (uint8_t)fmq_rng_u32(rng);
        break;
    case 2: /* remove some */
        memmove(data + at, data + at + rest, *size - at - rest);
        *size -= rest;
        break;
    case 3: /* repeat some */
        length = make_room(data, size, at, rest);
        memcpy(data + at, data + at + length, length);
        break;
    case 4:
        insert_number(rng, data, size, at);
        break;
    case 5: /* a number for a digit */
        if (*size && data[at] >= '0' && data[at] <= '9')
            insert_number(rng, data, size, at);
        break;
    default: /* a part of another seed */
        if (other->size) {
            size_t from = fmq_rng_below(rng, (uint32_t)other->size);
            length = other->size - from < length ? other->size - from : length;
            length = make_room(data, size, at, length);
            memcpy(data + at, other->data + from, length);
        }
    }
}

static double milliseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static size_t run_mutations(const seed_t *seeds, size_t count)
{
    static uint8_t data[INPUT_MAX];
    const fmq_rng_name_t name = {.seed = 1, .purpose = FMQ_RNG_TEST};
    fmq_rng_t rng;
    fmq_rng_init(&rng, &name);
    double end = milliseconds() + MILLISECONDS;
    size_t runs = 0;
    for (; runs < ROUNDS && milliseconds() < end; runs++) {
        const seed_t *seed = &seeds[fmq_rng_below(&rng, (uint32_t)count)];
        size_t size = seed->size;
        memcpy(data, seed->data, size);
        for (uint32_t n = 1 + fmq_rng_below(&rng, 4); n > 0; n--)
            mutate(&rng, data, &size, &seeds[fmq_rng_below(&rng, (uint32_t)count)]);
        run(data, size);
    }
    return runs;
}

int main(int argc, char **argv)
{
    seed_t seeds[SEEDS_MAX];
    size_t count = argc > 1 ? load_seeds(argv[1], seeds) : 0;
    if (count == 0) {
        (void)fprintf(stderr, "no seeds in '%s'\n", argc > 1 ? argv[1] : "");
        return 1;
    }
    qsort(seeds, count, sizeof *seeds, by_content);
    for (size_t i = 0; i < count; i++)
        for (size_t step = seeds[i].size / 256 + 1, cut = 0; cut <= seeds[i].size; cut += step)
            run(seeds[i].data, seeds[i].size - cut);
    size_t runs = run_mutations(seeds, count);
    (void)printf("%zu seeds, %zu mutations\n", count, runs);
    for (size_t i = 0; i < count; i++)
        free(seeds[i].data);
    return 0;
}
