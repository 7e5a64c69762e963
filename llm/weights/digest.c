/*
 * digest.c - what tells one model from another: its shape and its tensors,
 * under their names, in the bytes of the files.  Where a part came from, and
 * whether it is lent, does not enter.
 */
#include <string.h>

#include "base/pages.h"
#include "llm/weights/source.h"

#define BLOCK ((uint64_t)4 << 20) /* bytes read between giving memory back */

static void digest_number(fmq_digest_state_t *state, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    fmq_digest_add(state, bytes, sizeof bytes);
}

static void digest_text(fmq_digest_state_t *state, const char *text)
{
    fmq_digest_add(state, text, strlen(text) + 1);
}

/* Floats of the configuration enter by their bits. */
static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void digest_real(fmq_digest_state_t *state, float value)
{
    digest_number(state, bits_of(value));
}

/* What could not be said of the first families.  It is told twice: to see whether there
 * is anything, and to be digested where there is. */
typedef struct {
    fmq_digest_state_t *state; /* NULL: only looked at */
    bool some;
} news_t;

/* A number, and what it is where nothing is said of it. */
static void tell(news_t *self, uint64_t number, uint64_t unsaid)
{
    self->some = self->some || number != unsaid;
    if (self->state)
        digest_number(self->state, number);
}

static llm_activation_t unsaid_activation(const llm_shape_t *shape)
{
    if (shape->arch->gated)
        return LLM_ACTIVATION_SILU;
    return shape->activation == LLM_ACTIVATION_GELU ? LLM_ACTIVATION_GELU
                                                    : LLM_ACTIVATION_GELU_TANH;
}

/* Does any module of the set add a bias? */
static bool biased(const llm_shape_t *shape, uint32_t modules)
{
    return (shape->biases & modules) != 0;
}

static void tell_news(news_t *self, const llm_shape_t *shape)
{
    const float scales[] = {shape->embedding_scale, shape->residual_scale, shape->attention_scale,
                            shape->logit_scale};
    uint64_t row = (uint64_t)(shape->arch - llm_arch_find(shape->arch->model_type));
    tell(self, (uint64_t)shape->activation, (uint64_t)unsaid_activation(shape));
    tell(self, shape->biases,
         (biased(shape, LLM_ATTENTION_MODULES) ? LLM_ATTENTION_MODULES : 0) |
             (biased(shape, LLM_MLP_MODULES) ? LLM_MLP_MODULES : 0));
    tell(self, shape->rotary, 0);
    tell(self, row, shape->arch->switches[0].key ? ~row : row); /* always of several rows */
    for (uint32_t l = 0; l < shape->layers; l++)
        tell(self,
             (uint64_t)llm_layer_bit(&shape->unrotated, l) |
                 (uint64_t)llm_layer_bit(&shape->windowed, l) << 1,
             (uint64_t)(shape->window > 0) << 1);
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        tell(self, bits_of(scales[i]), 0);
}

/* Of the scalings that the first shapes did not have. */
static void digest_rope(fmq_digest_state_t *state, const llm_shape_t *shape)
{
    digest_number(state, (uint64_t)shape->rope_scaling << 1 | shape->rope_exact);
    digest_real(state, shape->rope_attention);
    for (size_t i = 0; i < LLM_ROPE_PAIRS_MAX; i++) {
        digest_real(state, shape->rope_short[i]);
        digest_real(state, shape->rope_long[i]);
    }
}

/* Runs on disk name their model by this, so what was digested of a shape once stays, down to
 * whether the activation is the exact GELU, and whether attention and MLP add biases.  What that
 * cannot say follows behind it, and only where there is something to say. */
static void digest_shape(fmq_digest_state_t *state, const llm_shape_t *shape)
{
    digest_text(state, shape->arch->model_type);
    const uint64_t numbers[] = {shape->layers,
                                shape->width,
                                shape->heads,
                                shape->kv_heads,
                                shape->head_width,
                                shape->ffn,
                                shape->vocab,
                                shape->context,
                                shape->activation == LLM_ACTIVATION_GELU,
                                biased(shape, LLM_ATTENTION_MODULES),
                                biased(shape, LLM_MLP_MODULES),
                                shape->tied,
                                shape->rope_original_context,
                                shape->window};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        digest_number(state, numbers[i]);
    const float reals[] = {shape->norm_eps, shape->rope_theta, shape->rope_factor, shape->rope_low,
                           shape->rope_high};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        digest_real(state, reals[i]);
    news_t news = {0};
    tell_news(&news, shape);
    news.state = state;
    if (news.some)
        tell_news(&news, shape);
    if (shape->rope_scaling >= LLM_ROPE_DYNAMIC)
        digest_rope(state, shape);
}

/* A block at a time, so that a whole table of tokens is never in memory. */
static void digest_stored(fmq_digest_state_t *state, const llm_stored_t *stored, bool mapped)
{
    digest_text(state, fmq_dtype_name(stored->dtype));
    digest_number(state, stored->bytes);
    for (uint64_t done = 0; done < stored->bytes; done += BLOCK) {
        size_t size = (size_t)(stored->bytes - done < BLOCK ? stored->bytes - done : BLOCK);
        const char *block = (const char *)stored->data + done;
        fmq_digest_add(state, block, size);
        if (mapped)
            fmq_pages_release(block, size);
    }
}

/* A tensor that cannot be read any more (out of memory) enters as its name
 * alone: such a digest equals no other end's, which is the safe answer. */
static void digest_tensor(const llm_model_t *self, size_t index, fmq_digest_state_t *state)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(&self->shape, &self->parameters.items[index], name);
    digest_text(state, name);
    llm_source_t source;
    if (llm_source_open(&source, self, index, NULL) < 0)
        return;
    digest_stored(state, &source.main, source.mapped);
    if (source.form != LLM_DENSE) {
        digest_text(state, source.form == LLM_QUANTIZED ? "quantized" : "sparse");
        digest_number(state, source.bits);
        digest_stored(state, &source.more, source.mapped);
    }
    llm_source_close(&source);
}

fmq_digest_t llm_model_digest(const llm_model_t *self)
{
    llm_model_digest_t *digest = self->digest;
    (void)pthread_mutex_lock(&digest->lock);
    if (!digest->known) {
        fmq_digest_state_t state;
        fmq_digest_begin(&state);
        digest_shape(&state, &self->shape);
        for (size_t i = 0; i < self->parameters.size; i++)
            digest_tensor(self, i, &state);
        digest->value = fmq_digest_end(&state);
        digest->known = true;
    }
    fmq_digest_t value = digest->value;
    (void)pthread_mutex_unlock(&digest->lock);
    return value;
}
