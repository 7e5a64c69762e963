/*
 * test_cpu_conformance.c - every op of the CPU backend, with every set of
 * kernels that this machine can run, against the reference; and with 1, 2, 3
 * and 7 threads against itself, to the bit.  With activations in BF16, against
 * the reference that rounds what it stores to BF16 as well.
 *
 * Usage: test_cpu_conformance VARIANT [bf16].  A machine that lacks the variant
 * skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance.h"

#define NMSE_MAX 1e-11 /* 3e-6 relative, root mean square */

/* With BF16, where two ways of summing end on either side of a middle they are
 * rounded 2^-8 apart: that is rare.  Attention rounds probabilities as well,
 * and products with codes round code times scale. */
#define HALF_NMSE_MAX      1e-6
#define CODES_NMSE_MAX     2e-4
#define ATTENTION_NMSE_MAX 1e-4

static bool in_half; /* the mode that is tested; set once, by main() */

static llm_backend_t *cpu_new(unsigned threads, fmq_error_t *err)
{
    return in_half ? llm_backend_cpu_new_half(threads, err) : llm_backend_cpu_new(threads, err);
}

static llm_backend_t *open_in(size_t way)
{
    static const unsigned threads[] = {2, 1, 3, 7};
    fmq_error_t err;
    llm_backend_t *be = cpu_new(threads[way], &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

static double nmse_max(const char *name)
{
    if (!in_half)
        return NMSE_MAX;
    if (strcmp(name, "attention") == 0 || strcmp(name, "decoding") == 0)
        return ATTENTION_NMSE_MAX;
    return strstr(name, "matrices") ? CODES_NMSE_MAX : HALF_NMSE_MAX;
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"2 threads", "1 thread", "3 threads", "7 threads"};
    if (argc > 1)
        setenv("FEDMQ_CPU", argv[1], 1);
    in_half = argc > 2 && strcmp(argv[2], "bf16") == 0;
    fmq_error_t err;
    llm_backend_t *probe = cpu_new(1, &err);
    if (!probe) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    if (argc > 1 && strcmp(llm_backend_variant(probe), argv[1]) != 0)
        return 1;
    llm_backend_destroy(&probe);
    const conformance_t subject = {.group = "cpu backend",
                                   .same = "same bytes at any number of threads",
                                   .in_half = in_half,
                                   .ways = ways,
                                   .count = sizeof ways / sizeof *ways,
                                   .open = open_in,
                                   .nmse_max = nmse_max};
    return conformance_run(&subject, NULL);
}
