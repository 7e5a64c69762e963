/*
 * pairs.c - frozen weights as BF16: two successive inputs of an output in a word,
 * as the instruction that sums products of pairs reads them.  An odd last input
 * is paired with a zero.
 */
#include "llm/backend/cpu/cpu.h"

#include "base/half.h"

typedef struct {
    llm_matrix_t *matrix;
    const llm_cpu_stored_t *from;
    const llm_cpu_kernels_t *kernels;
} packing_t;

/* A BF16 file's [out][in] holds the pairs already: they only change places. */
static void pack_stored_pairs(const packing_t *p, size_t panel)
{
    const llm_matrix_t *w = p->matrix;
    const uint16_t *data = p->from->data;
    size_t o = panel * w->width;
    p->kernels->pack_transposed((float *)(void *)(w->words + panel * w->panel),
                                (const float *)(const void *)(data + o * w->in), w->in / 2,
                                w->in / 2, llm_cpu_min(w->width, w->out - o));
}

static void pack_rounded(const packing_t *p, size_t panel)
{
    const llm_matrix_t *w = p->matrix;
    float values[LLM_CPU_WIDTH_MAX * LLM_FORM_GROUP] = {0};
    for (size_t i = 0; i < w->in; i += LLM_FORM_GROUP) {
        size_t rows = llm_cpu_min(LLM_FORM_GROUP, w->in - i);
        llm_cpu_read(values, w, p->from, panel, i, rows);
        for (size_t lane = 0; rows % 2 && lane < w->width; lane++)
            values[lane * LLM_FORM_GROUP + rows] = 0;
        for (size_t r = 0; r < rows; r += 2)
            for (size_t lane = 0; lane < w->width; lane++) {
                const float *pair = values + lane * LLM_FORM_GROUP + r;
                w->words[panel * w->panel + (i + r) / 2 * w->width + lane] =
                    fmq_bf16_of_float(pair[0]) | (uint32_t)fmq_bf16_of_float(pair[1]) << 16;
            }
    }
}

static void pack_panel(void *job, size_t item, size_t thread)
{
    (void)thread;
    const packing_t *p = job;
    const llm_matrix_t *w = p->matrix;
    if (p->from->dtype == FMQ_BF16 && !p->from->input_major && w->in % 2 == 0)
        pack_stored_pairs(p, item);
    else
        pack_rounded(p, item);
    for (size_t i = llm_cpu_pieces(w->in, 2) * w->width; i < w->panel; i++)
        w->words[item * w->panel + i] = 0;
}

void llm_cpu_pack_pairs(llm_cpu_t *cpu, llm_matrix_t *w, const llm_cpu_stored_t *from)
{
    packing_t packing = {w, from, cpu->kernels};
    llm_pool_run(cpu->pool, llm_cpu_pieces(w->out, w->width), pack_panel, &packing);
}
