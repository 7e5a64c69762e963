/*
 * kernels/table.h - compiles all kernels for the instruction set of the
 * including file and defines its table, LLM_CPU_TABLE, called LLM_CPU_NAME.
 */
#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/vector.h"

#include "llm/backend/cpu/kernels/tile.h"
#include "llm/backend/cpu/kernels/widen.h"

#include "llm/backend/cpu/kernels/rows.h"

#include "llm/backend/cpu/kernels/activations.h"
#include "llm/backend/cpu/kernels/elements.h"
#include "llm/backend/cpu/kernels/optimizers.h"
#include "llm/backend/cpu/kernels/softmax.h"

const llm_cpu_kernels_t LLM_CPU_TABLE = {
    .name = LLM_CPU_NAME,
    .lanes = LANES,
    .width = WIDTH,
    .tile_rows = TILE_ROWS,
    .tile = tile,
    .store = store,
    .store_transposed = store_transposed,
    .pack_copy = pack_copy,
    .pack_transposed = pack_transposed,
    .widen = widen,
    .few = few,
    .add = add,
    .scale = scale,
    .sum = sum,
    .sum_squares = sum_squares,
    .column_sum = column_sum,
    .layernorm = layernorm,
    .layernorm_dx = layernorm_dx,
    .rmsnorm = rmsnorm,
    .rmsnorm_dx = rmsnorm_dx,
    .norm_dweight = norm_dweight,
    .rope = rope,
    .activation = activation,
    .activation_dx = activation_dx,
    .glu = glu,
    .glu_dx = glu_dx,
    .softcap = softcap,
    .softcap_dx = softcap_dx,
    .draw_mask = draw_mask,
    .drop = drop,
    .cross_entropy = cross_entropy,
    .kl_divergence = kl_divergence,
    .cosine = cosine,
    .argmax = argmax,
    .adam = adam,
    .sgd = sgd,
    .adagrad = adagrad,
    .rmsprop = rmsprop,
    .adam_coded = adam_coded,
    .column_squares = column_squares,
    .factored = factored,
    .over_roots = over_roots,
    .bend = bend,
    .softmax = softmax,
    .softmax_row = softmax_row,
    .softmax_dx = softmax_dx,
    .dot = dot,
    .axpy = axpy,
};
