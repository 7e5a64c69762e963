/*
 * similarity.c - l2 and cosine between streams.
 *
 * With n elements, mean(((T - S) / rms(T))^2) = sum((S - T)^2) / sum(T^2); its
 * gradient by S is 2 (S - T) / sum(T^2).
 */
#include "llm/offsite/similarity.h"

int llm_similarity_init(llm_similarity_t *self, const llm_similarity_how_t *how, llm_backend_t *be,
                        fmq_error_t *err)
{
    *self = (llm_similarity_t){.be = be, .how = *how};
    if (how->kind == LLM_SIM_L2)
        self->apart = be->ops->alloc(be, how->rows_max * how->width * sizeof *self->apart);
    else
        self->losses = be->ops->alloc(be, how->rows_max * sizeof *self->losses);
    if (!self->apart && !self->losses)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for comparing streams of %zu tokens", how->rows_max);
    return 0;
}

void llm_similarity_release(llm_similarity_t *self)
{
    if (self->apart)
        self->be->ops->release(self->be, self->apart);
    if (self->losses)
        self->be->ops->release(self->be, self->losses);
    *self = (llm_similarity_t){0};
}

/* Leaves S - T in apart, and returns sum(T^2), or n where that is 0. */
static double subtract(llm_similarity_t *self, const llm_streams_t *streams)
{
    const llm_ops_t *ops = self->be->ops;
    size_t n = streams->rows * self->how.width;
    ops->widen(self->be, self->apart, streams->teacher, n, false);
    double sum = ops->sum_squares(self->be, self->apart, n);
    ops->scale(self->be, self->apart, -1.0f, n);
    ops->widen(self->be, self->apart, streams->student, n, true);
    return sum == 0.0 ? (double)n : sum;
}

double llm_similarity(llm_similarity_t *self, const llm_streams_t *streams)
{
    const llm_ops_t *ops = self->be->ops;
    size_t rows = streams->rows, width = self->how.width;
    if (self->how.kind == LLM_SIM_L2) {
        double whole = subtract(self, streams);
        return ops->sum_squares(self->be, self->apart, rows * width) / whole;
    }
    ops->cosine(self->be, self->losses, NULL, streams->teacher, streams->student, rows, width,
                1.0f);
    return ops->sum(self->be, self->losses, rows) / (double)rows;
}

void llm_similarity_backward(llm_similarity_t *self, llm_act_t *dstudent,
                             const llm_streams_t *streams, double scale)
{
    const llm_ops_t *ops = self->be->ops;
    size_t rows = streams->rows, width = self->how.width;
    if (self->how.kind == LLM_SIM_L2) {
        double whole = subtract(self, streams);
        ops->scale(self->be, self->apart, (float)(2.0 * scale / whole), rows * width);
        ops->narrow(self->be, dstudent, self->apart, rows * width, true);
        return;
    }
    ops->cosine(self->be, self->losses, dstudent, streams->teacher, streams->student, rows, width,
                (float)(scale / (double)rows));
}
