/*
 * similarity.c - l2 and cosine between streams.
 *
 * With n elements, mean(((T - S) / rms(T))^2) = sum((S - T)^2) / sum(T^2); its
 * gradient by S is 2 (S - T) / sum(T^2).
 */
#include "llm/offsite/similarity.h"

int llm_similarity_init(llm_similarity_t *self, llm_sim_t kind, size_t rows_max, size_t width,
                        llm_backend_t *be, fmq_error_t *err)
{
    *self = (llm_similarity_t){.be = be, .kind = kind, .rows_max = rows_max, .width = width};
    if (kind == LLM_SIM_L2)
        self->apart = be->ops->alloc(be, rows_max * width * sizeof *self->apart);
    else
        self->losses = be->ops->alloc(be, rows_max * sizeof *self->losses);
    if (!self->apart && !self->losses)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for comparing streams of %zu tokens", rows_max);
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

static void subtract(llm_similarity_t *self, const float *teacher, const float *student, size_t n)
{
    const llm_ops_t *ops = self->be->ops;
    ops->copy(self->be, self->apart, teacher, n * sizeof *teacher);
    ops->scale(self->be, self->apart, -1.0f, n);
    ops->add(self->be, self->apart, student, n);
}

/* sum(T^2), or n where that is 0. */
static double sum_teacher(llm_similarity_t *self, const float *teacher, size_t n)
{
    double sum = self->be->ops->sum_squares(self->be, teacher, n);
    return sum == 0.0 ? (double)n : sum;
}

double llm_similarity(llm_similarity_t *self, const float *teacher, const float *student,
                      size_t rows)
{
    const llm_ops_t *ops = self->be->ops;
    size_t n = rows * self->width;
    if (self->kind == LLM_SIM_L2) {
        subtract(self, teacher, student, n);
        return ops->sum_squares(self->be, self->apart, n) / sum_teacher(self, teacher, n);
    }
    ops->cosine(self->be, self->losses, NULL, teacher, student, rows, self->width, 1.0f);
    return ops->sum(self->be, self->losses, rows) / (double)rows;
}

void llm_similarity_backward(llm_similarity_t *self, float *dstudent, const float *teacher,
                             const float *student, size_t rows, double scale)
{
    const llm_ops_t *ops = self->be->ops;
    size_t n = rows * self->width;
    if (self->kind == LLM_SIM_L2) {
        subtract(self, teacher, student, n);
        ops->scale(self->be, self->apart, (float)(2.0 * scale / sum_teacher(self, teacher, n)), n);
        ops->add(self->be, dstudent, self->apart, n);
        return;
    }
    ops->cosine(self->be, self->losses, dstudent, teacher, student, rows, self->width,
                (float)(scale / (double)rows));
}
