/*
 * fence_ops.c - every op behind the fence: each works on what the caller's
 * pointers stand for, and says which of them is not the backend's.  Vectors of
 * floats are in fence_vectors.c.
 */
#include "fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATRIX(handle) fence_matrix(handle, __func__)

static llm_dense_t dense_inside(const llm_dense_t *w, const char *op)
{
    fence_outside(w, op, "w");
    llm_dense_t inside = *w;
    inside.at = fence_inside(w->at, op, "w->at");
    return inside;
}

static llm_lora_t lora_inside(const llm_lora_t *how, const char *op)
{
    fence_outside(how, op, "how");
    fence_outside(how->stream, op, "how->stream");
    llm_lora_t inside = *how;
    inside.a = fence_inside(how->a, op, "how->a");
    inside.b = fence_inside(how->b, op, "how->b");
    return inside;
}

/* device_starts is asked for here, and has to say what starts says. */
static llm_attention_t attention_inside(const llm_attention_t *shape, const char *op)
{
    fence_outside(shape, op, "shape");
    fence_outside(shape->starts, op, "shape->starts");
    llm_attention_t inside = *shape;
    inside.device_starts = fence_inside(shape->device_starts, op, "shape->device_starts");
    inside.slopes = fence_inside(shape->slopes, op, "shape->slopes");
    if (!inside.device_starts ||
        memcmp(inside.device_starts, shape->starts, (shape->S + 1) * sizeof *shape->starts) != 0) {
        fprintf(stderr, "fence: %s is given other starts than the host's\n", op);
        abort();
    }
    return inside;
}

static int synchronize(llm_backend_t *be, fmq_error_t *err)
{
    llm_backend_t *inner = fence_inner(be);
    return inner->ops->synchronize(inner, err);
}

static size_t memory_free(const llm_backend_t *be)
{
    llm_backend_t *inner = fence_inner(be);
    return inner->ops->memory_free(inner);
}

static void upload(llm_backend_t *be, void *to, const void *host, size_t bytes)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(host, __func__, "host");
    inner->ops->upload(inner, INSIDE(to), host, bytes);
}

static void download(llm_backend_t *be, void *host, const void *from, size_t bytes)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(host, __func__, "host");
    inner->ops->download(inner, host, INSIDE(from), bytes);
}

static void zero(llm_backend_t *be, void *memory, size_t bytes)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->zero(inner, INSIDE(memory), bytes);
}

static void copy(llm_backend_t *be, void *to, const void *from, size_t bytes)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->copy(inner, INSIDE(to), INSIDE(from), bytes);
}

static void copy_rows(llm_backend_t *be, llm_act_t *to, size_t to_stride, const llm_act_t *from,
                      size_t from_stride, size_t M, size_t width)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->copy_rows(inner, INSIDE(to), to_stride, INSIDE(from), from_stride, M, width);
}

static void widen(llm_backend_t *be, float *to, const llm_act_t *x, size_t n, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->widen(inner, INSIDE(to), INSIDE(x), n, add);
}

static void narrow(llm_backend_t *be, llm_act_t *to, const float *x, size_t n, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->narrow(inner, INSIDE(to), INSIDE(x), n, add);
}

static void linear_forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                           size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->linear_forward(inner, INSIDE(y), y_stride, INSIDE(x), x_stride, MATRIX(w),
                               INSIDE(bias), M);
}

static void linear_forward_rows(llm_backend_t *be, llm_act_t *y, size_t y_stride,
                                const llm_act_t *x, size_t x_stride, const llm_matrix_t *w,
                                size_t first, size_t count, size_t M)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->linear_forward_rows(inner, INSIDE(y), y_stride, INSIDE(x), x_stride, MATRIX(w),
                                    first, count, M);
}

static void linear_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                            size_t dy_stride, const llm_matrix_t *w, size_t M, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->linear_backward(inner, INSIDE(dx), dx_stride, INSIDE(dy), dy_stride, MATRIX(w), M,
                                add);
}

static void linear_backward_rows(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                 const llm_act_t *dy, size_t dy_stride, const llm_matrix_t *w,
                                 size_t first, size_t count, size_t M, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->linear_backward_rows(inner, INSIDE(dx), dx_stride, INSIDE(dy), dy_stride, MATRIX(w),
                                     first, count, M, add);
}

static void matrix_gather(llm_backend_t *be, llm_act_t *out, const llm_matrix_t *w,
                          const int32_t *ids, size_t T)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->matrix_gather(inner, INSIDE(out), MATRIX(w), INSIDE(ids), T);
}

static void dense_forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const llm_dense_t *w, const float *bias, size_t M)
{
    llm_backend_t *inner = fence_inner(be);
    llm_dense_t inside = dense_inside(w, __func__);
    inner->ops->dense_forward(inner, INSIDE(y), y_stride, INSIDE(x), x_stride, &inside,
                              INSIDE(bias), M);
}

static void dense_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                           size_t dy_stride, const llm_dense_t *w, size_t M, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    llm_dense_t inside = dense_inside(w, __func__);
    inner->ops->dense_backward(inner, INSIDE(dx), dx_stride, INSIDE(dy), dy_stride, &inside, M,
                               add);
}

static void dense_gradients(llm_backend_t *be, float *dweight, const llm_act_t *dy,
                            size_t dy_stride, const llm_act_t *x, size_t x_stride,
                            const llm_dense_t *w, size_t M)
{
    llm_backend_t *inner = fence_inner(be);
    llm_dense_t inside = dense_inside(w, __func__);
    inner->ops->dense_gradients(inner, INSIDE(dweight), INSIDE(dy), dy_stride, INSIDE(x), x_stride,
                                &inside, M);
}

static void lora_down(llm_backend_t *be, float *h, uint8_t *mask, const llm_act_t *x,
                      const llm_lora_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    llm_lora_t inside = lora_inside(how, __func__);
    inner->ops->lora_down(inner, INSIDE(h), INSIDE(mask), INSIDE(x), &inside);
}

static void lora_up(llm_backend_t *be, llm_act_t *y, size_t y_stride, const float *h,
                    const llm_lora_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    llm_lora_t inside = lora_inside(how, __func__);
    inner->ops->lora_up(inner, INSIDE(y), y_stride, INSIDE(h), &inside);
}

static void drop(llm_backend_t *be, llm_act_t *out, const uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    llm_lora_t inside = lora_inside(how, __func__);
    inner->ops->drop(inner, INSIDE(out), INSIDE(mask), INSIDE(x), &inside, add);
}

static void gather_columns(llm_backend_t *be, float *h, const float *a, const int32_t *ids,
                           size_t T, size_t rank, size_t V)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->gather_columns(inner, INSIDE(h), INSIDE(a), INSIDE(ids), T, rank, V);
}

static void scatter_columns(llm_backend_t *be, float *da, const float *dh, const int32_t *ids,
                            size_t T, size_t rank, size_t V)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->scatter_columns(inner, INSIDE(da), INSIDE(dh), INSIDE(ids), T, rank, V);
}

static void lora_lengths(llm_backend_t *be, float *factors, float *inverse,
                         const llm_lengths_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    llm_lengths_t inside = *how;
    inside.squares = INSIDE(how->squares);
    inside.products = INSIDE(how->products);
    inside.gram = INSIDE(how->gram);
    inside.b = INSIDE(how->b);
    inside.magnitude = INSIDE(how->magnitude);
    inner->ops->lora_lengths(inner, INSIDE(factors), INSIDE(inverse), &inside);
}

static void scale_columns(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const float *factors, const float *bias, size_t M,
                          size_t N)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->scale_columns(inner, INSIDE(y), y_stride, INSIDE(x), x_stride, INSIDE(factors),
                              INSIDE(bias), M, N);
}

static void scale_columns_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                   float *dfactors, const llm_act_t *dy, size_t dy_stride,
                                   const llm_act_t *x, size_t x_stride, const float *factors,
                                   size_t M, size_t N, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->scale_columns_backward(inner, INSIDE(dx), dx_stride, INSIDE(dfactors), INSIDE(dy),
                                       dy_stride, INSIDE(x), x_stride, INSIDE(factors), M, N, add);
}

static void row_squares(llm_backend_t *be, float *squares, const llm_act_t *x, size_t M, size_t N)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->row_squares(inner, INSIDE(squares), INSIDE(x), M, N);
}

static void lora_gradients(llm_backend_t *be, float *dh, float *da, float *db, const llm_act_t *dy,
                           size_t dy_stride, const llm_act_t *x, const float *h,
                           const uint8_t *mask, const llm_lora_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    llm_lora_t inside = lora_inside(how, __func__);
    inner->ops->lora_gradients(inner, INSIDE(dh), INSIDE(da), INSIDE(db), INSIDE(dy), dy_stride,
                               INSIDE(x), INSIDE(h), INSIDE(mask), &inside);
}

static void lora_input_gradient(llm_backend_t *be, llm_act_t *dx, const float *dh,
                                const uint8_t *mask, const llm_lora_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    llm_lora_t inside = lora_inside(how, __func__);
    inner->ops->lora_input_gradient(inner, INSIDE(dx), INSIDE(dh), INSIDE(mask), &inside);
}

static void gemm(llm_backend_t *be, float *c, const float *a, const float *b,
                 const llm_gemm_t *shape)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(shape, __func__, "shape");
    inner->ops->gemm(inner, INSIDE(c), INSIDE(a), INSIDE(b), shape);
}

static void embed_forward(llm_backend_t *be, llm_act_t *out, const float *table, const int32_t *ids,
                          size_t T, size_t C)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->embed_forward(inner, INSIDE(out), INSIDE(table), INSIDE(ids), T, C);
}

static void embed_backward(llm_backend_t *be, float *dtable, const llm_act_t *dout,
                           const int32_t *ids, size_t T, size_t C)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->embed_backward(inner, INSIDE(dtable), INSIDE(dout), INSIDE(ids), T, C);
}

static void add_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->add_act(inner, INSIDE(y), INSIDE(x), n);
}

static void scale_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float factor, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->scale_act(inner, INSIDE(y), INSIDE(x), factor, n);
}

static void bias_backward(llm_backend_t *be, float *dbias, const llm_act_t *dy, size_t dy_stride,
                          size_t M, size_t N)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->bias_backward(inner, INSIDE(dbias), INSIDE(dy), dy_stride, M, N);
}

static void layernorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                              const float *weight, const float *bias, size_t T, size_t C, float eps)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->layernorm_forward(inner, INSIDE(out), INSIDE(stats), INSIDE(x), INSIDE(weight),
                                  INSIDE(bias), T, C, eps);
}

static void layernorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight, float *dbias,
                               const llm_act_t *dout, const llm_act_t *x, const float *stats,
                               const float *weight, size_t T, size_t C, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->layernorm_backward(inner, INSIDE(dx), INSIDE(dweight), INSIDE(dbias), INSIDE(dout),
                                   INSIDE(x), INSIDE(stats), INSIDE(weight), T, C, add);
}

static void rmsnorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                            const float *weight, size_t T, size_t C, float eps)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->rmsnorm_forward(inner, INSIDE(out), INSIDE(stats), INSIDE(x), INSIDE(weight), T, C,
                                eps);
}

static void rmsnorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight,
                             const llm_act_t *dout, const llm_act_t *x, const float *stats,
                             const float *weight, size_t T, size_t C, bool add)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->rmsnorm_backward(inner, INSIDE(dx), INSIDE(dweight), INSIDE(dout), INSIDE(x),
                                 INSIDE(stats), INSIDE(weight), T, C, add);
}

static void rope(llm_backend_t *be, llm_act_t *x, const int32_t *positions, const float *table,
                 const llm_rope_t *how, bool inverse)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->rope(inner, INSIDE(x), INSIDE(positions), INSIDE(table), how, inverse);
}

static size_t attention_scratch(const llm_backend_t *be, const llm_attention_t *shape)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(shape, __func__, "shape");
    return inner->ops->attention_scratch(inner, shape);
}

static void attention_forward(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch)
{
    llm_backend_t *inner = fence_inner(be);
    llm_attention_t inside = attention_inside(shape, __func__);
    inner->ops->attention_forward(inner, INSIDE(out), INSIDE(lse), INSIDE(q), INSIDE(k), INSIDE(v),
                                  &inside, INSIDE(scratch));
}

static void attention_backward(llm_backend_t *be, llm_act_t *dq, llm_act_t *dk, llm_act_t *dv,
                               const llm_act_t *dout, const llm_act_t *out, const float *lse,
                               const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                               const llm_attention_t *shape, float *scratch)
{
    llm_backend_t *inner = fence_inner(be);
    llm_attention_t inside = attention_inside(shape, __func__);
    inner->ops->attention_backward(inner, INSIDE(dq), INSIDE(dk), INSIDE(dv), INSIDE(dout),
                                   INSIDE(out), INSIDE(lse), INSIDE(q), INSIDE(k), INSIDE(v),
                                   &inside, INSIDE(scratch));
}

static void attention_decode(llm_backend_t *be, llm_act_t *out, const llm_act_t *q,
                             const llm_act_t *k, const llm_act_t *v, const llm_decode_t *how,
                             float *scratch)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    llm_decode_t inside = *how;
    inside.slopes = fence_inside(how->slopes, __func__, "how->slopes");
    inner->ops->attention_decode(inner, INSIDE(out), INSIDE(q), INSIDE(k), INSIDE(v), &inside,
                                 INSIDE(scratch));
}

static void activation_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                               llm_activation_t kind)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->activation_forward(inner, INSIDE(out), INSIDE(x), n, kind);
}

static void activation_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                                const llm_act_t *x, size_t n, llm_activation_t kind)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->activation_backward(inner, INSIDE(dx), INSIDE(dout), INSIDE(x), n, kind);
}

static void glu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                        const llm_act_t *up, size_t n, llm_activation_t kind)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->glu_forward(inner, INSIDE(out), INSIDE(gate), INSIDE(up), n, kind);
}

static void glu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup, const llm_act_t *dout,
                         const llm_act_t *gate, const llm_act_t *up, size_t n,
                         llm_activation_t kind)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->glu_backward(inner, INSIDE(dgate), INSIDE(dup), INSIDE(dout), INSIDE(gate),
                             INSIDE(up), n, kind);
}

static void softcap_forward(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float cap,
                            size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->softcap_forward(inner, INSIDE(y), INSIDE(x), cap, n);
}

static void softcap_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *y, float cap,
                             size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->softcap_backward(inner, INSIDE(dx), INSIDE(y), cap, n);
}

static void gather_rows(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, const int32_t *rows,
                        size_t n, size_t C)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->gather_rows(inner, INSIDE(out), INSIDE(x), INSIDE(rows), n, C);
}

static void scatter_rows(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                         const int32_t *rows, size_t n, size_t C)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->scatter_rows(inner, INSIDE(dx), INSIDE(dout), INSIDE(rows), n, C);
}

static void cross_entropy(llm_backend_t *be, float *loss, llm_act_t *logits, const int32_t *targets,
                          size_t M, size_t V, const llm_cross_entropy_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->cross_entropy(inner, INSIDE(loss), INSIDE(logits), INSIDE(targets), M, V, how);
}

static void kl_divergence(llm_backend_t *be, float *loss, llm_act_t *client, const llm_act_t *full,
                          size_t M, size_t V, float scale)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->kl_divergence(inner, INSIDE(loss), INSIDE(client), INSIDE(full), M, V, scale);
}

static void cosine(llm_backend_t *be, float *loss, llm_act_t *dx, const llm_act_t *target,
                   const llm_act_t *x, size_t T, size_t C, float scale)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->cosine(inner, INSIDE(loss), INSIDE(dx), INSIDE(target), INSIDE(x), T, C, scale);
}

static void argmax(llm_backend_t *be, int32_t *best, const llm_act_t *logits, size_t M, size_t V)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->argmax(inner, INSIDE(best), INSIDE(logits), M, V);
}

static void column_sum_squares(llm_backend_t *be, double *sums, const llm_act_t *x, size_t M,
                               size_t N)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(sums, __func__, "sums");
    inner->ops->column_sum_squares(inner, sums, INSIDE(x), M, N);
}

void fence_fill_ops(llm_ops_t *ops)
{
    ops->synchronize = synchronize;
    ops->memory_free = memory_free;
    ops->upload = upload;
    ops->download = download;
    ops->zero = zero;
    ops->copy = copy;
    ops->copy_rows = copy_rows;
    ops->widen = widen;
    ops->narrow = narrow;
    ops->linear_forward = linear_forward;
    ops->linear_forward_rows = linear_forward_rows;
    ops->linear_backward = linear_backward;
    ops->linear_backward_rows = linear_backward_rows;
    ops->matrix_gather = matrix_gather;
    ops->dense_forward = dense_forward;
    ops->dense_backward = dense_backward;
    ops->dense_gradients = dense_gradients;
    ops->lora_down = lora_down;
    ops->lora_up = lora_up;
    ops->lora_gradients = lora_gradients;
    ops->lora_input_gradient = lora_input_gradient;
    ops->drop = drop;
    ops->gather_columns = gather_columns;
    ops->scatter_columns = scatter_columns;
    ops->lora_lengths = lora_lengths;
    ops->scale_columns = scale_columns;
    ops->scale_columns_backward = scale_columns_backward;
    ops->row_squares = row_squares;
    ops->gemm = gemm;
    ops->embed_forward = embed_forward;
    ops->embed_backward = embed_backward;
    ops->add_act = add_act;
    ops->scale_act = scale_act;
    ops->bias_backward = bias_backward;
    ops->layernorm_forward = layernorm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->rmsnorm_forward = rmsnorm_forward;
    ops->rmsnorm_backward = rmsnorm_backward;
    ops->rope = rope;
    ops->attention_scratch = attention_scratch;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
    ops->attention_decode = attention_decode;
    ops->activation_forward = activation_forward;
    ops->activation_backward = activation_backward;
    ops->glu_forward = glu_forward;
    ops->glu_backward = glu_backward;
    ops->softcap_forward = softcap_forward;
    ops->softcap_backward = softcap_backward;
    ops->gather_rows = gather_rows;
    ops->scatter_rows = scatter_rows;
    ops->cross_entropy = cross_entropy;
    ops->kl_divergence = kl_divergence;
    ops->cosine = cosine;
    ops->argmax = argmax;
    ops->column_sum_squares = column_sum_squares;
    fence_fill_vectors(ops);
}
