/*
 * backend.h - where tensors live and who computes on them.
 *
 * A backend is a table of ~30 function pointers and a context.  Memory belongs
 * to a backend: every float * or int32_t * below points to memory that its
 * alloc() gave, and only its ops may dereference it (the CPU backend's memory
 * is ordinary memory; a device's is not).  All tensors are dense, row-major.
 * Activations are written (=), gradients are added (+=), unless said
 * otherwise.  Ops do not fail: shapes are checked by who plans the memory.
 *
 * Results do not depend on the number of threads: no sum is split by threads.
 * A backend instance is used by one thread at a time; matrices (frozen
 * weights) are read-only after creation and shared by all instances of the
 * same device: they outlive the instance that made them, and any other may
 * destroy them.
 *
 * Letters: B batch, T tokens (of a packed batch), C channels, H heads, KV
 * key/value heads, D head width, V vocabulary, R adapter rank, S sequences.
 */
#ifndef FEDMQ_LLM_BACKEND_H
#define FEDMQ_LLM_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"
#include "fedmq/base/rng.h"
#include "fedmq/base/schema.h"

FMQ_API_BEGIN

typedef struct llm_backend llm_backend_t;
typedef struct llm_matrix llm_matrix_t; /* a frozen [out][in] weight, laid out for speed */

/* C[M][N] = alpha * op(A)[M][K] op(B)[K][N] + beta * C; leading dimensions are
 * row strides of the stored (not transposed) matrices. */
typedef struct {
    bool transpose_a, transpose_b;
    size_t M, N, K;
    float alpha, beta; /* beta is 0 or 1 */
    size_t lda, ldb, ldc;
} llm_gemm_t;

/* Packed attention: S sequences lie one behind the other; sequence s is rows
 * starts[s] .. starts[s+1].  starts is host memory. */
typedef struct {
    size_t T, S;
    const uint32_t *starts;
    size_t H, KV, D;
    float scale;                                     /* usually 1/sqrt(D) */
    size_t q_stride, k_stride, v_stride, out_stride; /* elements between rows of a token */
} llm_attention_t;

typedef struct {
    float lr, beta1, beta2, eps, weight_decay;
    bool decoupled; /* AdamW: decay acts on the weight, not on the gradient */
    uint32_t step;  /* from 1, for the bias correction */
} llm_adam_t;

typedef struct {
    float lr, momentum, dampening, weight_decay;
    bool nesterov;
    bool first; /* momentum buffer is set to the gradient, as torch does */
} llm_sgd_t;

/* What a frozen weight is kept as.  INT8, INT4 and NF4 hold a code for each
 * weight and one scale for 64 inputs of an output (llm/backend/forms.h has the
 * rules); BF16 rounds to nearest, which leaves a BF16 file as it is. */
typedef enum {
    LLM_FORM_F32,
    LLM_FORM_BF16,
    LLM_FORM_INT8,
    LLM_FORM_INT4,
    LLM_FORM_NF4,
} llm_matrix_form_t;

/* A weight of small integers, in host memory: element (r, c) of the stored
 * [rows][columns] is (code - 2^(bits-1)) * scales[r][c / group]. */
typedef struct {
    const uint8_t *codes; /* [rows][columns * bits / 8]; at 4 bits the low half first */
    const void *scales;   /* F32 [rows][ceil(columns / group)], at any alignment */
    unsigned bits;        /* 8 or 4 (then columns are even) */
    size_t group;
} llm_quantized_t;

typedef struct llm_ops {
    const char *name; /* "cpu", "cuda", "reference" */
    void (*destroy)(llm_backend_t *be);
    /* A further instance on the same device, with so many threads of its own;
     * be may go before it. */
    llm_backend_t *(*another)(const llm_backend_t *be, unsigned threads, fmq_error_t *err);

    /* Memory.  alloc returns NULL when out of memory; 64-byte aligned. */
    void *(*alloc)(llm_backend_t *be, size_t bytes);
    void (*release)(llm_backend_t *be, void *memory);
    void (*upload)(llm_backend_t *be, void *to, const void *host, size_t bytes);
    void (*download)(llm_backend_t *be, void *host, const void *from, size_t bytes);
    void (*zero)(llm_backend_t *be, void *memory, size_t bytes);
    void (*copy)(llm_backend_t *be, void *to, const void *from, size_t bytes);

    /* A frozen weight from host memory of dtype F32, F16 or BF16, stored
     * [out][in], or [in][out] when input_major (GPT-2's Conv1D).  data is read
     * during the call only.  NULL: out of memory. */
    llm_matrix_t *(*matrix_new)(llm_backend_t *be, const void *data, fmq_dtype_t dtype, size_t out,
                                size_t in, bool input_major);
    /* The same of small integers, which stay what they are in memory; products
     * are those of the floats that they stand for.  NULL in a backend that has
     * none: the caller widens them. */
    llm_matrix_t *(*matrix_new_quantized)(llm_backend_t *be, const llm_quantized_t *data,
                                          size_t out, size_t in, bool input_major);
    /* As matrix_new, kept in a form of `forms`: a set of bits 1 << form, F32 among
     * them.  NULL: out of memory, or not one of the forms.  The entry is NULL
     * where there is no form but F32: the caller takes matrix_new. */
    llm_matrix_t *(*matrix_new_form)(llm_backend_t *be, const void *data, fmq_dtype_t dtype,
                                     size_t out, size_t in, bool input_major,
                                     llm_matrix_form_t form);
    unsigned forms;
    void (*matrix_destroy)(llm_backend_t *be, llm_matrix_t **matrix_p);
    size_t (*matrix_bytes)(const llm_matrix_t *matrix);

    /* y[M][out] = x[M][in] W^T + bias (bias[out] may be NULL).  Strides are
     * elements between rows. */
    void (*linear_forward)(llm_backend_t *be, float *y, size_t y_stride, const float *x,
                           size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M);
    /* As above for the rows first .. first + count of W only (a block of the
     * vocabulary): y[M][count].  bias is NULL there. */
    void (*linear_forward_rows)(llm_backend_t *be, float *y, size_t y_stride, const float *x,
                                size_t x_stride, const llm_matrix_t *w, size_t first, size_t count,
                                size_t M);
    /* dx[M][in] (+)= dy[M][out] W; add false: overwritten. */
    void (*linear_backward)(llm_backend_t *be, float *dx, size_t dx_stride, const float *dy,
                            size_t dy_stride, const llm_matrix_t *w, size_t M, bool add);
    /* Rows first .. first + count of W only: dx += dy[M][count] W[rows]. */
    void (*linear_backward_rows)(llm_backend_t *be, float *dx, size_t dx_stride, const float *dy,
                                 size_t dy_stride, const llm_matrix_t *w, size_t first,
                                 size_t count, size_t M, bool add);
    /* out[T][C] = rows ids[t] of W (embedding lookup; ids on the backend). */
    void (*matrix_gather)(llm_backend_t *be, float *out, const llm_matrix_t *w, const int32_t *ids,
                          size_t T);

    /* Dense products over unprepared memory: adapters, trained weights. */
    void (*gemm)(llm_backend_t *be, float *c, const float *a, const float *b,
                 const llm_gemm_t *shape);

    /* out[t][C] = table[ids[t]][C]; and table gradient rows += (in row order of t). */
    void (*embed_forward)(llm_backend_t *be, float *out, const float *table, const int32_t *ids,
                          size_t T, size_t C);
    void (*embed_backward)(llm_backend_t *be, float *dtable, const float *dout, const int32_t *ids,
                           size_t T, size_t C);

    /* y += x over n elements; and y[M][N] += bias[N]; dbias[N] += column sums. */
    void (*add)(llm_backend_t *be, float *y, const float *x, size_t n);
    void (*bias_forward)(llm_backend_t *be, float *y, const float *bias, size_t M, size_t N);
    void (*bias_backward)(llm_backend_t *be, float *dbias, const float *dy, size_t M, size_t N);

    /* LayerNorm (torch.nn.LayerNorm); stats[T][2] = mean, 1/std for backward.
     * dx += ; dweight/dbias may be NULL (frozen). */
    void (*layernorm_forward)(llm_backend_t *be, float *out, float *stats, const float *x,
                              const float *weight, const float *bias, size_t T, size_t C,
                              float eps);
    void (*layernorm_backward)(llm_backend_t *be, float *dx, float *dweight, float *dbias,
                               const float *dout, const float *x, const float *stats,
                               const float *weight, size_t T, size_t C);
    /* RMSNorm (HF LlamaRMSNorm); stats[T] = 1/rms. */
    void (*rmsnorm_forward)(llm_backend_t *be, float *out, float *stats, const float *x,
                            const float *weight, size_t T, size_t C, float eps);
    void (*rmsnorm_backward)(llm_backend_t *be, float *dx, float *dweight, const float *dout,
                             const float *x, const float *stats, const float *weight, size_t T,
                             size_t C);

    /* Rotates halves (HF rotate_half) of heads x D within each row, in place.
     * table[position][D] = D/2 cosines then D/2 sines.  inverse: backward. */
    void (*rope)(llm_backend_t *be, float *x, size_t stride, const int32_t *positions,
                 const float *table, size_t T, size_t heads, size_t D, bool inverse);

    /* Causal attention within each sequence, grouped when KV < H.  lse[T][H] =
     * log-sum-exp of the scaled scores, kept for backward.  backward: dq, dk,
     * dv are overwritten (=), with the strides of q, k, v; scratch holds
     * attention_scratch() floats. */
    size_t (*attention_scratch)(const llm_backend_t *be, const llm_attention_t *shape);
    void (*attention_forward)(llm_backend_t *be, float *out, float *lse, const float *q,
                              const float *k, const float *v, const llm_attention_t *shape,
                              float *scratch);
    void (*attention_backward)(llm_backend_t *be, float *dq, float *dk, float *dv,
                               const float *dout, const float *out, const float *lse,
                               const float *q, const float *k, const float *v,
                               const llm_attention_t *shape, float *scratch);
    /* One new token: q[H][D] against length cached rows of k and v
     * ([length][KV][D]), out[H][D]; scratch: H * length floats. */
    void (*attention_decode)(llm_backend_t *be, float *out, const float *q, const float *k,
                             const float *v, size_t length, size_t H, size_t KV, size_t D,
                             float scale, float *scratch);

    /* GELU over n elements: tanh form (gelu_new) or exact erf form. dx += . */
    void (*gelu_forward)(llm_backend_t *be, float *out, const float *x, size_t n, bool exact);
    void (*gelu_backward)(llm_backend_t *be, float *dx, const float *dout, const float *x, size_t n,
                          bool exact);
    /* out = silu(gate) * up.  backward: dgate and dup are overwritten (=), and
     * may alias gate and up. */
    void (*swiglu_forward)(llm_backend_t *be, float *out, const float *gate, const float *up,
                           size_t n);
    void (*swiglu_backward)(llm_backend_t *be, float *dgate, float *dup, const float *dout,
                            const float *gate, const float *up, size_t n);

    /* out = x with each element zeroed with probability p and scaled by
     * 1/(1-p); element i's fate comes from Philox at (key, counter + i/4), so
     * backward calls it again on the gradient.  out may alias x.  add: += . */
    void (*dropout)(llm_backend_t *be, float *out, const float *x, size_t n, float p,
                    const fmq_rng_name_t *stream, bool add);

    /* out[i][C] = x[rows[i]][C];  dx[rows[i]][C] += dout[i][C] (rows distinct). */
    void (*gather_rows)(llm_backend_t *be, float *out, const float *x, const int32_t *rows,
                        size_t n, size_t C);
    void (*scatter_rows)(llm_backend_t *be, float *dx, const float *dout, const int32_t *rows,
                         size_t n, size_t C);

    /* Cross-entropy of M rows of V logits: loss[m] = lse - logit[target];
     * logits are replaced by (softmax - onehot) * scale; scale 0: left alone. */
    void (*cross_entropy)(llm_backend_t *be, float *loss, float *logits, const int32_t *targets,
                          size_t M, size_t V, float scale);
    /* Kullback-Leibler divergence of M rows of V logits, p their softmax:
     * loss[m] = sum_v p_full log(p_full / p_client).  client is replaced by the
     * gradient, (p_client - p_full) * scale; scale 0: left alone. */
    void (*kl_divergence)(llm_backend_t *be, float *loss, float *client, const float *full,
                          size_t M, size_t V, float scale);
    /* loss[t] = -cos(target[t], x[t]) over C channels; dx[t] += scale times the
     * gradient by x.  dx may be NULL.  Where either row is all zero, loss and
     * gradient are 0. */
    void (*cosine)(llm_backend_t *be, float *loss, float *dx, const float *target, const float *x,
                   size_t T, size_t C, float scale);
    /* best[m] = index of the largest logit, the lowest index among equals. */
    void (*argmax)(llm_backend_t *be, int32_t *best, const float *logits, size_t M, size_t V);

    /* Vectors: the optimizers' loops.  sum_squares and has_nonfinite are
     * returned to the host. */
    void (*scale)(llm_backend_t *be, float *x, float factor, size_t n);
    double (*sum_squares)(llm_backend_t *be, const float *x, size_t n);
    double (*sum)(llm_backend_t *be, const float *x, size_t n);
    void (*adam_step)(llm_backend_t *be, float *params, float *m, float *v, const float *grads,
                      size_t n, const llm_adam_t *how);
    void (*sgd_step)(llm_backend_t *be, float *params, float *momentum, const float *grads,
                     size_t n, const llm_sgd_t *how); /* momentum NULL when 0 */
} llm_ops_t;

struct llm_backend {
    const llm_ops_t *ops;
    void *context; /* owned by the backend */
};

/* An instance on the device of this name, with so many threads (>= 1) of its own:
 *   "cpu"             the CPU, in fp32
 *   "cpu:bf16"        the CPU, with activations in bf16
 *   "cuda", "cuda:N"  the first GPU, or that of number N
 * NULL with FMQ_ERR_CONFIG when there is no such name, and FMQ_ERR_UNSUPPORTED
 * when this build or this machine has no such device. */
llm_backend_t *llm_backend_open(const char *device, unsigned threads, fmq_error_t *err);

/* The CPU backend with its own pool of threads (>= 1, the caller is one of
 * them).  Chooses AVX-512, AVX2+FMA or portable kernels at run time;
 * FEDMQ_CPU=avx512|avx2|portable overrides, for tests.  NULL with err. */
llm_backend_t *llm_backend_cpu_new(unsigned threads, fmq_error_t *err);

/* Naive single-thread fp32 loops, one for one with the formulas: the reference
 * that every other backend is tested against. */
llm_backend_t *llm_backend_reference_new(fmq_error_t *err);

void llm_backend_destroy(llm_backend_t **self_p);

/* "avx512", "avx2", "portable" or the device's name. */
const char *llm_backend_variant(const llm_backend_t *self);

/* Seconds spent inside matrix products since creation (sum over calls of wall
 * time as seen by the caller), for the benchmark's share of GEMM. */
double llm_backend_gemm_seconds(const llm_backend_t *self);

FMQ_API_END

#endif
