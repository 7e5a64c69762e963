/*
 * kernels/half_table.h - compiles the kernels of BF16 activations for the
 * instruction set of the including file and defines its table,
 * LLM_CPU_HALF_TABLE, called LLM_CPU_NAME.
 */
#include "llm/backend/cpu/half_kernels.h"
#include "llm/backend/cpu/kernels/half_decode.h"
#include "llm/backend/cpu/kernels/half_rows.h"
#include "llm/backend/cpu/kernels/half_thin.h"
#include "llm/backend/cpu/kernels/half_tile.h"

const llm_cpu_half_kernels_t LLM_CPU_HALF_TABLE = {
    .name = LLM_CPU_NAME,
    .width = WIDTH,
    .tile_rows = PAIR_ROWS,
    .widen = widen,
    .narrow = narrow,
    .tile = tile,
    .pack_pairs = pack_pairs,
    .turn_pairs = turn_pairs,
    .softmax_row = softmax_row,
    .softmax_dx = softmax_dx,
    .dot = dot,
    .attend = attend,
    .put_together = put_together,
    .dots = dots,
    .widen_kept = widen_kept,
    .add_kept = add_kept,
};
