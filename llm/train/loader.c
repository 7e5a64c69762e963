/*
 * loader.c - lays examples one behind the other and lists what is supervised.
 *
 * Position t of an example predicts its token t + 1, so the supervised rows
 * are those before each token of the answer; labels of the prompt do not exist
 * here, where FS-LLM has -100.
 */
#include "llm/train/loader.h"

#include <stdlib.h>
#include <string.h>

struct llm_loader {
    const llm_dataset_t *dataset; /* borrowed */
    uint32_t *order;              /* owned: example numbers */
    size_t size;                  /* examples */
    uint32_t batch_size;
    uint32_t *starts; /* owned, as the arrays below: room for the largest batch */
    int32_t *ids, *rows, *targets;
};

size_t llm_train_tokens_max(const llm_dataset_t *dataset, uint32_t batch_size)
{
    return llm_dataset_batch_max(dataset, batch_size);
}

void llm_loader_destroy(llm_loader_t **self_p)
{
    llm_loader_t *self = *self_p;
    if (!self)
        return;
    free(self->order);
    free(self->starts);
    free(self->ids);
    free(self->rows);
    free(self->targets);
    free(self);
    *self_p = NULL;
}

static int reserve(llm_loader_t *self, size_t tokens)
{
    size_t sequences = self->batch_size < self->size ? self->batch_size : self->size;
    self->order = malloc((self->size + 1) * sizeof *self->order);
    self->starts = malloc((sequences + 1) * sizeof *self->starts);
    self->ids = malloc((tokens + 1) * sizeof *self->ids);
    self->rows = malloc((tokens + 1) * sizeof *self->rows);
    self->targets = malloc((tokens + 1) * sizeof *self->targets);
    return self->order && self->starts && self->ids && self->rows && self->targets ? 0 : -1;
}

llm_loader_t *llm_loader_new(const llm_dataset_t *dataset, uint32_t batch_size, fmq_error_t *err)
{
    size_t size = llm_dataset_size(dataset);
    size_t tokens = llm_dataset_batch_max(dataset, batch_size);
    if (batch_size == 0) {
        fmq_error_set(err, FMQ_ERR_CONFIG, "dataloader.batch_size must be at least 1");
        return NULL;
    }
    if (size > UINT32_MAX - 1 || tokens > INT32_MAX - 1) {
        fmq_error_set(err, FMQ_ERR_LIMIT,
                      "%zu examples with up to %zu tokens a batch are too many; lower "
                      "dataloader.batch_size",
                      size, tokens);
        return NULL;
    }
    llm_loader_t *self = calloc(1, sizeof *self);
    if (self) {
        self->dataset = dataset;
        self->size = size;
        self->batch_size = batch_size;
    }
    if (!self || reserve(self, tokens) < 0) {
        llm_loader_destroy(&self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "cannot load batches of %zu tokens: out of memory",
                      tokens);
        return NULL;
    }
    llm_loader_arrange(self, NULL);
    return self;
}

void llm_loader_arrange(llm_loader_t *self, const fmq_rng_name_t *name)
{
    for (size_t i = 0; i < self->size; i++)
        self->order[i] = (uint32_t)i;
    if (!name)
        return;
    fmq_rng_t rng;
    fmq_rng_init(&rng, name);
    fmq_rng_shuffle(&rng, self->order, self->size);
}

/* Lays one example behind the others. */
static void append(llm_loader_t *self, llm_batch_t *batch, const llm_example_t *example)
{
    uint32_t begin = self->starts[batch->sequences];
    memcpy(self->ids + begin, example->ids, example->size * sizeof *self->ids);
    uint32_t first = example->prompt > 0 ? example->prompt : 1;
    for (uint32_t t = first; t < example->size; t++) {
        self->rows[batch->supervised] = (int32_t)(begin + t - 1);
        self->targets[batch->supervised] = example->ids[t];
        batch->supervised++;
    }
    batch->sequences++;
    self->starts[batch->sequences] = begin + example->size;
}

size_t llm_loader_pack(llm_loader_t *self, size_t index, llm_batch_t *batch)
{
    *batch = (llm_batch_t){
        .starts = self->starts, .ids = self->ids, .rows = self->rows, .targets = self->targets};
    self->starts[0] = 0;
    if (index >= self->size / self->batch_size + 1)
        return 0;
    size_t begin = index * self->batch_size;
    for (size_t i = begin; i < self->size && i - begin < self->batch_size; i++) {
        llm_example_t example = llm_dataset_at(self->dataset, self->order[i]);
        append(self, batch, &example);
    }
    return batch->sequences;
}

const uint32_t *llm_loader_examples(const llm_loader_t *self, size_t index)
{
    size_t begin =
        index < self->size / self->batch_size + 1 ? index * self->batch_size : self->size;
    return self->order + begin;
}
