/*
 * test_team_devices.c - a team of two emulated devices computes what the CPU does,
 * and the same bytes whether gradients go from device to device or through host
 * memory.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/base/rng.h"
#include "llm/train/team.h"
#include "tests/llm/train/small.h"

#define SEQUENCES 5
#define TOKENS    61
#define RANKS_MAX 2

static const uint32_t starts[SEQUENCES + 1] = {0, 13, 20, 21, 50, TOKENS};

/* What is trained on: nothing of it changes. */
typedef struct {
    small_t small;
    int32_t ids[TOKENS], rows[TOKENS], targets[TOKENS];
    llm_batch_t batch;
    fmq_rng_name_t dropout;
    llm_backend_t *cpu;
} scene_t;

/* What a list of devices makes of it. */
typedef struct {
    double loss;
    float *gradient; /* host, of all */
    char carrier[32];
    bool detour;
} outcome_t;

static void fill_batch(scene_t *self)
{
    size_t supervised = 0;
    for (uint32_t t = 0; t < TOKENS; t++) {
        self->ids[t] = (int32_t)((t * 2654435761u >> 9) % 256);
        if (t % 3 == 0)
            continue;
        self->rows[supervised] = (int32_t)t;
        self->targets[supervised++] = (int32_t)((t * 40503u >> 3) % 256);
    }
    self->batch = (llm_batch_t){.sequences = SEQUENCES,
                                .starts = starts,
                                .ids = self->ids,
                                .supervised = supervised,
                                .rows = self->rows,
                                .targets = self->targets};
}

static void open_scene(scene_t *self, float dropout)
{
    llm_shape_t shape = small_llama();
    llm_adapter_spec_t spec = small_lora("q_proj down_proj", dropout);
    *self = (scene_t){.cpu = llm_backend_cpu_new(1, NULL),
                      .dropout = {.seed = 3, .client = 1, .round = 2, .step = 7}};
    small_open(&self->small, &shape, &spec, 11, self->cpu);
    small_stir(&self->small);
    fill_batch(self);
}

static void close_scene(scene_t *self)
{
    small_close(&self->small);
    llm_backend_destroy(&self->cpu);
}

static int clear(void *team, unsigned rank, fmq_error_t *err)
{
    llm_workspace_t *ws = llm_team_workspace(team, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    be->ops->zero(be, llm_workspace_grads(ws), llm_workspace_elements(ws) * sizeof(float));
    return be->ops->synchronize(be, err);
}

static int sum_up(void *team, unsigned rank, fmq_error_t *err)
{
    llm_workspace_t *ws = llm_team_workspace(team, rank);
    return llm_collective_all_reduce(llm_team_collective(team, rank), llm_workspace_grads(ws),
                                     (size_t)llm_workspace_elements(ws), err);
}

static void expect(int rc, const fmq_error_t *err)
{
    if (rc < 0)
        fail_msg("%s", err->text);
}

static outcome_t compute(const scene_t *scene, llm_team_t *team)
{
    fmq_error_t err;
    outcome_t out = {.gradient = malloc(scene->small.elements * sizeof *out.gradient),
                     .detour = llm_team_detour(team) != NULL};
    llm_workspace_t *lead = llm_team_lead(team);
    llm_backend_t *be = llm_workspace_backend(lead);
    (void)snprintf(out.carrier, sizeof out.carrier, "%s", llm_team_carrier(team));
    expect(llm_workspace_set_params(lead, scene->small.vector, &err), &err);
    expect(llm_team_spread(team, &err), &err);
    expect(llm_team_do(team, clear, team, &err), &err);
    expect(llm_team_train(team, &scene->batch,
                          &(llm_train_pass_t){.scale = 0.1f, .dropout = &scene->dropout}, &out.loss,
                          &err),
           &err);
    if (llm_team_size(team) > 1)
        expect(llm_team_do(team, sum_up, team, &err), &err);
    be->ops->download(be, out.gradient, llm_workspace_grads(lead),
                      scene->small.elements * sizeof *out.gradient);
    return out;
}

static outcome_t on(const scene_t *scene, size_t ranks, const char *const *names)
{
    fmq_error_t err;
    llm_backend_t *backends[RANKS_MAX];
    for (size_t r = 0; r < ranks; r++)
        if (!(backends[r] = llm_backend_open(names[r], 1, &err)))
            fail_msg("%s", err.text);
    llm_stack_t stack = {.model = scene->small.model, .adapter = scene->small.adapter};
    llm_limits_t limits = {.tokens_max = TOKENS, .training = true};
    llm_team_plan_t plan = {.backends = backends, .size = ranks, .longest = 29};
    llm_team_t *team = llm_team_new(&plan, &stack, &limits, &err);
    if (!team)
        fail_msg("%s", err.text);
    outcome_t out = compute(scene, team);
    llm_team_destroy(&team);
    for (size_t r = 0; r < ranks; r++)
        llm_backend_destroy(&backends[r]);
    return out;
}

/* Normalised mean square error. */
static double apart(const outcome_t *a, const outcome_t *b, size_t n)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = (double)a->gradient[i] - (double)b->gradient[i];
        error += difference * difference;
        size += (double)b->gradient[i] * (double)b->gradient[i];
    }
    assert_true(size > 0);
    return error / size;
}

typedef struct {
    const char *devices[RANKS_MAX];
    double loss, gradient; /* errors that are allowed, relative, beside the CPU in fp32 */
} bound_t;

static const bound_t bounds[] = {
    {{"cuda-emulated:f32", "cuda-emulated:1:f32"}, 1e-6, 1e-10},
    {{"cuda-emulated", "cuda-emulated:1"}, 1e-2, 1e-3},
};

static void two_devices_compute_what_the_cpu_does(void **state)
{
    (void)state;
    static const char *const cpu[] = {"cpu"};
    for (size_t d = 0; d < 2; d++) {
        scene_t scene;
        open_scene(&scene, d ? 0.3f : 0.0f);
        outcome_t want = on(&scene, 1, cpu);
        for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
            outcome_t got = on(&scene, 2, bounds[i].devices);
            assert_string_equal(got.carrier, "NCCL");
            assert_false(got.detour);
            double loss = fabs(got.loss - want.loss) / want.loss;
            double gradient = apart(&got, &want, scene.small.elements);
            print_message("%s: loss %.9g of %.9g, gradient %.3g apart\n", bounds[i].devices[0],
                          got.loss, want.loss, gradient);
            assert_true(loss < bounds[i].loss);
            assert_true(gradient < bounds[i].gradient);
            free(got.gradient);
        }
        free(want.gradient);
        close_scene(&scene);
    }
}

static void host_memory_gives_the_same_bytes(void **state)
{
    (void)state;
    scene_t scene;
    open_scene(&scene, 0.3f);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        outcome_t devices = on(&scene, 2, bounds[i].devices);
        setenv("FEDMQ_NCCL", "/nowhere/libnccl.so.2", 1);
        outcome_t host = on(&scene, 2, bounds[i].devices);
        unsetenv("FEDMQ_NCCL");
        assert_string_equal(host.carrier, "host memory");
        assert_true(host.detour);
        assert_true(host.loss == devices.loss);
        assert_memory_equal(host.gradient, devices.gradient,
                            scene.small.elements * sizeof *host.gradient);
        free(devices.gradient);
        free(host.gradient);
    }
    close_scene(&scene);
}

/* The loss is computed before anything is added up: where a part's masks were not
 * those of its rows in the whole batch, it would be another. */
static void dropout_falls_where_it_would_on_one_device(void **state)
{
    (void)state;
    scene_t scene;
    open_scene(&scene, 0.5f);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        outcome_t one = on(&scene, 1, bounds[i].devices), two = on(&scene, 2, bounds[i].devices);
        assert_true(one.loss == two.loss);
        free(one.gradient);
        free(two.gradient);
    }
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_devices_compute_what_the_cpu_does),
        cmocka_unit_test(host_memory_gives_the_same_bytes),
        cmocka_unit_test(dropout_falls_where_it_would_on_one_device),
    };
    (void)alarm(240); /* a rank that waits for ever fails the test */
    unsetenv("FEDMQ_NCCL");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
