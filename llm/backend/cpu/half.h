/*
 * half.h - the families of the CPU backend whose activations are BF16.
 *
 * Row ops are those of F32: a row or a piece is widened into the room of the
 * thread, the same kernel runs, and its result is rounded once as it is
 * narrowed.  Statistics, losses, gradients of parameters and every sum are
 * floats.  What is stored rounded: the residual stream and its gradient, which
 * are added to in float and rounded once an op, and logits, as a BF16 model's
 * are anywhere.  Attention and products have tiles of their own.
 */
#ifndef LLM_BACKEND_CPU_HALF_H
#define LLM_BACKEND_CPU_HALF_H

#include "llm/backend/cpu/cpu.h"

static inline const uint16_t *llm_half_read(const llm_act_t *x)
{
    return (const uint16_t *)(const void *)x;
}

static inline uint16_t *llm_half_write(llm_act_t *x)
{
    return (uint16_t *)(void *)x;
}

/* What an item of an op is given. */
typedef struct {
    const llm_cpu_kernels_t *kernels;
    const llm_cpu_half_kernels_t *half;
    float *room; /* of the thread, as many floats as were asked for */
} llm_half_hand_t;

/* Runs item over n elements in pieces of size piece (the last one shorter),
 * each with a room of so many floats.  Without memory for the rooms nothing
 * runs, and synchronize() says so from then on. */
typedef void (*llm_half_piece_t)(const llm_half_hand_t *hand, void *job, size_t first,
                                 size_t count);
void llm_half_run_pieces(llm_cpu_t *self, size_t n, size_t piece, size_t room,
                         llm_half_piece_t item, void *job);

/* Rooms of at least so many floats a thread, one behind the other; NULL, and
 * said by synchronize(), when there is no memory. */
float *llm_half_rooms(llm_cpu_t *self, size_t floats);

/* A room of the whole instance of at least so many floats; likewise. */
float *llm_half_wide(llm_cpu_t *self, size_t floats);

void llm_cpu_half_attention(llm_ops_t *ops);
void llm_cpu_half_decode(llm_ops_t *ops);
void llm_cpu_half_elements(llm_ops_t *ops);
void llm_cpu_half_rows(llm_ops_t *ops);
void llm_cpu_half_losses(llm_ops_t *ops);
void llm_cpu_half_products(llm_ops_t *ops);
void llm_cpu_half_lora(llm_ops_t *ops);

#endif
