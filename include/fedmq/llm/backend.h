/*
 * backend.h - where tensors live and who computes on them.
 *
 * A backend is a table of function pointers and a context.  Memory belongs to
 * a backend: every pointer to an array below is one that its alloc() gave, or
 * points into such memory, unless it is called host memory; only its ops may
 * dereference it (the CPU backend's memory is ordinary memory; a device's is
 * not).  All tensors are dense, row-major.  Activations are written (=),
 * gradients are added (+=), unless said otherwise.
 *
 * Activations and their gradients are llm_act_t *: elements of the type that
 * the backend says in `act`, FMQ_F32 or FMQ_BF16, whatever they are computed
 * with.  Everything else is float: parameters, their gradients and optimizer
 * state, statistics of norms, log-sum-exps, losses, LoRA's hidden rows.  An op
 * widens what it reads, computes in float or wider - sums, statistics and
 * softmax never run in 16 bits - and rounds what it stores once, to the
 * nearest, ties to even.  += on an activation reads, adds in float and rounds.
 *
 * Ops do not fail: shapes are checked by who plans the memory.  What can still
 * go wrong on a device is kept, and said by synchronize().
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
#include "fedmq/llm/activation.h"

FMQ_API_BEGIN

typedef struct llm_backend llm_backend_t;
typedef struct llm_matrix llm_matrix_t; /* a frozen [out][in] weight, laid out for speed */
typedef struct llm_act llm_act_t;       /* activations: elements of the backend's act type */
typedef struct llm_collective llm_collective_t; /* a rank of those who train one model together */

/* C[M][N] = alpha * op(A)[M][K] op(B)[K][N] + beta * C; leading dimensions are
 * row strides of the stored (not transposed) matrices. */
typedef struct {
    bool transpose_a, transpose_b;
    size_t M, N, K;
    float alpha, beta; /* beta is 0 or 1 */
    size_t lda, ldb, ldc;
} llm_gemm_t;

/* A weight that lies in a vector: trained, or fixed beside what trains. */
typedef struct {
    const float *at; /* [out][in], or [in][out] when input_major */
    size_t out, in;
    size_t stride; /* floats between its rows */
    bool input_major;
} llm_dense_t;

/* LoRA on a linear module: y += scaling h B^T with h = drop(x) A^T.
 *
 * drop() zeroes an element with probability p and scales the others by
 * 1 / (1 - p).  Element i of x, counted over rows of exactly `in` and as if
 * first_row of them came before, is dropped when word i % 4 of Philox block
 * (key, counter + i / 4) lies below p 2^32.
 * lora_down draws that once and leaves it in a mask: rows of (in + 7) / 8
 * bytes, bit c % 8 of byte c / 8 set where element c of the row is kept; bits
 * behind the last element are not read.  Backward reads the mask. */
typedef struct {
    size_t M;         /* rows of x, y and h */
    size_t first_row; /* of what they are a part of; the stream goes by it */
    size_t in, out, rank;
    const float *a;  /* [rank][in], rows a_stride apart, as those of its gradient */
    size_t a_stride; /* in or more */
    const float *b;  /* [out][rank] */
    float scaling;
    float p;                      /* 0: nothing is dropped, and no mask is read or written */
    const fmq_rng_name_t *stream; /* of lora_down when p > 0 */
} llm_lora_t;

/* The lengths of the rows of W + scaling B A (DoRA): with squares[o] = |W[o]|^2,
 *     |W[o] + s B[o] A|^2 = squares[o] + 2 s B[o] (A W[o]') + s^2 B[o] (A A') B[o]'. */
typedef struct {
    size_t out, rank;
    const float *squares;      /* [out] */
    const llm_act_t *products; /* [rank][out]: A W' */
    const float *gram;         /* [rank][rank]: A A' */
    const float *b;            /* [out][rank] */
    const float *magnitude;    /* [out] */
    float scaling;
} llm_lengths_t;

/* Packed attention: S sequences lie one behind the other; sequence s is rows
 * starts[s] .. starts[s+1].  Query i of a sequence sees its keys j <= i, and of
 * those, where there is a window, the nearest `window`, itself among them: the
 * work falls with it.  A score is
 *   s = scale q.k;  with a soft cap softcap tanh(s / softcap);
 *   with slopes     + slopes[h] (j - i)    (ALiBi, Press et al. 2022) */
typedef struct {
    size_t T, S;
    const uint32_t *starts;        /* host memory, S + 1 */
    const uint32_t *device_starts; /* the same in the backend's memory; NULL where the backend
                                      does not ask for it (ops.device_starts) */
    size_t longest;                /* rows of the longest sequence */
    size_t H, KV, D;
    float scale;                                     /* usually 1/sqrt(D) */
    size_t q_stride, k_stride, v_stride, out_stride; /* elements between rows of a token */
    size_t window;                                   /* 0: none */
    float softcap;                                   /* 0: none */
    const float *slopes;                             /* [H], of the backend; NULL: none */
} llm_attention_t;

/* Attention of one new token, the last of `length`. */
typedef struct {
    size_t length, H, KV, D;
    float scale;
    size_t window; /* these as above */
    float softcap;
    const float *slopes;
} llm_decode_t;

/* The first of the keys that a query sees. */
static inline size_t llm_first_seen(size_t window, size_t query)
{
    return window > 0 && query >= window ? query + 1 - window : 0;
}

/* Rotary positions of heads that lie side by side in rows: the first `rotary`
 * elements of a head are turned in pairs, the others stay as they are.  Pairs
 * are (j, j + rotary/2), as HF's rotate_half has them, or neighbours
 * (2j, 2j + 1), as GPT-J's. */
typedef struct {
    size_t T, heads, D;
    size_t stride; /* elements between rows */
    size_t rotary; /* even, at most D */
    bool interleaved;
} llm_rope_t;

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

typedef struct {
    float lr; /* as lr_decay leaves it */
    float eps, weight_decay;
} llm_adagrad_t;

typedef struct {
    float lr, alpha, one_minus_alpha, eps, weight_decay, momentum;
} llm_rmsprop_t;

typedef struct {
    float *squares;
    float *means;    /* NULL: not centered */
    float *momentum; /* NULL: none */
} llm_rmsprop_state_t;

/* Adam's moments at 8 bits: a code an element (llm/backend/dynamic_map.h), and for every
 * block of elements, from the first on, the largest magnitude, which the codes' values
 * are shares of. */
#define LLM_CODED_BLOCK 256
typedef struct {
    uint8_t *m, *v;
    float *m_scales, *v_scales;
} llm_coded_moments_t;

/* A mean follows what is new: keep times the old one, share times that. */
typedef struct {
    float keep, share;
    float eps; /* added to squares */
} llm_square_means_t;

typedef struct {
    float mean;  /* of the rows' means */
    float least; /* of the root that is divided by */
} llm_factored_t;

/* Of a cross-entropy over V logits, torch.nn.CrossEntropyLoss(label_smoothing): the
 * target's share of the wanted distribution is 1 - smoothing + smoothing / V, that of
 * every other logit smoothing / V. */
typedef struct {
    float scale; /* of the gradient; 0: there is none */
    float smoothing;
} llm_cross_entropy_t;

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
    const char *name;   /* "cpu", "cuda", "reference" */
    fmq_dtype_t act;    /* FMQ_F32 or FMQ_BF16: what llm_act_t * points to */
    size_t head_rows;   /* rows of logits that the head computes at a time, at least 1 ... */
    size_t head_bytes;  /* ... and what these may take, where that is less */
    bool device_starts; /* attention reads them: the caller uploads starts once a batch */
    void (*destroy)(llm_backend_t *be);
    /* A further instance on the same device, with so many threads of its own;
     * be may go before it. */
    llm_backend_t *(*another)(const llm_backend_t *be, unsigned threads, fmq_error_t *err);

    /* Waits until everything that was asked for is done; only then may another
     * instance read what this one wrote.  -1 with the first error since the
     * instance was made, and from then on: memory that an op wrote is undefined
     * after it.  Passes ask once, at their end. */
    int (*synchronize)(llm_backend_t *be, fmq_error_t *err);

    /* Memory.  alloc returns NULL when out of memory; 64-byte aligned.  upload
     * and download are done with the host's memory when they return. */
    void *(*alloc)(llm_backend_t *be, size_t bytes);
    void (*release)(llm_backend_t *be, void *memory);
    /* Bytes that alloc could give about now; SIZE_MAX when that is not known. */
    size_t (*memory_free)(const llm_backend_t *be);
    void (*upload)(llm_backend_t *be, void *to, const void *host, size_t bytes);
    void (*download)(llm_backend_t *be, void *host, const void *from, size_t bytes);
    void (*zero)(llm_backend_t *be, void *memory, size_t bytes);
    void (*copy)(llm_backend_t *be, void *to, const void *from, size_t bytes);
    /* Rows of `width` activations, to[m][0 .. width] = from[m][0 .. width], the
     * rows to_stride and from_stride elements apart. */
    void (*copy_rows)(llm_backend_t *be, llm_act_t *to, size_t to_stride, const llm_act_t *from,
                      size_t from_stride, size_t M, size_t width);
    /* to = x, or to += x when add; and the way back, rounding once. */
    void (*widen)(llm_backend_t *be, float *to, const llm_act_t *x, size_t n, bool add);
    void (*narrow)(llm_backend_t *be, llm_act_t *to, const float *x, size_t n, bool add);

    /* A frozen weight from host memory of dtype F32, F16 or BF16, stored
     * [out][in], or [in][out] when input_major (GPT-2's Conv1D).  data is read
     * during the call only.  NULL: out of memory. */
    llm_matrix_t *(*matrix_new)(llm_backend_t *be, const void *data, fmq_dtype_t dtype, size_t out,
                                size_t in, bool input_major);
    /* The same of small integers, which stay what they are in memory; with F32
     * activations products are those of the floats that they stand for, with BF16
     * ones a scale may come after the sum of its group.  NULL in a backend that
     * has none: the caller widens them. */
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
    void (*linear_forward)(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                           size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M);
    /* As above for the rows first .. first + count of W only (a block of the
     * vocabulary): y[M][count].  bias is NULL there. */
    void (*linear_forward_rows)(llm_backend_t *be, llm_act_t *y, size_t y_stride,
                                const llm_act_t *x, size_t x_stride, const llm_matrix_t *w,
                                size_t first, size_t count, size_t M);
    /* dx[M][in] (+)= dy[M][out] W; add false: overwritten. */
    void (*linear_backward)(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                            size_t dy_stride, const llm_matrix_t *w, size_t M, bool add);
    /* Rows first .. first + count of W only: dx += dy[M][count] W[rows]. */
    void (*linear_backward_rows)(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                 const llm_act_t *dy, size_t dy_stride, const llm_matrix_t *w,
                                 size_t first, size_t count, size_t M, bool add);
    /* out[T][C] = rows ids[t] of W (embedding lookup; ids on the backend). */
    void (*matrix_gather)(llm_backend_t *be, llm_act_t *out, const llm_matrix_t *w,
                          const int32_t *ids, size_t T);

    /* The same products with a weight that lies in a vector, and its gradient:
     * dweight += dy^T x, laid out like the weight. */
    void (*dense_forward)(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const llm_dense_t *w, const float *bias, size_t M);
    void (*dense_backward)(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                           size_t dy_stride, const llm_dense_t *w, size_t M, bool add);
    void (*dense_gradients)(llm_backend_t *be, float *dweight, const llm_act_t *dy,
                            size_t dy_stride, const llm_act_t *x, size_t x_stride,
                            const llm_dense_t *w, size_t M);

    /* LoRA, see llm_lora_t.  x and dx are [M][in] without gaps; rows of y and
     * dy lie a stride apart; h and dh are [M][rank].  mask is read, or by
     * lora_down written, when how->p > 0, and else NULL.
     *   lora_down            h = drop(x) A^T
     *   lora_up              y += scaling h B^T
     *   lora_gradients       dh = scaling dy B; db += scaling dy^T h;
     *                        da += dh^T drop(x).  da and db NULL (LoRA that is
     *                        fixed): dh only, and x, h and mask may be NULL
     *   lora_input_gradient  dx += drop'(dh A), drop' being drop's mask and scale */
    void (*lora_down)(llm_backend_t *be, float *h, uint8_t *mask, const llm_act_t *x,
                      const llm_lora_t *how);
    void (*lora_up)(llm_backend_t *be, llm_act_t *y, size_t y_stride, const float *h,
                    const llm_lora_t *how);
    void (*lora_gradients)(llm_backend_t *be, float *dh, float *da, float *db, const llm_act_t *dy,
                           size_t dy_stride, const llm_act_t *x, const float *h,
                           const uint8_t *mask, const llm_lora_t *how);
    void (*lora_input_gradient)(llm_backend_t *be, llm_act_t *dx, const float *dh,
                                const uint8_t *mask, const llm_lora_t *how);

    /* out (+)= drop(x) with the mask that lora_down left, how->p > 0; rows of
     * how->in without gaps.  Its own gradient has the same form. */
    void (*drop)(llm_backend_t *be, llm_act_t *out, const uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how, bool add);
    /* LoRA of an embedding: h[t] = column ids[t] of a[rank][V]; and da's columns
     * += rows of dh (in row order of t). */
    void (*gather_columns)(llm_backend_t *be, float *h, const float *a, const int32_t *ids,
                           size_t T, size_t rank, size_t V);
    void (*scatter_columns)(llm_backend_t *be, float *da, const float *dh, const int32_t *ids,
                            size_t T, size_t rank, size_t V);
    /* inverse[o] = 1 / length, and 0 for a row without length; factors[o] =
     * magnitude[o] inverse[o]. */
    void (*lora_lengths)(llm_backend_t *be, float *factors, float *inverse,
                         const llm_lengths_t *how);

    /* Factors of columns, [M][N] with rows a stride apart.
     *   scale_columns           y = x factors + bias; bias may be NULL, y may be x
     *   scale_columns_backward  dfactors += sum over rows of dy x; dx (+)= dy factors.
     *                           dfactors or dx may be NULL, and dx may be dy */
    void (*scale_columns)(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const float *factors, const float *bias, size_t M,
                          size_t N);
    void (*scale_columns_backward)(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                   float *dfactors, const llm_act_t *dy, size_t dy_stride,
                                   const llm_act_t *x, size_t x_stride, const float *factors,
                                   size_t M, size_t N, bool add);
    /* squares[m] = sum over n of x[m][n]^2. */
    void (*row_squares)(llm_backend_t *be, float *squares, const llm_act_t *x, size_t M, size_t N);

    /* Dense products of floats: what is computed with vectors alone. */
    void (*gemm)(llm_backend_t *be, float *c, const float *a, const float *b,
                 const llm_gemm_t *shape);

    /* out[t][C] = table[ids[t]][C]; and table gradient rows += (in row order of t). */
    void (*embed_forward)(llm_backend_t *be, llm_act_t *out, const float *table, const int32_t *ids,
                          size_t T, size_t C);
    void (*embed_backward)(llm_backend_t *be, float *dtable, const llm_act_t *dout,
                           const int32_t *ids, size_t T, size_t C);

    /* y += x, and y = factor x (y may be x), over n activations; and dbias[N] += column sums of
     * dy[M][N], rows dy_stride apart. */
    void (*add_act)(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n);
    void (*scale_act)(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float factor, size_t n);
    void (*bias_backward)(llm_backend_t *be, float *dbias, const llm_act_t *dy, size_t dy_stride,
                          size_t M, size_t N);

    /* LayerNorm (torch.nn.LayerNorm); stats[T][2] = mean, 1/std for backward.
     * dx (+)= ; add false: overwritten.  dweight/dbias may be NULL (frozen). */
    void (*layernorm_forward)(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                              const float *weight, const float *bias, size_t T, size_t C,
                              float eps);
    void (*layernorm_backward)(llm_backend_t *be, llm_act_t *dx, float *dweight, float *dbias,
                               const llm_act_t *dout, const llm_act_t *x, const float *stats,
                               const float *weight, size_t T, size_t C, bool add);
    /* RMSNorm (HF LlamaRMSNorm); stats[T] = 1/rms. */
    void (*rmsnorm_forward)(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                            const float *weight, size_t T, size_t C, float eps);
    void (*rmsnorm_backward)(llm_backend_t *be, llm_act_t *dx, float *dweight,
                             const llm_act_t *dout, const llm_act_t *x, const float *stats,
                             const float *weight, size_t T, size_t C, bool add);

    /* Rotates heads within each row, in place, see llm_rope_t.
     * table[position][rotary] = rotary/2 cosines then rotary/2 sines.  inverse:
     * backward, which is the transposed.  Where keys lie behind queries in a row,
     * one call turns both. */
    void (*rope)(llm_backend_t *be, llm_act_t *x, const int32_t *positions, const float *table,
                 const llm_rope_t *how, bool inverse);

    /* Causal attention within each sequence, grouped when KV < H.  lse[T][H] =
     * log-sum-exp of the scores, kept for backward.  backward: dq, dk,
     * dv are overwritten (=), with the strides of q, k, v; scratch holds
     * attention_scratch() floats, which looks at sizes, S and longest only. */
    size_t (*attention_scratch)(const llm_backend_t *be, const llm_attention_t *shape);
    void (*attention_forward)(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch);
    void (*attention_backward)(llm_backend_t *be, llm_act_t *dq, llm_act_t *dk, llm_act_t *dv,
                               const llm_act_t *dout, const llm_act_t *out, const float *lse,
                               const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                               const llm_attention_t *shape, float *scratch);
    /* One new token: q[H][D] against length cached rows of k and v
     * ([length][KV][D]), out[H][D]; scratch: H * length floats. */
    void (*attention_decode)(llm_backend_t *be, llm_act_t *out, const llm_act_t *q,
                             const llm_act_t *k, const llm_act_t *v, const llm_decode_t *how,
                             float *scratch);

    /* out = f(x) over n elements, f being the function of that kind.  backward:
     * dx is overwritten (=), and may alias dout. */
    void (*activation_forward)(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                               llm_activation_t kind);
    void (*activation_backward)(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                                const llm_act_t *x, size_t n, llm_activation_t kind);
    /* out = f(gate) * up: SwiGLU with silu, GeGLU with either gelu.  backward:
     * dgate and dup are overwritten (=), and may alias gate and up. */
    void (*glu_forward)(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                        const llm_act_t *up, size_t n, llm_activation_t kind);
    void (*glu_backward)(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup, const llm_act_t *dout,
                         const llm_act_t *gate, const llm_act_t *up, size_t n,
                         llm_activation_t kind);

    /* y = cap tanh(x / cap), cap > 0 (a soft cap of logits); y may be x.  backward,
     * from what forward gave: dx *= 1 - (y / cap)^2. */
    void (*softcap_forward)(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float cap,
                            size_t n);
    void (*softcap_backward)(llm_backend_t *be, llm_act_t *dx, const llm_act_t *y, float cap,
                             size_t n);

    /* out[i][C] = x[rows[i]][C];  dx[rows[i]][C] += dout[i][C] (rows distinct). */
    void (*gather_rows)(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, const int32_t *rows,
                        size_t n, size_t C);
    void (*scatter_rows)(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                         const int32_t *rows, size_t n, size_t C);

    /* Cross-entropy of M rows of V logits: loss[m] = lse - (1 - smoothing)
     * logit[target] - smoothing mean(logits); logits are replaced by (softmax -
     * wanted) * scale; scale 0: left alone. */
    void (*cross_entropy)(llm_backend_t *be, float *loss, llm_act_t *logits, const int32_t *targets,
                          size_t M, size_t V, const llm_cross_entropy_t *how);
    /* Kullback-Leibler divergence of M rows of V logits, p their softmax:
     * loss[m] = sum_v p_full log(p_full / p_client).  client is replaced by the
     * gradient, (p_client - p_full) * scale; scale 0: left alone. */
    void (*kl_divergence)(llm_backend_t *be, float *loss, llm_act_t *client, const llm_act_t *full,
                          size_t M, size_t V, float scale);
    /* loss[t] = -cos(target[t], x[t]) over C channels; dx[t] += scale times the
     * gradient by x.  dx may be NULL.  Where either row is all zero, loss and
     * gradient are 0. */
    void (*cosine)(llm_backend_t *be, float *loss, llm_act_t *dx, const llm_act_t *target,
                   const llm_act_t *x, size_t T, size_t C, float scale);
    /* best[m] = index of the largest logit, the lowest index among equals. */
    void (*argmax)(llm_backend_t *be, int32_t *best, const llm_act_t *logits, size_t M, size_t V);
    /* sums[n] += sum over m of x[m][n]^2, rows in order; sums is host memory. */
    void (*column_sum_squares)(llm_backend_t *be, double *sums, const llm_act_t *x, size_t M,
                               size_t N);

    /* Vectors of floats: the optimizers' loops.  sum and sum_squares are
     * returned to the host.  y += x; y += a b. */
    void (*add)(llm_backend_t *be, float *y, const float *x, size_t n);
    void (*add_product)(llm_backend_t *be, float *y, const float *a, const float *b, size_t n);
    void (*scale)(llm_backend_t *be, float *x, float factor, size_t n);
    double (*sum_squares)(llm_backend_t *be, const float *x, size_t n);
    double (*sum)(llm_backend_t *be, const float *x, size_t n);
    /* greatest NULL, or amsgrad's largest v so far, which takes v's place. */
    void (*adam_step)(llm_backend_t *be, float *params, float *m, float *v, float *greatest,
                      const float *grads, size_t n, const llm_adam_t *how);
    void (*sgd_step)(llm_backend_t *be, float *params, float *momentum, const float *grads,
                     size_t n, const llm_sgd_t *how); /* momentum NULL when 0 */
    void (*adagrad_step)(llm_backend_t *be, float *params, float *sums, const float *grads,
                         size_t n, const llm_adagrad_t *how);
    void (*rmsprop_step)(llm_backend_t *be, float *params, const llm_rmsprop_state_t *state,
                         const float *grads, size_t n, const llm_rmsprop_t *how);
    void (*adam_coded_step)(llm_backend_t *be, float *params, const llm_coded_moments_t *moments,
                            const float *grads, size_t n, const llm_adam_t *how);
    /* Adafactor's: rows[M] and columns[N] follow the means over x's rows and columns of
     * x[M][N]^2; columns NULL: rows[M N] follow the squares themselves. */
    void (*square_means)(llm_backend_t *be, float *rows, float *columns, const float *x, size_t M,
                         size_t N, const llm_square_means_t *how);
    /* update = x / sqrt(rows columns / mean), or x / sqrt(rows[M N]). */
    void (*factored_step)(llm_backend_t *be, float *update, const float *rows, const float *columns,
                          const float *x, size_t M, size_t N, const llm_factored_t *how);

    /* A group of ranks that exchange vectors from device to device; members gets one
     * a rank (llm/backend/collective.h).  All backends have this entry in their
     * tables.  -1 with FMQ_ERR_UNSUPPORTED when they cannot - two of them on one
     * device, a library that is missing - and the caller goes through host memory.
     * The entry is NULL where there is nothing but that. */
    int (*collective)(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                      fmq_error_t *err);
} llm_ops_t;

struct llm_backend {
    const llm_ops_t *ops;
    void *context; /* owned by the backend */
};

/* Bytes of n activations, also in host memory that holds them as they are. */
static inline size_t llm_act_bytes(const llm_backend_t *be, size_t n)
{
    return n * (be->ops->act == FMQ_BF16 ? sizeof(uint16_t) : sizeof(float));
}

/* The activation so many elements behind x. */
static inline llm_act_t *llm_act_at(const llm_backend_t *be, llm_act_t *x, size_t elements)
{
    return (llm_act_t *)((char *)x + llm_act_bytes(be, elements));
}

static inline const llm_act_t *llm_act_const_at(const llm_backend_t *be, const llm_act_t *x,
                                                size_t elements)
{
    return (const llm_act_t *)((const char *)x + llm_act_bytes(be, elements));
}

/* Bytes of the mask of LoRA over M rows of in elements. */
static inline size_t llm_lora_mask_bytes(size_t M, size_t in)
{
    return M * ((in + 7) / 8);
}

/* An instance on the device of this name, with so many threads (>= 1) of its own:
 *   "cpu", "cpu:f32"    the CPU, with activations in fp32
 *   "cpu:bf16"          the CPU, with activations in bf16
 *   "cuda", "cuda:N"    the first GPU, or that of number N, in bf16, which is
 *                       what it is made for; so are "cuda:bf16", "cuda:N:bf16"
 *   "cuda:f32", "cuda:N:f32"  the same in fp32, which is slower
 * GPUs are behind a module, libfedmq-cuda.so, that is loaded here: from the path
 * in $FEDMQ_CUDA, or else from the folder of libfedmq or of the program, from
 * where libraries are installed, or by the loader.  NULL with FMQ_ERR_CONFIG
 * when there is no such name, FMQ_ERR_UNSUPPORTED when there is no module, no
 * driver or no such device, and FMQ_ERR_MISMATCH when the module is of another
 * build. */
llm_backend_t *llm_backend_open(const char *device, unsigned threads, fmq_error_t *err);

/* The CPU backend with its own pool of threads (>= 1, the caller is one of
 * them).  Chooses AVX-512, AVX2+FMA or portable kernels at run time;
 * FEDMQ_CPU=avx512bf16|avx512|avx2|portable overrides, for tests.  In fp32 all
 * of them give the same bytes.  NULL with err. */
llm_backend_t *llm_backend_cpu_new(unsigned threads, fmq_error_t *err);

/* The same with activations in BF16.  Products and attention multiply pairs of
 * BF16 and sum in float where the machine has AVX512-BF16, and widen elsewhere:
 * results are those of the variant, not the same bytes on every machine.
 * Matrices are those of the F32 backend. */
llm_backend_t *llm_backend_cpu_new_half(unsigned threads, fmq_error_t *err);

/* Naive single-thread fp32 loops, one for one with the formulas: the reference
 * that every other backend is tested against. */
llm_backend_t *llm_backend_reference_new(fmq_error_t *err);

/* The same with activations of the given type, FMQ_F32 or FMQ_BF16: computes
 * as before and rounds what it stores, so that a backend of that type can be
 * measured against it. */
llm_backend_t *llm_backend_reference_act_new(fmq_dtype_t act, fmq_error_t *err);

void llm_backend_destroy(llm_backend_t **self_p);

/* Copies n activations as floats: from host memory, rounding; to host memory. */
void llm_act_upload(llm_backend_t *be, llm_act_t *to, const float *host, size_t n);
void llm_act_download(llm_backend_t *be, float *host, const llm_act_t *from, size_t n);

/* "avx512", "avx2", "portable" or the device's name. */
const char *llm_backend_variant(const llm_backend_t *self);

/* Seconds spent inside matrix products since creation (sum over calls of wall
 * time as seen by the caller), for the benchmark's share of GEMM. */
double llm_backend_gemm_seconds(const llm_backend_t *self);

FMQ_API_END

#endif
