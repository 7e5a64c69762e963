/*
 * similarity.h - how far a student's stream is from a teacher's, with the
 * gradient by the student's.  Knows streams only, no models.
 *
 *   l2   mean(((T - S) / rms(T))^2) over all elements, rms over all of T; the
 *        rms of a T of zeros counts as 1
 *   cos  mean over rows of -cos(T, S); a row of zeros counts as 0
 */
#ifndef FEDMQ_LLM_OFFSITE_SIMILARITY_H
#define FEDMQ_LLM_OFFSITE_SIMILARITY_H

#include "fedmq/llm/align.h"

typedef struct {
    llm_sim_t kind;
    size_t rows_max, width;
} llm_similarity_how_t;

typedef struct {
    llm_similarity_how_t how;
    llm_backend_t *be; /* borrowed */
    float *apart;      /* owned by be, [rows_max][width]: S - T */
    float *losses;     /* owned by be, [rows_max] */
} llm_similarity_t;

/* Release after failure too. */
int llm_similarity_init(llm_similarity_t *self, const llm_similarity_how_t *how, llm_backend_t *be,
                        fmq_error_t *err);
void llm_similarity_release(llm_similarity_t *self);

/* [rows][width] each, on the backend. */
typedef struct {
    const llm_act_t *teacher, *student;
    size_t rows;
} llm_streams_t;

/* NaN where either stream has one. */
double llm_similarity(llm_similarity_t *self, const llm_streams_t *streams);
/* dstudent += scale times the gradient of that. */
void llm_similarity_backward(llm_similarity_t *self, llm_act_t *dstudent,
                             const llm_streams_t *streams, double scale);

#endif
