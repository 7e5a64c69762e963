/*
 * test_cuda_conformance.c - every op of the GPU backend, whole, against the
 * reference; and against itself, to the bit: emulated in other orders of blocks,
 * warps and lanes, and on other devices where there are several.
 *
 * Usage: test_cuda_conformance bf16|f32 [FILTER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../conformance.h"
#include "llm/backend/cuda/cuda.h"

/* Products and norms round what they store; LoRA and dense weights factors as
 * well, and attention its probabilities; products with codes round code times
 * scale. */
#define FLOAT_NMSE_MAX     1e-10
#define HALF_NMSE_MAX      1e-5
#define FACTORS_NMSE_MAX   5e-5
#define ATTENTION_NMSE_MAX 1e-4

static bool in_half; /* the mode that is tested; set once, by main() */

/* In an order of its own, on a device of its own where there are several. */
static llm_backend_t *open_in(size_t way)
{
    static const uint64_t orders[] = {0, 3, 1, 2};
    fmq_error_t err;
    int count = 1;
    const char *wrong = llm_cuda_count(&count);
    if (wrong)
        fail_msg("%s", wrong);
    llm_backend_t *be = llm_cuda_new((int)way % count, in_half, &err);
    if (!be)
        fail_msg("%s", err.text);
    llm_cuda_emulated_order(orders[way]);
    return be;
}

static double nmse_max(const char *name)
{
    bool softmax = strcmp(name, "attention") == 0 || strcmp(name, "decoding") == 0;
    if (!in_half)
        return FLOAT_NMSE_MAX;
    if (strcmp(name, "lora") == 0 || strcmp(name, "dense weights") == 0)
        return FACTORS_NMSE_MAX;
    return softmax || strstr(name, "matrices") ? ATTENTION_NMSE_MAX : HALF_NMSE_MAX;
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"order 0", "order 3 on device 1", "order 1 on device 2",
                                       "order 2 on device 3"};
    in_half = argc > 1 && strcmp(argv[1], "bf16") == 0;
    const conformance_t subject = {
        .group = "cuda backend",
        .same = "same bytes in any order and on any device",
        .in_half = in_half,
        .ways = ways,
        .count = in_half ? 4 : 2, /* in floats its attention and adapters are slow here */
        .open = open_in,
        .nmse_max = nmse_max};
    return conformance_run(&subject, argc > 2 ? argv[2] : NULL);
}
