/*
 * adafactor.c - Adafactor (Shazeer and Stern 2018), as torch.optim.Adafactor and as
 * transformers' class compute it.
 *
 * Second moments of a matrix are kept as the means of its rows and of its columns, R and
 * C: v = R C / mean(R).  An update g / sqrt(v) is shortened to a root mean square of at
 * most `clip`, and has a rate that goes with the tensor's own root mean square.  The two
 * differ in the rate, and in what keeps v off zero: torch bounds sqrt(v) from below, the
 * other adds eps to squares.
 */
#include <math.h>

#include "base/real.h"
#include "llm/train/optimizer.h"

typedef struct {
    double share;    /* of a new square in the means */
    double rate;     /* before the tensor's own factor */
    double decay;    /* of the rate, or NAN: of what the tensor makes of it */
    double momentum; /* 0: none */
} step_t;

static double root_mean(double squares, size_t count)
{
    return sqrt(squares / (double)count);
}

static step_t step_of(const llm_optimizer_state_t *self, const llm_rates_t *rates)
{
    const llm_optimizer_t *how = self->how;
    double t = (double)self->steps, falling = 1 / sqrt(t);
    step_t step = {.share = fmq_pow(t, how->beta2_decay), .rate = rates->lr};
    if (how->kind == LLM_ADAFACTOR) {
        step.rate = fmin(rates->lr, falling);
        step.decay = rates->lr * how->weight_decay;
        return step;
    }
    if (how->relative_step)
        step.rate = fmin(how->warmup_init ? 1e-6 * t : 1e-2, falling);
    step.momentum = rates->momentum;
    return step;
}

/* The update without its rate, in scratch, and what it is multiplied by to be no longer
 * than it may. */
static double make_update(llm_optimizer_state_t *self, const llm_moments_piece_t *piece,
                          const float *grads, const step_t *step)
{
    llm_backend_t *be = self->be;
    const llm_optimizer_t *how = self->how;
    bool torch = how->kind == LLM_ADAFACTOR;
    float *rows = (float *)self->moments.arrays[0].memory + piece->offset;
    float *columns = piece->columns ? rows + piece->rows : NULL;
    size_t N = piece->columns ? piece->columns : 1;
    const llm_square_means_t means = {.keep = (float)(1 - step->share),
                                      .share = (float)step->share,
                                      .eps = torch ? 0 : (float)how->eps};
    be->ops->square_means(be, rows, columns, grads, piece->rows, N, &means);
    double mean = columns ? be->ops->sum(be, rows, piece->rows) / (double)piece->rows : 1;
    const llm_factored_t factored = {.mean = (float)(torch ? fmax(mean, how->eps) : mean),
                                     .least = torch ? (float)how->eps : 0};
    be->ops->factored_step(be, self->scratch, rows, columns, grads, piece->rows, N, &factored);
    double length = root_mean(be->ops->sum_squares(be, self->scratch, piece->count), piece->count);
    return 1 / fmax(1, length / how->clip);
}

static void step_piece(llm_optimizer_state_t *self, const llm_moments_piece_t *piece, float *params,
                       const float *grads, const step_t *step)
{
    llm_backend_t *be = self->be;
    const llm_optimizer_t *how = self->how;
    double rate = step->rate, decay = step->decay;
    if (how->kind == LLM_ADAFACTOR || how->scale_parameter)
        rate *= fmax(how->eps2,
                     root_mean(be->ops->sum_squares(be, params, piece->count), piece->count));
    if (how->kind == LLM_ADAFACTOR_HF)
        decay = rate * how->weight_decay;
    rate *= make_update(self, piece, grads, step);
    if (decay != 0)
        be->ops->scale(be, params, (float)(1 - decay), piece->count);
    llm_sgd_t move = {.lr = (float)rate};
    float *momentum = self->moments.arrays[1].memory;
    if (momentum) { /* of updates, with their rates */
        be->ops->scale(be, self->scratch, (float)rate, piece->count);
        move = (llm_sgd_t){.lr = 1, .momentum = (float)step->momentum};
        move.dampening = move.momentum;
        momentum += piece->at;
    }
    be->ops->sgd_step(be, params, momentum, self->scratch, piece->count, &move);
}

void llm_optimizer_adafactor(llm_optimizer_state_t *self, float *params, const float *grads,
                             const llm_rates_t *rates)
{
    step_t step = step_of(self, rates);
    for (size_t p = 0; p < self->moments.pieces_size; p++) {
        const llm_moments_piece_t *piece = &self->moments.pieces[p];
        step_piece(self, piece, params + piece->at, grads + piece->at, &step);
    }
}
