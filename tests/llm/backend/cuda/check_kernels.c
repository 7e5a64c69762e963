/*
 * check_kernels.c - every kernel against the reference, in bf16 and in float.
 *
 * usage: check_kernels [--orders N | --small] [FAMILY ...]
 *
 * Prints a line a family and a count last.  Status 0: all is right; 1: not;
 * 2: no such family; 3: out of memory or the device failed.  --orders: how many
 * orders of blocks, warps and lanes the emulation tries (3).  --small: a few cases
 * of each kernel, for tools under which a device is slow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "llm/backend/cuda/runtime.h"

static const family_t families[] = {
    {"elements", check_elements}, {"dropout", check_dropout},     {"rows", check_rows},
    {"norms", check_norms},       {"columns", check_columns},     {"losses", check_losses},
    {"vectors", check_vectors},   {"attention", check_attention}, {"lora", check_lora},
    {"decode", check_decode},     {"quantized", check_quantized}, {"few", check_few},
    {"products", check_products},
};
#define FAMILIES (sizeof families / sizeof families[0])

static size_t run_family(const family_t *family, llm_backend_t *reference, unsigned orders,
                         bool small)
{
    size_t failed = 0;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        check_t check;
        check_init(&check, reference, bf16, orders);
        check.family = family->name;
        check.small = small;
        family->run(&check);
        check_clear(&check);
        printf("%-12s %-6s %5zu comparisons, %zu wrong, error at most %.2f of what is allowed\n",
               family->name, bf16 ? "bf16" : "float", check.compared, check.failed, check.worst);
        fflush(stdout);
        failed += check.failed + !check.compared;
    }
    return failed;
}

static bool wanted(const family_t *family, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], family->name))
            return true;
    return !count;
}

static bool known(const char *name)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (!strcmp(name, families[i].name))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    unsigned orders = 3;
    int first = 1;
    bool small = argc > 1 && !strcmp(argv[1], "--small");
    if (small)
        first = 2;
    if (argc > 2 && !strcmp(argv[1], "--orders")) {
        orders = (unsigned)strtoul(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++)
        if (!known(argv[i])) {
            fprintf(stderr, "check_kernels: there is no family '%s'\n", argv[i]);
            return 2;
        }
    char text[200];
    printf("kernels on: %s\n", llm_cuda_describe(text, sizeof text));
    fmq_error_t err;
    llm_backend_t *reference = llm_backend_reference_new(&err);
    if (!reference)
        return 3;
    size_t failed = 0;
    for (size_t i = 0; i < FAMILIES; i++)
        if (wanted(&families[i], argc - first, argv + first))
            failed += run_family(&families[i], reference, orders ? orders : 1, small);
    llm_backend_destroy(&reference);
    printf(failed ? "%zu wrong\n" : "all kernels are right\n", failed);
    return failed ? 1 : 0;
}
