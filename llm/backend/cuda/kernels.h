/*
 * kernels.h - the kernels of the GPU backend, as C functions that put work on
 * a queue.
 *
 * The sources are compiled twice: by nvcc for devices, and by the C++ compiler
 * for a CPU that emulates one (emulate.h), where every call has finished when
 * it returns.  All pointers are device memory.  Activations are void *: bf16
 * or float, as the queue says; parameters, gradients of parameters, statistics
 * and losses are float.  Tensors are dense and row-major unless a stride is
 * given; any address and stride will do, 16-byte aligned ones are fast.
 *
 * Results depend on shapes and values only: no sum has a shape that the device
 * or its load decides, and there are no atomics.  Calls do not fail; what a
 * launch met is told by llm_cuda_queue_wait() (runtime.h).  What is written
 * (=) and what is added to (+=) is as in fedmq/llm/backend.h.
 *
 * Letters as there: T tokens, C channels, H heads, KV key/value heads, D head
 * width, V vocabulary, S sequences; M rows, N columns.
 */
#ifndef LLM_BACKEND_CUDA_KERNELS_H
#define LLM_BACKEND_CUDA_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/llm/activation.h"
#include "fedmq/llm/backend.h"
#include "llm/backend/dynamic_map.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LLM_CUDA_CHANNELS_MAX 16384 /* of a row that is normed */

typedef struct {
    void *stream;         /* a cudaStream_t, or an emulated device; NULL: the first one's */
    bool bf16;            /* activations; false: float */
    const char **failure; /* owned by who opened the queue: what the first launch that failed met;
                             NULL: that stays in the runtime */
} llm_cuda_queue_t;

/* Dropout's mask as a stream of Philox4x32-10: element i is dropped when word
 * (first + i) % 4 of block (first + i) / 4 lies below threshold; what is kept
 * is multiplied by keep.  key and counter are those of fmq_rng_init(); first is
 * llm_lora_t's first_row * in. */
typedef struct {
    uint64_t threshold; /* p 2^32; 0: nothing is dropped */
    float keep;         /* 1 / (1 - p) */
    uint32_t key[2];
    uint32_t counter[4];
    uint64_t first;
} llm_cuda_dropout_t;

/* elements.cu: vectors of activations. */
void llm_cuda_add(const llm_cuda_queue_t *queue, void *y, const void *x, size_t n);
/* y = factor x; y may be x. */
void llm_cuda_scale_act(const llm_cuda_queue_t *queue, void *y, const void *x, float factor,
                        size_t n);

/* Rows of (in + 7) / 8 bytes, bit c % 8 of byte c / 8 set where element c of a
 * row of in elements is kept; the bits behind the last are 0. */
void llm_cuda_dropout_mask(const llm_cuda_queue_t *queue, uint8_t *mask, size_t M, size_t in,
                           const llm_cuda_dropout_t *stream);
/* Activations to and from floats; add: += . */
void llm_cuda_widen(const llm_cuda_queue_t *queue, float *out, const void *x, size_t n, bool add);
void llm_cuda_narrow(const llm_cuda_queue_t *queue, void *out, const float *x, size_t n, bool add);

/* activations.cu: the functions of MLPs.  dx is overwritten and may be dout;
 * dgate and dup may be gate and up. */
void llm_cuda_activation_forward(const llm_cuda_queue_t *queue, void *out, const void *x, size_t n,
                                 llm_activation_t kind);
void llm_cuda_activation_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                                  const void *x, size_t n, llm_activation_t kind);
void llm_cuda_glu_forward(const llm_cuda_queue_t *queue, void *out, const void *gate,
                          const void *up, size_t n, llm_activation_t kind);
void llm_cuda_glu_backward(const llm_cuda_queue_t *queue, void *dgate, void *dup, const void *dout,
                           const void *gate, const void *up, size_t n, llm_activation_t kind);
/* y may be x; dx *= . */
void llm_cuda_softcap_forward(const llm_cuda_queue_t *queue, void *y, const void *x, float cap,
                              size_t n);
void llm_cuda_softcap_backward(const llm_cuda_queue_t *queue, void *dx, const void *y, float cap,
                               size_t n);

/* rows.cu: rows by index, biases, rotary positions. */
void llm_cuda_embed_forward(const llm_cuda_queue_t *queue, void *out, const float *table,
                            const int32_t *ids, size_t T, size_t C);
/* The same from a table of bf16 (a frozen embedding as stored). */
void llm_cuda_embed_forward_bf16(const llm_cuda_queue_t *queue, void *out, const void *table,
                                 const int32_t *ids, size_t T, size_t C);
/* dtable[ids[t]] += dout[t], equal ids in the order of t. */
void llm_cuda_embed_backward(const llm_cuda_queue_t *queue, float *dtable, const void *dout,
                             const int32_t *ids, size_t T, size_t C);
void llm_cuda_gather_rows(const llm_cuda_queue_t *queue, void *out, const void *x,
                          const int32_t *rows, size_t n, size_t C);
/* rows are distinct. */
void llm_cuda_scatter_rows(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                           const int32_t *rows, size_t n, size_t C);
void llm_cuda_copy_rows(const llm_cuda_queue_t *queue, void *to, size_t to_stride, const void *from,
                        size_t from_stride, size_t n, size_t C);
/* out[T][C] = columns ids[t] of rows of x, x_stride elements apart. */
void llm_cuda_gather_columns(const llm_cuda_queue_t *queue, void *out, const void *x,
                             size_t x_stride, const int32_t *ids, size_t T, size_t C);
void llm_cuda_bias_forward(const llm_cuda_queue_t *queue, void *y, const float *bias, size_t M,
                           size_t N);

/* Heads of queries and keys within the rows of T tokens, turned in place. */
typedef struct {
    void *q, *k; /* k may be NULL */
    size_t q_stride, k_stride;
    size_t H, KV, D;
    size_t rotary; /* elements of a head that are turned */
    bool interleaved;
} llm_cuda_rope_t;
void llm_cuda_rope(const llm_cuda_queue_t *queue, const llm_cuda_rope_t *heads,
                   const int32_t *positions, const float *table, size_t T, bool inverse);

/* norm.cu: C <= LLM_CUDA_CHANNELS_MAX. */
void llm_cuda_layernorm_forward(const llm_cuda_queue_t *queue, void *out, float *stats,
                                const void *x, const float *weight, const float *bias, size_t T,
                                size_t C, float eps);
void llm_cuda_rmsnorm_forward(const llm_cuda_queue_t *queue, void *out, float *stats, const void *x,
                              const float *weight, size_t T, size_t C, float eps);
/* sum = x + y, rounded to an activation; out = the norm of sum.  sum may be x. */
void llm_cuda_add_layernorm_forward(const llm_cuda_queue_t *queue, void *out, void *sum,
                                    float *stats, const void *x, const void *y, const float *weight,
                                    const float *bias, size_t T, size_t C, float eps);
void llm_cuda_add_rmsnorm_forward(const llm_cuda_queue_t *queue, void *out, void *sum, float *stats,
                                  const void *x, const void *y, const float *weight, size_t T,
                                  size_t C, float eps);
/* dx (+)= ; the gradients of weight and bias are columns.cu's. */
void llm_cuda_layernorm_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                                 const void *x, const float *stats, const float *weight, size_t T,
                                 size_t C, bool add);
void llm_cuda_rmsnorm_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                               const void *x, const float *stats, const float *weight, size_t T,
                               size_t C, bool add);

/* scales.cu: what adapters need beside products; see llm_ops_t. */
void llm_cuda_scale_columns(const llm_cuda_queue_t *queue, void *y, size_t y_stride, const void *x,
                            size_t x_stride, const float *factors, const float *bias, size_t M,
                            size_t N, bool add);
void llm_cuda_drop(const llm_cuda_queue_t *queue, void *out, const uint8_t *mask, const void *x,
                   float keep, size_t M, size_t N, bool add);
void llm_cuda_row_squares(const llm_cuda_queue_t *queue, float *squares, const void *x, size_t M,
                          size_t N);
void llm_cuda_lora_lengths(const llm_cuda_queue_t *queue, float *factors, float *inverse,
                           const llm_lengths_t *how);
void llm_cuda_add_product(const llm_cuda_queue_t *queue, float *y, const float *a, const float *b,
                          size_t n);
/* rows.cu: h[T][rank] = columns ids[t] of a[rank][V]; and their gradient (+=),
 * each column having one writer. */
void llm_cuda_lookup_forward(const llm_cuda_queue_t *queue, float *h, const float *a,
                             const int32_t *ids, size_t T, size_t rank, size_t V);
void llm_cuda_lookup_backward(const llm_cuda_queue_t *queue, float *da, const float *dh,
                              const int32_t *ids, size_t T, size_t rank, size_t V);

/* columns.cu: sums over rows.  scratch has llm_cuda_columns_scratch(M, N)
 * floats. */
size_t llm_cuda_columns_scratch(size_t M, size_t N);
/* sums[n] += sum over m of x[m][n] z[m][n]. */
void llm_cuda_column_products(const llm_cuda_queue_t *queue, float *sums, const void *x,
                              size_t x_stride, const void *z, size_t z_stride, size_t M, size_t N,
                              float *scratch);
void llm_cuda_bias_backward(const llm_cuda_queue_t *queue, float *dbias, const void *dy,
                            size_t dy_stride, size_t M, size_t N, float *scratch);
/* sums[N] += the squares of a column; sums is device memory. */
void llm_cuda_column_sum_squares(const llm_cuda_queue_t *queue, double *sums, const void *x,
                                 size_t M, size_t N, float *scratch);
/* dweight and dbias += ; each may be NULL. */
void llm_cuda_layernorm_gradients(const llm_cuda_queue_t *queue, float *dweight, float *dbias,
                                  const void *dout, const void *x, const float *stats, size_t T,
                                  size_t C, float *scratch);
void llm_cuda_rmsnorm_gradients(const llm_cuda_queue_t *queue, float *dweight, const void *dout,
                                const void *x, const float *stats, size_t T, size_t C,
                                float *scratch);

/* loss.cu: rows of logits lie stride elements apart. */
void llm_cuda_cross_entropy(const llm_cuda_queue_t *queue, float *loss, void *logits, size_t stride,
                            const int32_t *targets, size_t M, size_t V, float scale,
                            float smoothing);
void llm_cuda_kl_divergence(const llm_cuda_queue_t *queue, float *loss, void *client,
                            const void *full, size_t stride, size_t M, size_t V, float scale);
void llm_cuda_cosine(const llm_cuda_queue_t *queue, float *loss, void *dx, const void *target,
                     const void *x, size_t T, size_t C, float scale);
void llm_cuda_argmax(const llm_cuda_queue_t *queue, int32_t *best, const void *logits,
                     size_t stride, size_t M, size_t V);

/* attention.cu, attention_backward.cu: as in fedmq/llm/backend.h; any D up to
 * LLM_CUDA_HEAD_MAX.  q, k, v, out and their gradients are strided rows. */
#define LLM_CUDA_HEAD_MAX 256
typedef struct {
    size_t T, S;
    const uint32_t *starts; /* device memory, S + 1 */
    size_t longest;         /* rows of the longest sequence */
    size_t H, KV, D;
    float scale; /* above 0 */
    size_t q_stride, k_stride, v_stride, out_stride;
    size_t window;       /* 0: none */
    float softcap;       /* 0: none */
    const float *slopes; /* [H], device memory; NULL: none */
} llm_cuda_attention_t;
void llm_cuda_attention_forward(const llm_cuda_queue_t *queue, void *out, float *lse, const void *q,
                                const void *k, const void *v, const llm_cuda_attention_t *shape);
/* Floats that backward wants as scratch. */
size_t llm_cuda_attention_scratch(const llm_cuda_attention_t *shape);
/* dq, dk and dv are overwritten; they have the strides of q, k and v, dout that
 * of out. */
typedef struct {
    void *dq, *dk, *dv;
    const void *dout, *out, *q, *k, *v;
    const float *lse;
} llm_cuda_attention_backward_t;
void llm_cuda_attention_backward(const llm_cuda_queue_t *queue,
                                 const llm_cuda_attention_backward_t *tensors,
                                 const llm_cuda_attention_t *shape, float *scratch);

/* lora.cu: as llm_lora_t in fedmq/llm/backend.h; keep is 1 / (1 - p). */
#define LLM_CUDA_LORA_MAX 4 /* modules that share an input, in one call */
typedef struct {
    size_t M, in, out, rank;
    const float *a; /* [rank][in], rows a_stride apart */
    size_t a_stride;
    const float *b; /* [out][rank] */
    float scaling, keep;
} llm_cuda_lora_t;
/* What belongs to a module's rows. */
typedef struct {
    float *h;            /* [M][rank] */
    const uint8_t *mask; /* as llm_cuda_dropout_mask() draws it; NULL: nothing is dropped */
} llm_cuda_lora_rows_t;
/* h = drop(x) A^T for count <= LLM_CUDA_LORA_MAX modules, which have M and in in
 * common and x[M][in] as their input; x is read once for 32 ranks. */
void llm_cuda_lora_down(const llm_cuda_queue_t *queue, const void *x, const llm_cuda_lora_t *loras,
                        const llm_cuda_lora_rows_t *rows, size_t count);
/* y += scaling h B^T. */
void llm_cuda_lora_up(const llm_cuda_queue_t *queue, void *y, size_t y_stride, const float *h,
                      const llm_cuda_lora_t *lora);
/* dh = scaling dy B; db += scaling dy^T h; da += dh^T drop(x).  da and db may be
 * NULL.  scratch has llm_cuda_lora_scratch() floats. */
size_t llm_cuda_lora_scratch(const llm_cuda_lora_t *lora);
void llm_cuda_lora_gradients(const llm_cuda_queue_t *queue, float *dh, float *da, float *db,
                             const void *dy, size_t dy_stride, const void *x,
                             const llm_cuda_lora_rows_t *rows, const llm_cuda_lora_t *lora,
                             float *scratch);
/* dx += drop'(dh A). */
void llm_cuda_lora_input_gradient(const llm_cuda_queue_t *queue, void *dx, const float *dh,
                                  const uint8_t *mask, const llm_cuda_lora_t *lora);

/* decode.cu: one new token of each of S sequences, q and out [S][H][D], against
 * cached rows of keys and values of KV heads; D <= LLM_CUDA_HEAD_MAX. */
typedef struct {
    size_t S, longest;
    const int32_t *lengths; /* device memory, [S]; NULL: all are as long as the longest */
    size_t H, KV, D;
    float scale;
    size_t window; /* these as in llm_cuda_attention_t */
    float softcap;
    const float *slopes;
    size_t stride, sequence_stride; /* elements between rows, and between sequences */
} llm_cuda_decode_t;
size_t llm_cuda_decode_scratch(const llm_cuda_decode_t *shape); /* floats */
void llm_cuda_attention_decode(const llm_cuda_queue_t *queue, void *out, const void *q,
                               const void *k, const void *v, const llm_cuda_decode_t *shape,
                               float *scratch);

/* quantized.cu: weights of codes, as llm_quantized_t and llm/backend/forms.h
 * have them, [rows][columns] as stored. */
typedef enum { LLM_CUDA_INT8, LLM_CUDA_INT4, LLM_CUDA_NF4 } llm_cuda_codes_t;
typedef struct {
    const uint8_t *codes; /* at 4 bits two a byte, the low half first; a row is whole bytes */
    const float *scales;  /* [rows][ceil(columns / group)] */
    size_t rows, columns, group;
    llm_cuda_codes_t form;
} llm_cuda_quantized_t;
/* Rows first .. first + count as activations, stride elements apart. */
void llm_cuda_dequantize(const llm_cuda_queue_t *queue, void *out, size_t stride,
                         const llm_cuda_quantized_t *weight, size_t first, size_t count);
/* out[T][columns] = rows ids[t]. */
void llm_cuda_gather_quantized(const llm_cuda_queue_t *queue, void *out,
                               const llm_cuda_quantized_t *weight, const int32_t *ids, size_t T);

/* few.cu: y[M][out] = x[M][in] W^T + bias for a few rows of bf16, as decoding has
 * them; a weight of bf16 as stored, or of codes. */
#define LLM_CUDA_FEW_MAX 8
typedef struct {
    size_t in, out;
    const void *elements; /* bf16, stride elements between rows; NULL: codes, of rows of outputs */
    size_t stride;
    bool input_major; /* rows are those of inputs */
    llm_cuda_quantized_t codes;
} llm_cuda_few_t;
/* Whether so many rows of this weight are for few.cu. */
bool llm_cuda_few_takes(const llm_cuda_few_t *weight, size_t M);
/* bias may be NULL; the queue's activations are bf16. */
void llm_cuda_few_forward(const llm_cuda_queue_t *queue, void *y, size_t y_stride, const void *x,
                          size_t x_stride, const llm_cuda_few_t *weight, const float *bias,
                          size_t M);

/* optimizer.cu: vectors of floats.  The scalars are those that the CPU's
 * backends derive, and so are the bits of the results. */
typedef struct {
    float beta1, one_minus_beta1, beta2, one_minus_beta2;
    float step_size, sqrt_bias2, eps, l2, keep;
} llm_cuda_adam_t;
typedef struct {
    float lr, momentum, share, weight_decay; /* share: 1 - dampening */
    bool nesterov, first;
} llm_cuda_sgd_t;
void llm_cuda_add_floats(const llm_cuda_queue_t *queue, float *y, const float *x, size_t n);
void llm_cuda_scale(const llm_cuda_queue_t *queue, float *x, float factor, size_t n);
void llm_cuda_adam_step(const llm_cuda_queue_t *queue, float *params, float *m, float *v,
                        float *greatest, const float *grads, size_t n, const llm_cuda_adam_t *how);
void llm_cuda_sgd_step(const llm_cuda_queue_t *queue, float *params, float *momentum,
                       const float *grads, size_t n, const llm_cuda_sgd_t *how);
void llm_cuda_adagrad_step(const llm_cuda_queue_t *queue, float *params, float *sums,
                           const float *grads, size_t n, const llm_adagrad_t *how);
void llm_cuda_rmsprop_step(const llm_cuda_queue_t *queue, float *params,
                           const llm_rmsprop_state_t *state, const float *grads, size_t n,
                           const llm_rmsprop_t *how);
/* moments.cu; maps are those of m and of v. */
void llm_cuda_adam_coded_step(const llm_cuda_queue_t *queue, float *params,
                              const llm_coded_moments_t *moments, const float *grads, size_t n,
                              const llm_cuda_adam_t *how, const llm_dynamic_map_t *maps);
void llm_cuda_square_means(const llm_cuda_queue_t *queue, float *rows, float *columns,
                           const float *x, size_t M, size_t N, const llm_square_means_t *how);
void llm_cuda_factored_step(const llm_cuda_queue_t *queue, float *update, const float *rows,
                            const float *columns, const float *x, size_t M, size_t N,
                            const llm_factored_t *how);
/* *result = the sum (of squares) of a vector of floats, or of activations; of
 * no element 0.  scratch has LLM_CUDA_SUM_SCRATCH doubles. */
#define LLM_CUDA_SUM_SCRATCH 1024
void llm_cuda_sum(const llm_cuda_queue_t *queue, double *result, const float *x, size_t n,
                  bool squares, double *scratch);
void llm_cuda_sum_activations(const llm_cuda_queue_t *queue, double *result, const void *x,
                              size_t n, bool squares, double *scratch);

#ifdef __cplusplus
}
#endif

#endif
