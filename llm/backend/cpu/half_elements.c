/*
 * half_elements.c - ops on vectors of BF16: sums of two, activations, and the
 * ways from and to floats.  A piece of STRETCH elements at a time is widened,
 * computed and narrowed within the nearest cache.
 */
#include "llm/backend/cpu/half.h"

#include <string.h>

#define PIECE   16384 /* elements of an item */
#define STRETCH 1024  /* widened at a time */

typedef struct {
    uint16_t *out, *second;
    const uint16_t *x, *y, *z;
    float *wide_out;
    const float *wide;
    float value;
    bool flag;
    llm_activation_t kind;
} job_t;

typedef void (*stretch_t)(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n);

/* The item's elements in stretches; unrolled into every op by its constant. */
static inline void in_stretches(const llm_half_hand_t *hand, const job_t *job, size_t first,
                                size_t count, stretch_t stretch)
{
    for (size_t i = 0; i < count; i += STRETCH)
        stretch(hand, job, first + i, llm_cpu_min(STRETCH, count - i));
}

static void add_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    float *y = hand->room, *x = y + STRETCH;
    hand->half->widen(y, job->out + at, n);
    if (job->x)
        hand->half->widen(x, job->x + at, n);
    hand->kernels->add(y, job->x ? x : job->wide + at, n);
    hand->half->narrow(job->out + at, y, n);
}

static void add_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, add_stretch);
}

static void run(llm_backend_t *be, size_t n, llm_half_piece_t piece, job_t *job)
{
    llm_half_run_pieces(llm_cpu(be), n, PIECE, 4 * STRETCH, piece, job);
}

static void add_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n)
{
    job_t job = {.out = llm_half_write(y), .x = llm_half_read(x)};
    run(be, n, add_piece, &job);
}

static void scale_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    hand->half->widen(hand->room, job->x + at, n);
    hand->kernels->scale(hand->room, job->value, n);
    hand->half->narrow(job->out + at, hand->room, n);
}

static void scale_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, scale_stretch);
}

static void scale_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float factor, size_t n)
{
    job_t job = {.out = llm_half_write(y), .x = llm_half_read(x), .value = factor};
    run(be, n, scale_piece, &job);
}

static void widen_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    if (!job->flag) {
        hand->half->widen(job->wide_out + at, job->x + at, n);
        return;
    }
    hand->half->widen(hand->room, job->x + at, n);
    hand->kernels->add(job->wide_out + at, hand->room, n);
}

static void widen_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, widen_stretch);
}

static void widen(llm_backend_t *be, float *to, const llm_act_t *x, size_t n, bool add)
{
    job_t job = {.wide_out = to, .x = llm_half_read(x), .flag = add};
    run(be, n, widen_piece, &job);
}

static void narrow_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    hand->half->narrow(job->out + first, job->wide + first, count);
}

static void narrow(llm_backend_t *be, llm_act_t *to, const float *x, size_t n, bool add)
{
    job_t job = {.out = llm_half_write(to), .wide = x};
    run(be, n, add ? add_piece : narrow_piece, &job);
}

static void activation_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    hand->half->widen(hand->room, job->x + at, n);
    hand->kernels->activation(hand->room, hand->room, n, job->kind);
    hand->half->narrow(job->out + at, hand->room, n);
}

static void activation_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, activation_stretch);
}

static void activation_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                               llm_activation_t kind)
{
    job_t job = {.out = llm_half_write(out), .x = llm_half_read(x), .kind = kind};
    run(be, n, activation_piece, &job);
}

static void activation_dx_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at,
                                  size_t n)
{
    float *dout = hand->room, *x = dout + STRETCH;
    hand->half->widen(dout, job->y + at, n);
    hand->half->widen(x, job->x + at, n);
    hand->kernels->activation_dx(dout, dout, x, n, job->kind);
    hand->half->narrow(job->out + at, dout, n);
}

static void activation_dx_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, activation_dx_stretch);
}

static void activation_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                                const llm_act_t *x, size_t n, llm_activation_t kind)
{
    job_t job = {.out = llm_half_write(dx), .y = llm_half_read(dout), .x = llm_half_read(x)};
    job.kind = kind;
    run(be, n, activation_dx_piece, &job);
}

static void glu_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    float *gate = hand->room, *up = gate + STRETCH;
    hand->half->widen(gate, job->x + at, n);
    hand->half->widen(up, job->y + at, n);
    hand->kernels->glu(gate, gate, up, n, job->kind);
    hand->half->narrow(job->out + at, gate, n);
}

static void glu_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, glu_stretch);
}

static void glu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                        const llm_act_t *up, size_t n, llm_activation_t kind)
{
    job_t job = {.out = llm_half_write(out), .x = llm_half_read(gate), .y = llm_half_read(up)};
    job.kind = kind;
    run(be, n, glu_piece, &job);
}

static void glu_dx_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    float *dout = hand->room, *gate = dout + STRETCH, *up = gate + STRETCH;
    hand->half->widen(dout, job->z + at, n);
    hand->half->widen(gate, job->x + at, n);
    hand->half->widen(up, job->y + at, n);
    llm_cpu_glu_t from = {dout, gate, up};
    hand->kernels->glu_dx(gate, up, &from, n, job->kind);
    hand->half->narrow(job->out + at, gate, n);
    hand->half->narrow(job->second + at, up, n);
}

static void glu_dx_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, glu_dx_stretch);
}

static void glu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup, const llm_act_t *dout,
                         const llm_act_t *gate, const llm_act_t *up, size_t n,
                         llm_activation_t kind)
{
    job_t job = {.out = llm_half_write(dgate), .second = llm_half_write(dup)};
    job.z = llm_half_read(dout);
    job.x = llm_half_read(gate);
    job.y = llm_half_read(up);
    job.kind = kind;
    run(be, n, glu_dx_piece, &job);
}

static void softcap_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    hand->half->widen(hand->room, job->x + at, n);
    hand->kernels->softcap(hand->room, hand->room, job->value, n);
    hand->half->narrow(job->out + at, hand->room, n);
}

static void softcap_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, softcap_stretch);
}

static void softcap_forward(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float cap,
                            size_t n)
{
    job_t job = {.out = llm_half_write(y), .x = llm_half_read(x), .value = cap};
    run(be, n, softcap_piece, &job);
}

static void softcap_dx_stretch(const llm_half_hand_t *hand, const job_t *job, size_t at, size_t n)
{
    float *dx = hand->room, *y = dx + STRETCH;
    hand->half->widen(dx, job->out + at, n);
    hand->half->widen(y, job->x + at, n);
    hand->kernels->softcap_dx(dx, y, job->value, n);
    hand->half->narrow(job->out + at, dx, n);
}

static void softcap_dx_piece(const llm_half_hand_t *hand, void *job, size_t first, size_t count)
{
    in_stretches(hand, job, first, count, softcap_dx_stretch);
}

static void softcap_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *y, float cap,
                             size_t n)
{
    job_t job = {.out = llm_half_write(dx), .x = llm_half_read(y), .value = cap};
    run(be, n, softcap_dx_piece, &job);
}

void llm_cpu_half_elements(llm_ops_t *ops)
{
    ops->add_act = add_act;
    ops->scale_act = scale_act;
    ops->widen = widen;
    ops->narrow = narrow;
    ops->activation_forward = activation_forward;
    ops->activation_backward = activation_backward;
    ops->glu_forward = glu_forward;
    ops->glu_backward = glu_backward;
    ops->softcap_forward = softcap_forward;
    ops->softcap_backward = softcap_backward;
}
