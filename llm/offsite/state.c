/*
 * state.c - the first values of E's own trainable vector.
 */
#include "fedmq/llm/offsite.h"

#include "fedmq/base/rng.h"

int llm_offsite_init_state(const llm_offsite_t *self, uint64_t seed, float *state, fmq_error_t *err)
{
    /* Adapters are drawn from (seed, tensor); E's must not repeat A's. */
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = seed, .purpose = FMQ_RNG_ALIGN, .round = UINT32_MAX, .step = 1};
    fmq_rng_init(&rng, &name);
    return llm_adapter_init(self->state, self->student, fmq_rng_u64(&rng), state, err);
}
