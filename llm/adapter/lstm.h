/*
 * lstm.h - a bidirectional LSTM over the rows of virtual tokens: torch.nn.LSTM
 * with batch_first over a batch of one.
 *
 * A state a row: everything that is carried from row to row is small and lies in
 * host memory, while products with weights are the backend's.
 */
#ifndef FEDMQ_LLM_ADAPTER_LSTM_H
#define FEDMQ_LLM_ADAPTER_LSTM_H

#include "llm/adapter/encoder.h"

/* The hyperbolic tangent by fmq_exp(): the same bits everywhere, to within a share of 1. */
double llm_encoder_tanh(double x);

typedef struct llm_lstm llm_lstm_t;

/* layout and be are borrowed; ones: count floats 1 on be, borrowed. */
llm_lstm_t *llm_lstm_new(const llm_encoder_layout_t *layout, llm_backend_t *be, const float *ones,
                         fmq_error_t *err);
void llm_lstm_destroy(llm_lstm_t **self_p);
size_t llm_lstm_bytes(const llm_lstm_t *self); /* on the backend */

/* Rows [count][2H] on the backend, of x [count][embedded] there.  dropout NULL:
 * none. */
const float *llm_lstm_forward(llm_lstm_t *self, const float *params, const float *x,
                              const fmq_rng_name_t *dropout);

/* grads and dx [count][embedded] +=, of dout [count][2H]; all on the backend. */
void llm_lstm_backward(llm_lstm_t *self, const float *params, const float *x, const float *dout,
                       float *grads, float *dx);

#endif
