/*
 * test_golden_align.c - every kind of alignment of a tiny LLaMA's emulator
 * against PyTorch: the loss, its parts, and the gradient of E's LoRA under a
 * trained A (scripts/goldens/make_offsite_goldens.py).  With dropout, which
 * PyTorch draws otherwise, gradients are compared with central differences.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/align_pass.h"
#include "tests/llm/offsite/tensors.h"

#define TOLERANCE 2e-5
#define IGNORED   (-100.0f)

typedef struct {
    const char *name;
    llm_align_options_t options;
} golden_case_t;

static const golden_case_t cases[] = {
    {"l2", {.sim_weight = 1.0}},
    {"cos", {.sim_weight = 1.0, .sim = LLM_SIM_COS}},
    {"l2_layerwise", {.sim_weight = 0.9, .layerwise = true}},
    {"cos_layerwise", {.sim_weight = 1.0, .sim = LLM_SIM_COS, .layerwise = true}},
    {"kl_raw", {.kl_weight = 1.0}},
    {"kl_logps", {.kl_weight = 1.0, .kl = LLM_KL_LOGPS}},
    {"kl_logps_released", {.kl_weight = 1.0, .kl = LLM_KL_LOGPS, .released = true}},
    {"lm", {.lm_weight = 1.0}},
    {"all_raw", {.sim_weight = 0.7, .kl_weight = 0.3, .lm_weight = 0.2}},
    {"all_logps",
     {.sim_weight = 0.7,
      .kl_weight = 0.3,
      .lm_weight = 0.2,
      .sim = LLM_SIM_COS,
      .layerwise = true,
      .kl = LLM_KL_LOGPS}},
};

typedef struct {
    llm_backend_t *be;
    llm_weights_t *file;
    llm_model_t *teacher;
    llm_emulator_t *emulator;
    float *adapter, *state; /* the vectors of A and E */
    float *ids, *labels, *lengths;
    uint32_t starts[8];
    int32_t tokens[64], rows[64], targets[64];
    uint32_t examples[8];
    llm_batch_t batch;
} room_t;

static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

/* A vector from tensors called prefix + their names in the adapter's schema. */
static float *read_vector(const room_t *room, const llm_adapter_t *adapter, const char *prefix)
{
    const fmq_schema_t *schema = llm_adapter_schema(adapter);
    float *vector = calloc(fmq_schema_elements(schema), sizeof *vector);
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        char name[2 * FMQ_SCHEMA_NAME_MAX];
        size_t count = 0;
        (void)snprintf(name, sizeof name, "%s%s", prefix, tensor->name);
        float *values = tensors_read(room->file, name, &count);
        assert_int_equal(count, tensor->count);
        memcpy(vector + tensor->offset, values, count * sizeof *values);
        free(values);
    }
    return vector;
}

static void read_batch(room_t *room)
{
    size_t sequences = 0, tokens = 0;
    room->ids = tensors_read(room->file, "ids", &tokens);
    room->labels = tensors_read(room->file, "labels", NULL);
    room->lengths = tensors_read(room->file, "lengths", &sequences);
    assert_true(sequences > 1 && sequences < 8 && tokens <= 64);
    room->batch = (llm_batch_t){.sequences = sequences,
                                .starts = room->starts,
                                .ids = room->tokens,
                                .rows = room->rows,
                                .targets = room->targets};
    for (size_t s = 0; s < sequences; s++)
        room->starts[s + 1] = room->starts[s] + (uint32_t)room->lengths[s];
    for (size_t t = 0; t < tokens; t++)
        room->tokens[t] = (int32_t)room->ids[t];
    for (size_t s = 0; s < sequences; s++) {
        for (uint32_t t = room->starts[s] + 1; t < room->starts[s + 1]; t++) {
            if (room->labels[t] == IGNORED)
                continue;
            room->rows[room->batch.supervised] = (int32_t)t - 1;
            room->targets[room->batch.supervised++] = room->tokens[t];
        }
    }
}

static int open_room(void **state, llm_backend_t *be, float dropout)
{
    room_t *room = calloc(1, sizeof *room);
    *state = room;
    room->be = be;
    assert_non_null(be);
    room->file = tensors_open("model/golden.safetensors");
    room->teacher = llm_model_open(GOLDENS "/model", be, &err);
    must(room->teacher != NULL);
    llm_emulator_spec_t spec = {.strategy = LLM_DROP_LAYER,
                                .emu_l = 1,
                                .emu_r = 5,
                                .drop_ratio = 0.5,
                                .adapter = {.kind = LLM_ADAPTER_LORA,
                                            .rank = 2,
                                            .alpha = 3.0f,
                                            .dropout = dropout,
                                            .targets = 7,
                                            .target = {"q_proj", "k_proj", "v_proj", "o_proj",
                                                       "gate_proj", "up_proj", "down_proj"}}};
    llm_emulator_building_t how = {.be = be};
    room->emulator = llm_emulator_new(room->teacher, &spec, &how, &err);
    must(room->emulator != NULL);
    const llm_offsite_t *offsite = llm_emulator_offsite(room->emulator);
    room->adapter = read_vector(room, offsite->adapter, "adapter.");
    room->state = read_vector(room, offsite->state, "state.");
    read_batch(room);
    return 0;
}

static int open_reference(void **state)
{
    return open_room(state, llm_backend_reference_new(NULL), 0.0f);
}

static int open_with_dropout(void **state)
{
    return open_room(state, llm_backend_reference_new(NULL), 0.25f);
}

static int open_cpu(void **state)
{
    return open_room(state, llm_backend_cpu_new(2, NULL), 0.0f);
}

static int close_room(void **state)
{
    room_t *room = *state;
    llm_emulator_destroy(&room->emulator);
    llm_model_destroy(&room->teacher);
    llm_weights_close(&room->file);
    llm_backend_destroy(&room->be);
    free(room->adapter);
    free(room->state);
    free(room->ids);
    free(room->labels);
    free(room->lengths);
    free(room);
    return 0;
}

static void assert_losses(const room_t *room, const char *name, const llm_align_losses_t *losses)
{
    static const char *const parts[] = {"loss", "similarity", "divergence", "language modelling"};
    const double ours[] = {losses->loss, losses->sim, losses->kl, losses->lm};
    char key[64];
    (void)snprintf(key, sizeof key, "%s.parts", name);
    float *theirs = tensors_read(room->file, key, NULL);
    for (size_t i = 0; i < 4; i++)
        if (!(fabs(ours[i] - (double)theirs[i]) <= TOLERANCE * fabs((double)theirs[i]) + 1e-7))
            fail_msg("%s: %s is %.9g, expected %.9g", name, parts[i], ours[i], (double)theirs[i]);
    free(theirs);
}

/* Relative to the largest gradient of all tensors: those of E's last layer are
 * exact zeros where nothing behind it is looked at. */
static void assert_gradients(const room_t *room, const char *name, llm_workspace_t *ws)
{
    const llm_adapter_t *adapter = llm_emulator_offsite(room->emulator)->state;
    size_t count = (size_t)llm_workspace_elements(ws);
    char prefix[64];
    (void)snprintf(prefix, sizeof prefix, "%s.grad.", name);
    float *theirs = read_vector(room, adapter, prefix), *ours = malloc(count * sizeof *ours);
    room->be->ops->download(room->be, ours, llm_workspace_grads(ws), count * sizeof *ours);
    tensors_compare(name, ours, theirs, count, TOLERANCE);
    free(theirs);
    free(ours);
}

static void check_case(const room_t *room, const golden_case_t *golden)
{
    llm_align_options_t options = golden->options;
    options.train.batch_size = (uint32_t)room->batch.sequences;
    llm_align_t align = {
        .offsite = llm_emulator_offsite(room->emulator), .options = &options, .be = room->be};
    llm_align_start_t start = {.adapter = room->adapter,
                               .state = room->state,
                               .tokens_max = room->starts[room->batch.sequences]};
    llm_align_step_t step = {.batch = &room->batch, .examples = room->examples};
    for (int training = 0; training < 2; training++) {
        llm_align_pass_t pass;
        llm_align_losses_t losses;
        start.training = training;
        must(llm_align_pass_init(&pass, &align, &start, &err) == 0);
        /* Two halves make a whole. */
        step.scale = training ? 0.5 : 0.0;
        for (int half = 0; half <= training; half++) {
            must(llm_align_pass_run(&pass, &step, &losses, &err) == 0);
            assert_losses(room, golden->name, &losses);
        }
        if (training)
            assert_gradients(room, golden->name, pass.student);
        llm_align_pass_release(&pass);
    }
}

static void every_kind_of_alignment_has_torchs_losses_and_gradients(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(*state, &cases[i]);
}

/* The loss with E's vector moved along a direction within one tensor. */
static double loss_along(const room_t *room, llm_align_pass_t *pass, const llm_align_step_t *step,
                         const fmq_tensor_t *tensor, const float *direction)
{
    size_t count = (size_t)llm_workspace_elements(pass->student);
    float *moved = malloc(count * sizeof *moved);
    llm_align_losses_t losses;
    memcpy(moved, room->state, count * sizeof *moved);
    for (uint64_t i = 0; i < tensor->count; i++)
        moved[tensor->offset + i] += direction[i];
    must(llm_workspace_set_params(pass->student, moved, &err) == 0);
    must(llm_align_pass_run(pass, step, &losses, &err) == 0);
    free(moved);
    return losses.loss;
}

#define STEP 4e-3

static void check_tensor(const room_t *room, llm_align_pass_t *pass, const llm_align_step_t *step,
                         const fmq_tensor_t *tensor, const float *grads)
{
    float *direction = malloc(tensor->count * sizeof *direction);
    double analytic = 0.0, norm = 0.0, loss[2];
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 5, .purpose = FMQ_RNG_TEST, .step = (uint32_t)tensor->offset};
    fmq_rng_init(&rng, &name);
    for (uint64_t i = 0; i < tensor->count; i++) {
        double grad = (double)grads[tensor->offset + i], along = fmq_rng_normal(&rng);
        direction[i] = (float)(STEP * along / sqrt((double)tensor->count));
        analytic += grad * (double)direction[i] / STEP;
        norm += grad * grad;
    }
    for (int side = 0; side < 2; side++) {
        loss[side] = loss_along(room, pass, step, tensor, direction);
        for (uint64_t i = 0; i < tensor->count; i++)
            direction[i] = -direction[i];
    }
    double numeric = (loss[0] - loss[1]) / (2.0 * STEP);
    free(direction);
    if (!(fabs(numeric - analytic) <= 3e-3 * (sqrt(norm / (double)tensor->count) + 0.01)))
        fail_msg("%s: gradient %.6g along a direction, difference %.6g", tensor->name, analytic,
                 numeric);
}

static void gradients_with_dropout_are_central_differences(void **state)
{
    const room_t *room = *state;
    const llm_offsite_t *offsite = llm_emulator_offsite(room->emulator);
    const fmq_schema_t *schema = llm_adapter_schema(offsite->state);
    fmq_rng_name_t dropout = {.seed = 2, .purpose = FMQ_RNG_DROPOUT, .step = 3};
    llm_align_step_t step = {
        .batch = &room->batch, .examples = room->examples, .scale = 1.0, .dropout = &dropout};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        llm_align_options_t options = cases[c].options;
        options.train.batch_size = (uint32_t)room->batch.sequences;
        llm_align_t align = {.offsite = offsite, .options = &options, .be = room->be};
        llm_align_start_t start = {.adapter = room->adapter,
                                   .state = room->state,
                                   .tokens_max = room->starts[room->batch.sequences],
                                   .training = true};
        llm_align_pass_t pass;
        llm_align_losses_t losses;
        must(llm_align_pass_init(&pass, &align, &start, &err) == 0);
        must(llm_align_pass_run(&pass, &step, &losses, &err) == 0);
        size_t bytes = (size_t)llm_workspace_elements(pass.student) * sizeof(float);
        float *grads = malloc(bytes);
        room->be->ops->download(room->be, grads, llm_workspace_grads(pass.student), bytes);
        for (size_t i = 0; i < fmq_schema_size(schema); i++)
            check_tensor(room, &pass, &step, fmq_schema_at(schema, i), grads);
        free(grads);
        llm_align_pass_release(&pass);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"every kind of alignment has torch's losses and gradients on the reference backend",
         every_kind_of_alignment_has_torchs_losses_and_gradients, open_reference, close_room, NULL},
        {"every kind of alignment has torch's losses and gradients on the cpu backend",
         every_kind_of_alignment_has_torchs_losses_and_gradients, open_cpu, close_room, NULL},
        {"gradients with dropout are central differences",
         gradients_with_dropout_are_central_differences, open_with_dropout, close_room, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
