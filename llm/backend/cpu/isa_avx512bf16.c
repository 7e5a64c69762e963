/*
 * isa_avx512bf16.c - the kernels of BF16 pairs, compiled for AVX512-BF16; see
 * CMakeLists.txt for the flags.
 */
#include "llm/backend/cpu/kernels/pair_few.h"
#include "llm/backend/cpu/kernels/pair_tile.h"

const llm_cpu_pairs_t llm_cpu_avx512bf16 = {
    .tile = tile,
    .few = few,
    .store = store,
    .pack = pack,
    .decode = decode,
    .narrow = narrow,
    .turn = turn,
};
