/*
 * bench_team.c - what it costs that workers of the CPU share a batch: steps of one
 * backend with all threads and of a team with the same threads dealt out take
 * turns, LoRA r = 8 and AdamW, every token supervised.
 *
 * Usage: bench_team [--shape NAME | --model DIR] [--weights FORM] [--half]
 *        [--threads N] [--layers N] [--workers N] [--steps N] [--sequences B]
 *        [--tokens T]
 * tokens being those of one sequence.  Prints processor and wall seconds a step, the
 * best of all steps, and the ratio.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "llm/train/update.h"
#include "tests/bench/peak.h"
#include "tests/bench/shapes.h"
#include "tests/bench/subject.h"

typedef struct {
    subject_options_t subject;
    int workers, steps, sequences, tokens;
} options_t;

/* One of the two that take turns. */
typedef struct {
    llm_backend_t *backends[LLM_TEAM_MAX];
    size_t size;
    llm_team_t *team;
    llm_update_t update;
    double processor, wall; /* seconds of the best step */
    double loss;
} side_t;

static void check(int rc, const char *what, const fmq_error_t *err)
{
    if (rc < 0)
        subject_die(what, err);
}

static void open_side(side_t *self, const subject_t *subject, const llm_adapter_t *adapter,
                      const options_t *options)
{
    static const llm_optimizer_t adam = {
        .kind = LLM_ADAMW, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    fmq_error_t err;
    int each = options->subject.threads / (int)self->size;
    for (size_t i = 0; i < self->size; i++) {
        self->backends[i] = llm_backend_open(options->subject.half ? "cpu:bf16" : "cpu",
                                             each > 0 ? (unsigned)each : 1, &err);
        if (!self->backends[i])
            subject_die("backend", &err);
    }
    llm_stack_t stack = {.model = subject->model, .adapter = adapter};
    llm_limits_t limits = {.tokens_max = (size_t)options->sequences * (size_t)options->tokens,
                           .training = true,
                           .recompute = LLM_RECOMPUTE_NONE};
    llm_team_plan_t plan = {
        .backends = self->backends, .size = self->size, .longest = (size_t)options->tokens};
    self->team = llm_team_new(&plan, &stack, &limits, &err);
    if (!self->team)
        subject_die("team", &err);
    llm_workspace_t *lead = llm_team_lead(self->team);
    float *vector = malloc((size_t)llm_workspace_elements(lead) * sizeof *vector);
    if (!vector)
        exit(1);
    check(llm_adapter_init(adapter, subject->model, 1, vector, &err), "adapter", &err);
    check(llm_workspace_set_params(lead, vector, &err), "adapter", &err);
    free(vector);
    check(llm_update_init(&self->update, lead, self->team, &adam, &err), "optimizer", &err);
    check(llm_update_begin(&self->update, &err), "optimizer", &err);
}

static void close_side(side_t *self)
{
    llm_update_release(&self->update);
    llm_team_destroy(&self->team);
    for (size_t i = 0; i < self->size; i++)
        llm_backend_destroy(&self->backends[i]);
}

static void step(side_t *self, const llm_batch_t *batch)
{
    fmq_error_t err;
    double loss = 0.0, squares, began = bench_now();
    clock_t used = clock();
    float scale = 1.0f / (float)batch->supervised;
    check(self->size > 1
              ? llm_team_train(self->team, batch, &(llm_train_pass_t){.scale = scale}, &loss, &err)
              : llm_workspace_train(llm_team_lead(self->team), batch, scale, NULL, &loss, &err),
          "step", &err);
    check(llm_update_gather(&self->update, &squares, &err), "step", &err);
    check(llm_update_step(&self->update, 1.0, &(llm_rates_t){1e-4, 0.9}, &err), "step", &err);
    double processor = (double)(clock() - used) / CLOCKS_PER_SEC, wall = bench_now() - began;
    if (self->processor == 0 || processor < self->processor)
        self->processor = processor;
    if (self->wall == 0 || wall < self->wall)
        self->wall = wall;
    self->loss = loss / (double)batch->supervised;
}

static void take_turns(side_t sides[2], const options_t *options, uint32_t vocab)
{
    subject_batch_t batch;
    subject_batch_init(&batch, (size_t)options->sequences, (size_t)options->tokens, vocab);
    for (int i = 0; i < options->steps; i++)
        for (size_t side = 0; side < 2; side++)
            step(&sides[side], &batch.batch);
    subject_batch_release(&batch);
}

static void parse(options_t *options, int argc, char **argv)
{
    bench_flag_t flags[SUBJECT_FLAGS + 4];
    subject_flags(&options->subject, flags);
    flags[SUBJECT_FLAGS] = bench_number("--workers", &options->workers, 1, LLM_TEAM_MAX);
    flags[SUBJECT_FLAGS + 1] = bench_number("--steps", &options->steps, 1, 1000);
    flags[SUBJECT_FLAGS + 2] = bench_number("--sequences", &options->sequences, 1, 1024);
    flags[SUBJECT_FLAGS + 3] = bench_number("--tokens", &options->tokens, 1, 8192);
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
}

int main(int argc, char **argv)
{
    options_t options = {.subject = {.shape = "gpt2", .threads = 2},
                         .workers = 2,
                         .steps = 5,
                         .sequences = 4,
                         .tokens = 128};
    fmq_error_t err;
    subject_t subject;
    parse(&options, argc, argv);
    subject_open(&subject, &options.subject);
    llm_adapter_spec_t spec = bench_lora(llm_model_shape(subject.model), 0);
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(subject.model), &spec, &err);
    if (!adapter)
        subject_die("adapter", &err);
    side_t sides[2] = {{.size = 1}, {.size = (size_t)options.workers}};
    for (size_t side = 0; side < 2; side++)
        open_side(&sides[side], &subject, adapter, &options);
    subject_print(&subject, &options.subject);
    take_turns(sides, &options, llm_model_shape(subject.model)->vocab);
    for (size_t side = 0; side < 2; side++)
        printf("%zu worker%s: %.3f processor seconds a step, %.3f s, loss %.6f\n", sides[side].size,
               sides[side].size == 1 ? "" : "s", sides[side].processor, sides[side].wall,
               sides[side].loss);
    printf("ratio: %.3f of the processor, %.3f of the time\n",
           sides[1].processor / sides[0].processor, sides[1].wall / sides[0].wall);
    for (size_t side = 0; side < 2; side++)
        close_side(&sides[side]);
    llm_adapter_destroy(&adapter);
    subject_close(&subject);
    return 0;
}
