/*
 * golden_steps.c - see golden_steps.h.
 */
#include "tests/llm/train/golden_steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "llm/train/optimizer.h"

#define MODELS FEDMQ_SOURCE_DIR "/tests/llm/pass/goldens"
#define STEPS  50
#define APART  1e-4 /* of a loss, as a share of PyTorch's */
#define NEW    6
#define HALF   64 /* tokens of half a batch, at most */

void golden_open_over(golden_t *self, const char *root, const char *name, const char *base,
                      const llm_adapter_spec_t *spec, llm_backend_t *be)
{
    char path[1024];
    golden_begin(self, root, name);
    (void)snprintf(path, sizeof path, "%s/%s", MODELS, base);
    golden_open_model(self, path, spec, be);
}

/* The first and the third sequence of the batch. */
typedef struct {
    uint32_t starts[3];
    int32_t ids[HALF], rows[HALF], targets[HALF];
    llm_batch_t batch;
} half_t;

static void take_half(half_t *self, const golden_t *golden)
{
    assert_true(golden->tokens <= HALF);
    self->batch = (llm_batch_t){.sequences = 2,
                                .starts = self->starts,
                                .ids = self->ids,
                                .rows = self->rows,
                                .targets = self->targets};
    self->starts[0] = 0;
    for (size_t i = 0; i < 2; i++) {
        uint32_t from = golden->starts[2 * i], to = golden->starts[2 * i + 1];
        uint32_t at = self->starts[i];
        memcpy(self->ids + at, golden->ids + from, (to - from) * sizeof *self->ids);
        for (size_t k = 0; k < golden->batch.supervised; k++) {
            uint32_t row = (uint32_t)golden->rows[k];
            if (row < from || row >= to)
                continue;
            self->rows[self->batch.supervised] = (int32_t)(row - from + at);
            self->targets[self->batch.supervised++] = golden->targets[k];
        }
        self->starts[i + 1] = at + to - from;
    }
}

void golden_check_steps(golden_t *self, double lr, double least)
{
    fmq_error_t err;
    half_t half = {0};
    take_half(&half, self);
    tiny_t *tiny = &self->tiny;
    llm_backend_t *be = tiny->be;
    const llm_optimizer_t how = {
        .kind = LLM_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    const llm_rates_t rates = {.lr = lr, .momentum = 0.9};
    llm_optimizer_state_t optimizer;
    const size_t range[2] = {0, tiny->elements};
    golden_check(llm_optimizer_init(&optimizer, &how, be, NULL, range, &err) == 0, &err);
    float *losses = golden_read(self, "losses", NULL), *grads = llm_workspace_grads(tiny->ws);
    for (int step = 0; step < STEPS; step++) {
        const llm_batch_t *batch = step % 2 ? &half.batch : &self->batch;
        double loss = 0.0, count = (double)batch->supervised;
        be->ops->zero(be, grads, tiny->elements * sizeof *grads);
        golden_check(
            llm_workspace_train(tiny->ws, batch, (float)(1.0 / count), NULL, &loss, &err) == 0,
            &err);
        double apart = fabs(loss / count - (double)losses[step]);
        if (!(apart <= APART * fmax((double)losses[step], least)))
            fail_msg("%s: loss %.7g in step %d, PyTorch's is %.7g", self->directory, loss / count,
                     step, (double)losses[step]);
        llm_optimizer_step(&optimizer, llm_workspace_params(tiny->ws), grads, &rates);
    }
    llm_optimizer_release(&optimizer);
    free(losses);
}

void golden_check_greedy(golden_t *self, size_t spare)
{
    fmq_error_t err;
    llm_ids_t answer = {0};
    tiny_t *tiny = &self->tiny;
    size_t prompt = self->starts[1];
    llm_generator_t *generator =
        llm_generator_new(tiny->model, tiny->adapter, prompt + NEW + spare, tiny->be, &err);
    golden_check(generator, &err);
    golden_check(llm_generator_set_params(generator, tiny->vector, &err) == 0, &err);
    const llm_sampling_t how = {.new_tokens_max = NEW, .top_p = 1};
    float *theirs = golden_read(self, "greedy", NULL);
    for (int turn = 0; turn < 2; turn++) { /* the second finds the first's cache */
        answer.size = 0;
        golden_check(llm_generator_run(generator, self->ids, prompt, &how, &answer, &err) == 0,
                     &err);
        assert_int_equal(answer.size, NEW);
        for (size_t i = 0; i < NEW; i++)
            assert_int_equal(answer.ids[i], (int32_t)theirs[i]);
    }
    free(theirs);
    llm_ids_release(&answer);
    llm_generator_destroy(&generator);
}

void golden_check_recompute(golden_t *self, llm_recompute_t recompute)
{
    fmq_error_t err;
    double loss[2] = {0.0, 0.0};
    tiny_t *tiny = &self->tiny;
    llm_limits_t limits = {.tokens_max = self->tokens, .training = true, .recompute = recompute};
    llm_workspace_t *again = llm_workspace_new(tiny->model, tiny->adapter, &limits, tiny->be, &err);
    golden_check(again, &err);
    golden_check(llm_workspace_set_params(again, tiny->vector, &err) == 0, &err);
    golden_check(llm_workspace_train(tiny->ws, &self->batch, 1, NULL, &loss[0], &err) == 0, &err);
    golden_check(llm_workspace_train(again, &self->batch, 1, NULL, &loss[1], &err) == 0, &err);
    assert_true(loss[0] == loss[1]);
    assert_memory_equal(llm_workspace_grads(tiny->ws), llm_workspace_grads(again),
                        tiny->elements * sizeof(float));
    llm_workspace_destroy(&again);
}
