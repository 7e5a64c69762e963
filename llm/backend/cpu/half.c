/*
 * half.c - rooms of the threads, and running an op in pieces of them.
 */
#include "llm/backend/cpu/half.h"

#include <stdlib.h>

/* Rooms of *size floats each, made larger where that is less than wanted. */
static float *grow(llm_cpu_t *self, float **rooms, size_t *size, size_t wanted, size_t count)
{
    if (wanted <= *size)
        return *rooms;
    free(*rooms);
    *rooms = llm_cpu_allocate(wanted * count * sizeof(float));
    *size = *rooms ? wanted : 0;
    if (!*rooms)
        llm_instance_fail(&self->instance, FMQ_ERR_NOMEM,
                          "no memory for the cpu backend's rooms of widened activations");
    return *rooms;
}

float *llm_half_rooms(llm_cpu_t *self, size_t floats)
{
    size_t line = LLM_CPU_ALIGNMENT / sizeof(float);
    return grow(self, &self->half_rooms, &self->half_room, llm_cpu_pieces(floats, line) * line,
                llm_pool_threads(self->pool));
}

float *llm_half_wide(llm_cpu_t *self, size_t floats)
{
    return grow(self, &self->half_wide, &self->half_wide_size, floats, 1);
}

typedef struct {
    llm_half_piece_t item;
    void *job;
    const llm_cpu_t *cpu;
    float *rooms;
    size_t n, piece;
} pieces_t;

static void run_piece(void *job, size_t item, size_t thread)
{
    const pieces_t *pieces = job;
    const llm_cpu_t *cpu = pieces->cpu;
    llm_half_hand_t hand = {cpu->kernels, cpu->half, pieces->rooms + thread * cpu->half_room};
    size_t first = item * pieces->piece;
    pieces->item(&hand, pieces->job, first, llm_cpu_min(pieces->piece, pieces->n - first));
}

void llm_half_run_pieces(llm_cpu_t *self, size_t n, size_t piece, size_t room,
                         llm_half_piece_t item, void *job)
{
    pieces_t pieces = {item, job, self, llm_half_rooms(self, room), n, piece};
    if (pieces.rooms)
        llm_pool_run(self->pool, llm_cpu_pieces(n, piece), run_piece, &pieces);
}
