/*
 * encoder.c - which tensors virtual tokens have, where they lie, and their first
 * values.  Computes no rows.
 */
#include "llm/adapter/encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/tokenizer.h"

#define GATES 4

/* Tensors on their way into the schema. */
typedef struct {
    fmq_schema_t *schema;
    fmq_error_t *err;
    int rc;
} adding_t;

/* Where the tensor lies; columns 0: a vector of so many rows. */
static uint64_t add(adding_t *self, const char *name, size_t rows, size_t columns)
{
    char full[FMQ_SCHEMA_NAME_MAX];
    const uint64_t shape[] = {rows, columns};
    uint64_t at = fmq_schema_elements(self->schema);
    (void)snprintf(full, sizeof full, "prompt_encoder.%s", name);
    if (self->rc == 0)
        self->rc = fmq_schema_add(self->schema, full, columns ? 2 : 1, shape, self->err);
    return at;
}

static void add_dense(adding_t *adding, llm_encoder_layout_t *self, const char *chain, size_t out,
                      size_t in)
{
    /* Modules of a torch.nn.Sequential, every second of which is an activation. */
    char name[64];
    uint32_t index = self->dense_size++;
    llm_encoder_dense_t *dense = &self->dense[index];
    *dense = (llm_encoder_dense_t){.out = out, .in = in};
    (void)snprintf(name, sizeof name, "%s.%u.weight", chain, 2 * index);
    dense->weight = add(adding, name, out, in);
    (void)snprintf(name, sizeof name, "%s.%u.bias", chain, 2 * index);
    dense->bias = add(adding, name, out, 0);
}

static void add_cell(adding_t *adding, llm_encoder_layout_t *self, uint32_t layer, int direction)
{
    llm_encoder_cell_t *cell = &self->cells[layer][direction];
    size_t gates = GATES * self->hidden;
    uint64_t *const at[] = {&cell->weight_ih, &cell->weight_hh, &cell->bias_ih, &cell->bias_hh};
    static const char *const names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    cell->in = layer ? LLM_ENCODER_DIRECTIONS * self->hidden : self->embedded;
    const size_t columns[] = {cell->in, self->hidden, 0, 0};
    for (int i = 0; i < 4; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "lstm_head.%s_l%u%s", names[i], layer,
                       direction ? "_reverse" : "");
        *at[i] = add(adding, name, gates, columns[i]);
    }
}

size_t llm_virtual_pair_width(const llm_shape_t *shape)
{
    return 2 * (size_t)shape->kv_heads * shape->head_width;
}

size_t llm_virtual_token_dim(const llm_adapter_spec_t *spec, const llm_shape_t *shape)
{
    return spec->kind == LLM_ADAPTER_PREFIX ? llm_virtual_pair_width(shape) / 2 : shape->width;
}

static void add_prompt_encoder(adding_t *adding, llm_encoder_layout_t *self)
{
    size_t C = self->embedded, H = self->hidden;
    if (self->spec.encoder == LLM_ENCODER_MLP) {
        add_dense(adding, self, "mlp_head", H, C);
        add_dense(adding, self, "mlp_head", H, H);
        add_dense(adding, self, "mlp_head", C, H);
        return;
    }
    self->lstm_layers = self->spec.layers;
    for (uint32_t layer = 0; layer < self->lstm_layers; layer++)
        for (int direction = 0; direction < LLM_ENCODER_DIRECTIONS; direction++)
            add_cell(adding, self, layer, direction);
    add_dense(adding, self, "mlp_head", 2 * H, 2 * H);
    add_dense(adding, self, "mlp_head", C, 2 * H);
}

static int check_room(const llm_virtual_spec_t *spec, const llm_shape_t *shape, fmq_error_t *err)
{
    if (spec->count < llm_shape_reach(shape))
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "num_virtual_tokens is %u, which leaves no room for a text: the model "
                         "takes %u tokens, virtual ones among them",
                         spec->count, llm_shape_reach(shape));
}

int llm_encoder_lay_out(llm_encoder_layout_t *self, const llm_adapter_spec_t *spec,
                        const llm_shape_t *shape, fmq_schema_t *schema, fmq_error_t *err)
{
    const llm_virtual_spec_t *tokens = &spec->virtual_tokens;
    if (check_room(tokens, shape, err) < 0)
        return -1;
    adding_t adding = {.schema = schema, .err = err};
    bool prefix = spec->kind == LLM_ADAPTER_PREFIX;
    size_t dim = llm_virtual_token_dim(spec, shape);
    size_t width = prefix ? shape->layers * llm_virtual_pair_width(shape) : dim;
    *self = (llm_encoder_layout_t){.spec = *tokens,
                                   .prefix = prefix,
                                   .count = tokens->count,
                                   .embedded = tokens->encoder ? dim : width,
                                   .width = width,
                                   .hidden = tokens->hidden ? tokens->hidden : dim,
                                   .tanh = prefix};
    self->embedding = add(&adding, "embedding.weight", self->count, self->embedded);
    if (prefix && tokens->encoder) {
        add_dense(&adding, self, "transform", self->hidden, dim);
        add_dense(&adding, self, "transform", width, self->hidden);
    } else if (tokens->encoder) {
        add_prompt_encoder(&adding, self);
    }
    return adding.rc;
}

static void rng_of(fmq_rng_t *rng, uint64_t seed, size_t tensor)
{
    fmq_rng_name_t name = {.seed = seed, .purpose = FMQ_RNG_ADAPTER_INIT, .step = (uint32_t)tensor};
    fmq_rng_init(rng, &name);
}

static void draw_uniform(fmq_rng_t *rng, double bound, float *out, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        out[i] = (float)((2.0 * fmq_rng_uniform(rng) - 1.0) * bound);
}

/* The number of inputs that torch's bound for a tensor goes by: of a dense module
 * its inputs, also for its bias; in an LSTM the width of a state everywhere. */
static size_t fan_in(const llm_encoder_layout_t *self, uint64_t offset)
{
    for (uint32_t i = 0; i < self->dense_size; i++)
        if (self->dense[i].weight == offset || self->dense[i].bias == offset)
            return self->dense[i].in;
    return self->hidden;
}

static bool begins_as_zero(const llm_encoder_layout_t *self, uint64_t offset)
{
    if (self->spec.init != LLM_VIRTUAL_ZERO)
        return false;
    const llm_encoder_dense_t *last = self->dense_size ? &self->dense[self->dense_size - 1] : NULL;
    return last ? offset == last->weight || offset == last->bias : offset == self->embedding;
}

/* One row of the model's embedding for each of count ids. */
static int copy_embeddings(const llm_encoder_layout_t *self, const llm_model_t *model,
                           const int32_t *ids, float *out, fmq_error_t *err)
{
    const llm_shape_t *shape = llm_model_shape(model);
    char name[FMQ_SCHEMA_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s.weight", shape->arch->token_embedding);
    float *table = malloc((size_t)shape->vocab * shape->width * sizeof *table);
    if (!table)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the model's embeddings");
    int rc = llm_model_read(model, name, table, err);
    for (size_t row = 0; row < self->count && rc == 0; row++)
        memcpy(out + row * shape->width, table + (size_t)ids[row] * shape->width,
               shape->width * sizeof *table);
    free(table);
    return rc;
}

/* The text's ids, as many as there are rows: over and over, or cut. */
static int repeat_ids(const llm_encoder_layout_t *self, const llm_ids_t *ids, uint32_t vocab,
                      int32_t *out, fmq_error_t *err)
{
    if (ids->size == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "prompt_tuning_init_text '%.40s' makes no token with the tokenizer "
                             "of '%.120s'",
                             self->spec.text, self->spec.tokenizer);
    for (size_t row = 0; row < self->count; row++) {
        out[row] = ids->ids[row % ids->size];
        if ((uint32_t)out[row] >= vocab)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "prompt_tuning_init_text has token %d with the tokenizer of "
                                 "'%.120s', but the model knows tokens 0 to %u only; give the "
                                 "model's own as tokenizer_name_or_path",
                                 out[row], self->spec.tokenizer, vocab - 1);
    }
    return 0;
}

static int text_ids(const llm_encoder_layout_t *self, uint32_t vocab, int32_t *out,
                    fmq_error_t *err)
{
    llm_ids_t ids = {0};
    llm_tokenizer_t *tokenizer = NULL;
    char *directory = llm_hub_resolve(self->spec.tokenizer, self->spec.cache, err);
    int rc = -1;
    if (directory)
        tokenizer = llm_tokenizer_open(directory, err);
    if (tokenizer)
        rc = llm_tokenizer_encode(tokenizer, self->spec.text, strlen(self->spec.text), true, &ids,
                                  err);
    if (rc == 0)
        rc = repeat_ids(self, &ids, vocab, out, err);
    else
        fmq_error_prefix(err, "tokenizer_name_or_path");
    llm_tokenizer_destroy(&tokenizer);
    llm_ids_release(&ids);
    free(directory);
    return rc;
}

static int draw_embeddings(const llm_encoder_layout_t *self, const llm_model_t *model,
                           fmq_rng_t *rng, float *out, fmq_error_t *err)
{
    uint32_t vocab = llm_model_shape(model)->vocab;
    int32_t *ids = calloc(self->count, sizeof *ids);
    if (!ids)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for virtual tokens");
    int rc = 0;
    if (self->spec.init == LLM_VIRTUAL_TEXT)
        rc = text_ids(self, vocab, ids, err);
    for (size_t i = 0; i < self->count && self->spec.init == LLM_VIRTUAL_VOCABULARY; i++)
        ids[i] = (int32_t)fmq_rng_below(rng, vocab);
    if (rc == 0)
        rc = copy_embeddings(self, model, ids, out, err);
    free(ids);
    return rc;
}

int llm_encoder_draw(const llm_encoder_layout_t *self, const fmq_schema_t *schema,
                     const llm_model_t *model, uint64_t seed, float *vector, fmq_error_t *err)
{
    bool embeddings =
        self->spec.init == LLM_VIRTUAL_TEXT || self->spec.init == LLM_VIRTUAL_VOCABULARY;
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        float *out = vector + tensor->offset;
        fmq_rng_t rng;
        if (strncmp(tensor->name, "prompt_encoder.", 15) != 0)
            continue;
        rng_of(&rng, seed, i);
        if (begins_as_zero(self, tensor->offset)) {
            memset(out, 0, (size_t)tensor->count * sizeof *out);
        } else if (tensor->offset != self->embedding) {
            double inputs = (double)fan_in(self, tensor->offset);
            draw_uniform(&rng, 1.0 / sqrt(inputs), out, tensor->count);
        } else if (embeddings) {
            if (draw_embeddings(self, model, &rng, out, err) < 0)
                return -1;
        } else {
            for (uint64_t k = 0; k < tensor->count; k++)
                out[k] = (float)fmq_rng_normal(&rng);
        }
    }
    return 0;
}
