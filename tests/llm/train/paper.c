/*
 * paper.c - the functions of workspace.h that training uses, on paper.
 */
#include "tests/llm/train/paper.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/pass/parts.h"
#include "tests/llm/data/byte_tokenizer.h"

void paper_open(llm_workspace_t *self, const float start[PAPER_SIZE])
{
    *self = (llm_workspace_t){.be = llm_backend_reference_new(NULL)};
    assert_non_null(self->be);
    const llm_ops_t *ops = self->be->ops;
    size_t bytes = PAPER_SIZE * sizeof(float);
    self->params = ops->alloc(self->be, bytes);
    self->grads = ops->alloc(self->be, bytes);
    ops->upload(self->be, self->params, start, bytes);
}

void paper_close(llm_workspace_t *self)
{
    self->be->ops->release(self->be, self->params);
    self->be->ops->release(self->be, self->grads);
    llm_backend_destroy(&self->be);
}

llm_dataset_t *paper_dataset(size_t size, size_t letters)
{
    llm_records_t *records = llm_records_new();
    char answer[32] = "";
    assert_true(letters < sizeof answer);
    for (size_t i = 0; i < size; i++) {
        memset(answer, (int)('A' + i % 50), letters);
        assert_int_equal(
            llm_records_add(records, &(llm_record_t){.instruction = "i", .output = answer}, NULL),
            0);
    }
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new(records, NULL, &tokenizer, 1000, NULL);
    assert_non_null(dataset);
    llm_records_destroy(&records);
    return dataset;
}

/* The prefix of a token says which it is and where it stands. */
static float paper_stream(const llm_batch_t *batch, size_t s, uint32_t t, size_t c)
{
    return (float)batch->ids[t] + 1000.0f * (float)(t - batch->starts[s]) + 0.25f * (float)c;
}

static void check_prefix(llm_workspace_t *self, const llm_batch_t *batch)
{
    const float *prefix = batch->prefix;
    if (!prefix)
        return;
    self->prefixed++;
    for (size_t s = 0; s < batch->sequences; s++)
        for (uint32_t t = batch->starts[s]; t < batch->starts[s + 1]; t++)
            for (size_t c = 0; c < self->prefix_width; c++)
                if (prefix[t * self->prefix_width + c] != paper_stream(batch, s, t, c))
                    fail_msg("sequence %zu has another's prefix at row %u", s, (unsigned)t);
}

size_t llm_workspace_prefix_bytes(const llm_workspace_t *self)
{
    return self->prefix_width * sizeof(float);
}

int llm_workspace_prefix(llm_workspace_t *self, const llm_batch_t *batch, void *out,
                         fmq_error_t *err)
{
    float *stream = out;
    (void)err;
    assert_true(batch->sequences > 0);
    self->prefix_sequences += batch->sequences;
    self->prefix_tokens += batch->starts[batch->sequences];
    for (size_t s = 0; s < batch->sequences; s++)
        for (uint32_t t = batch->starts[s]; t < batch->starts[s + 1]; t++)
            for (size_t c = 0; c < self->prefix_width; c++)
                *stream++ = paper_stream(batch, s, t, c);
    return 0;
}

static paper_call_t *note_call(llm_workspace_t *self, const llm_batch_t *batch)
{
    assert_true(self->calls < PAPER_CALLS_MAX);
    check_prefix(self, batch);
    paper_call_t *call = &self->call[self->calls++];
    *call = (paper_call_t){.examples = batch->sequences,
                           .supervised = batch->supervised,
                           .tokens = batch->starts[batch->sequences],
                           .first_target = batch->targets[0]};
    double mean = 0;
    for (size_t i = 0; i < batch->supervised; i++)
        mean += batch->targets[i] / (double)batch->supervised;
    for (size_t j = 0; j < PAPER_SIZE; j++)
        call->center[j] = mean / (50.0 * (double)(j + 1)) - 1;
    return call;
}

static double mean_loss(const llm_workspace_t *self, const paper_call_t *call)
{
    double loss = 0;
    for (size_t j = 0; j < PAPER_SIZE; j++) {
        double away = (double)self->params[j] - call->center[j];
        loss += away * away / 2;
    }
    return loss;
}

static bool told(uint64_t bits, size_t call)
{
    return call < 64 && (bits >> call & 1);
}

int llm_workspace_train(llm_workspace_t *self, const llm_batch_t *batch, float scale,
                        const fmq_rng_name_t *dropout, double *loss_sum, fmq_error_t *err)
{
    (void)err;
    size_t number = self->calls;
    paper_call_t *call = note_call(self, batch);
    call->had_dropout = dropout != NULL;
    if (dropout)
        call->dropout = *dropout;
    if (self->nan_always || told(self->nan_losses, number)) {
        *loss_sum = (double)NAN;
        if (self->nan_spoils)
            self->grads[0] = NAN;
        return 0;
    }
    *loss_sum = (double)batch->supervised * mean_loss(self, call);
    for (size_t j = 0; j < PAPER_SIZE; j++) {
        double grad = (double)batch->supervised * ((double)self->params[j] - call->center[j]);
        self->grads[j] += told(self->nan_gradients, number) ? NAN : scale * (float)grad;
    }
    return 0;
}

int llm_workspace_loss(llm_workspace_t *self, const llm_batch_t *batch, double *loss_sum,
                       fmq_error_t *err)
{
    (void)err;
    size_t number = self->calls;
    const paper_call_t *call = note_call(self, batch);
    bool bad = self->nan_always || told(self->nan_losses, number);
    *loss_sum = bad ? (double)NAN : (double)batch->supervised * mean_loss(self, call);
    return 0;
}

llm_backend_t *llm_workspace_backend(const llm_workspace_t *self)
{
    return self->be;
}

/* Its vector belongs to no adapter. */
const llm_adapter_t *llm_workspace_adapter(const llm_workspace_t *self)
{
    (void)self;
    return NULL;
}

float *llm_workspace_params(llm_workspace_t *self)
{
    return self->params;
}

float *llm_workspace_grads(llm_workspace_t *self)
{
    return self->grads;
}

uint64_t llm_workspace_elements(const llm_workspace_t *self)
{
    return self->grads ? PAPER_SIZE : 0;
}

/* What only a team of real workspaces needs: there is none on paper. */
llm_workspace_t *llm_workspace_new_stack(const llm_stack_t *stack, const llm_limits_t *limits,
                                         llm_backend_t *be, fmq_error_t *err)
{
    (void)stack, (void)limits, (void)be;
    fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "no team works on paper");
    return NULL;
}

void llm_workspace_destroy(llm_workspace_t **self_p)
{
    *self_p = NULL;
}

void llm_workspace_strip(llm_workspace_t *self)
{
    (void)self;
}

bool llm_workspace_serves(const llm_workspace_t *self, const llm_stack_t *stack,
                          const llm_limits_t *limits)
{
    (void)self, (void)stack, (void)limits;
    return false;
}

int llm_workspace_set_fixed(llm_workspace_t *self, const float *host, fmq_error_t *err)
{
    (void)self, (void)host;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "nothing is fixed on paper");
}

int llm_workspace_train_when(llm_workspace_t *self, const llm_batch_t *batch,
                             const llm_train_pass_t *pass, double *loss_sum, fmq_error_t *err)
{
    return llm_workspace_train(self, batch, pass->scale, pass->dropout, loss_sum, err);
}

const float *llm_workspace_losses(const llm_workspace_t *self)
{
    (void)self;
    return NULL;
}
