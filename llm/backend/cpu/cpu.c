/*
 * cpu.c - splits vectors into pieces for the pool.
 */
#include "llm/backend/cpu/cpu.h"

typedef struct {
    llm_cpu_piece_t item;
    void *job;
    const llm_cpu_kernels_t *kernels;
    size_t n, piece;
} pieces_t;

static void run_piece(void *job, size_t item, size_t thread)
{
    (void)thread;
    const pieces_t *pieces = job;
    size_t first = item * pieces->piece;
    pieces->item(pieces->kernels, pieces->job, first,
                 llm_cpu_min(pieces->piece, pieces->n - first));
}

void llm_cpu_run_pieces(llm_cpu_t *self, size_t n, size_t piece, llm_cpu_piece_t item, void *job)
{
    pieces_t pieces = {item, job, self->kernels, n, piece};
    llm_pool_run(self->pool, llm_cpu_pieces(n, piece), run_piece, &pieces);
}
