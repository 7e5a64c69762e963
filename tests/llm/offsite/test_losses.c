/*
 * test_losses.c - each loss of alignment and its gradient over small tensors,
 * against PyTorch (scripts/goldens/make_offsite_goldens.py), on both backends.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/similarity.h"
#include "tests/llm/backend/acts.h"
#include "tests/llm/offsite/tensors.h"

#define WIDTH     5
#define VOCAB     61
#define IGNORED   (-100.0f)
#define TOLERANCE 1e-5

typedef struct {
    llm_backend_t *be;
    llm_weights_t *file;
} room_t;

static int open_room(void **state, llm_backend_t *be)
{
    room_t *room = calloc(1, sizeof *room);
    assert_non_null(room);
    assert_non_null(be);
    room->be = be;
    room->file = tensors_open("losses.safetensors");
    *state = room;
    return 0;
}

static int open_reference(void **state)
{
    return open_room(state, llm_backend_reference_new(NULL));
}

static int open_cpu(void **state)
{
    return open_room(state, llm_backend_cpu_new(2, NULL));
}

static int close_room(void **state)
{
    room_t *room = *state;
    llm_weights_close(&room->file);
    llm_backend_destroy(&room->be);
    free(room);
    return 0;
}

/* A golden tensor in the backend's memory. */
static float *on_backend(const room_t *room, const char *name, size_t *count)
{
    float *host = tensors_read(room->file, name, count);
    float *memory = room->be->ops->alloc(room->be, *count * sizeof *memory);
    assert_non_null(memory);
    room->be->ops->upload(room->be, memory, host, *count * sizeof *host);
    free(host);
    return memory;
}

static float *zeros(const room_t *room, size_t count)
{
    float *memory = room->be->ops->alloc(room->be, count * sizeof *memory);
    assert_non_null(memory);
    room->be->ops->zero(room->be, memory, count * sizeof *memory);
    return memory;
}

static void assert_gradient(const room_t *room, const char *loss, const float *memory, size_t count)
{
    char name[64];
    size_t size = 0;
    (void)snprintf(name, sizeof name, "%s.grad", loss);
    float *theirs = tensors_read(room->file, name, &size), *ours = malloc(count * sizeof *ours);
    assert_int_equal(size, count);
    room->be->ops->download(room->be, ours, memory, count * sizeof *ours);
    tensors_compare(name, ours, theirs, count, TOLERANCE);
    free(theirs);
    free(ours);
}

static void assert_value(const room_t *room, const char *loss, double ours)
{
    double theirs = tensors_number(room->file, loss);
    if (!(fabs(ours - theirs) <= TOLERANCE * fabs(theirs)))
        fail_msg("%s is %.9g, expected %.9g", loss, ours, theirs);
}

static void check_similarity(const room_t *room, const char *name, llm_sim_t kind)
{
    llm_backend_t *be = room->be;
    size_t count = 0;
    float *teacher = on_backend(room, "teacher", &count);
    float *student = on_backend(room, "student", &count);
    float *gradient = zeros(room, count);
    llm_similarity_t similarity;
    size_t rows = count / WIDTH;
    llm_similarity_how_t how = {kind, rows + 3, WIDTH};
    llm_streams_t streams = {act(teacher), act(student), rows};
    assert_int_equal(llm_similarity_init(&similarity, &how, be, NULL), 0);
    assert_value(room, name, llm_similarity(&similarity, &streams));
    /* Added, and in proportion: a quarter and three quarters make one. */
    llm_similarity_backward(&similarity, act(gradient), &streams, 0.25);
    llm_similarity_backward(&similarity, act(gradient), &streams, 0.75);
    assert_gradient(room, name, gradient, count);
    assert_value(room, name, llm_similarity(&similarity, &streams));
    llm_similarity_release(&similarity);
    be->ops->release(be, teacher);
    be->ops->release(be, student);
    be->ops->release(be, gradient);
}

static void l2_over_the_teachers_rms_is_torchs(void **state)
{
    check_similarity(*state, "l2", LLM_SIM_L2);
}

static void cosine_over_a_batch_of_rows_is_torchs(void **state)
{
    check_similarity(*state, "cos", LLM_SIM_COS);
}

static void divergence_of_all_tokens_is_torchs(void **state)
{
    const room_t *room = *state;
    llm_backend_t *be = room->be;
    size_t count = 0;
    float *full = on_backend(room, "full", &count), *client = on_backend(room, "client", &count);
    size_t rows = count / VOCAB;
    float *losses = zeros(room, rows);
    be->ops->kl_divergence(be, losses, act(client), const_act(full), rows, VOCAB,
                           1.0f / (float)rows);
    assert_value(room, "kl_raw", be->ops->sum(be, losses, rows) / (double)rows);
    assert_gradient(room, "kl_raw", client, count);
    be->ops->release(be, full);
    be->ops->release(be, client);
    be->ops->release(be, losses);
}

/* Mean -log p of an example's targets; with a scale the logits of rows that
 * predict one become its gradient times that, the others zero. */
static double example_loss(llm_backend_t *be, float *logits, const float *labels, size_t length,
                           float scale)
{
    double sum = 0, count = 0;
    for (size_t t = 1; t < length; t++)
        count += labels[t] != IGNORED;
    for (size_t t = 0; t < length; t++) {
        float *row = logits + t * VOCAB, loss = 0, *memory = be->ops->alloc(be, sizeof *memory);
        if (t + 1 == length || labels[t + 1] == IGNORED) {
            if (scale != 0.0f)
                be->ops->zero(be, row, VOCAB * sizeof *row);
        } else {
            int32_t target = (int32_t)labels[t + 1], *on = be->ops->alloc(be, sizeof *on);
            be->ops->upload(be, on, &target, sizeof target);
            be->ops->cross_entropy(be, memory, act(row), on, 1, VOCAB,
                                   &(llm_cross_entropy_t){.scale = scale / (float)count});
            be->ops->download(be, &loss, memory, sizeof loss);
            be->ops->release(be, on);
        }
        be->ops->release(be, memory);
        sum += (double)loss;
    }
    return sum / count;
}

static void check_likelihoods(const room_t *room, const char *name, double sign)
{
    llm_backend_t *be = room->be;
    size_t count = 0, examples = 0, first = 0;
    float *full = on_backend(room, "full", &count), *client = on_backend(room, "client", &count);
    float *labels = tensors_read(room->file, "labels", NULL);
    float *lengths = tensors_read(room->file, "lengths", &examples);
    double apart = 0;
    for (size_t s = 0; s < examples; s++) {
        size_t length = (size_t)lengths[s];
        double of_full = example_loss(be, full + first * VOCAB, labels + first, length, 0.0f);
        apart += example_loss(be, client + first * VOCAB, labels + first, length,
                              (float)(sign / (double)examples)) -
                 of_full;
        first += length;
    }
    assert_value(room, name, sign * apart / (double)examples);
    assert_gradient(room, name, client, count);
    free(labels);
    free(lengths);
    be->ops->release(be, full);
    be->ops->release(be, client);
}

static void likelihood_is_pulled_up_to_the_full_models(void **state)
{
    check_likelihoods(*state, "kl_logps", 1.0);
}

static void the_released_sign_drives_it_the_other_way(void **state)
{
    check_likelihoods(*state, "kl_logps_released", -1.0);
}

static void zeros_are_compared_without_dividing_by_zero(void **state)
{
    const room_t *room = *state;
    llm_backend_t *be = room->be;
    size_t count = 0;
    float *student = on_backend(room, "student", &count);
    float *teacher = zeros(room, count), *gradient = zeros(room, count);
    for (int kind = LLM_SIM_L2; kind <= LLM_SIM_COS; kind++) {
        llm_similarity_t similarity;
        llm_similarity_how_t how = {(llm_sim_t)kind, count / WIDTH, WIDTH};
        llm_streams_t streams = {act(teacher), act(student), count / WIDTH};
        assert_int_equal(llm_similarity_init(&similarity, &how, be, NULL), 0);
        double value = llm_similarity(&similarity, &streams);
        double squares = be->ops->sum_squares(be, student, count) / (double)count;
        assert_true(kind == LLM_SIM_L2 ? fabs(value - squares) < 1e-6 : value == 0.0);
        llm_similarity_backward(&similarity, act(gradient), &streams, 1.0);
        assert_true(isfinite(be->ops->sum_squares(be, gradient, count)));
        llm_similarity_release(&similarity);
    }
    be->ops->release(be, teacher);
    be->ops->release(be, student);
    be->ops->release(be, gradient);
}

static void a_stream_that_is_not_a_number_is_noticed_on_the_scalar(void **state)
{
    const room_t *room = *state;
    llm_backend_t *be = room->be;
    size_t count = 0;
    float bad = NAN;
    for (int kind = LLM_SIM_L2; kind <= LLM_SIM_COS; kind++) {
        for (int side = 0; side < 2; side++) {
            float *pair[2] = {on_backend(room, "teacher", &count),
                              on_backend(room, "student", &count)};
            llm_similarity_t similarity;
            llm_similarity_how_t how = {(llm_sim_t)kind, count / WIDTH, WIDTH};
            llm_streams_t streams = {act(pair[0]), act(pair[1]), count / WIDTH};
            assert_int_equal(llm_similarity_init(&similarity, &how, be, NULL), 0);
            be->ops->upload(be, pair[side] + count - 1, &bad, sizeof bad);
            assert_true(isnan(llm_similarity(&similarity, &streams)));
            llm_similarity_release(&similarity);
            be->ops->release(be, pair[0]);
            be->ops->release(be, pair[1]);
        }
    }
}

#define CASES(name)                                                                                \
    {#name " on the reference backend", name, open_reference, close_room, NULL},                   \
    {                                                                                              \
#name " on the cpu backend", name, open_cpu, close_room, NULL                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASES(l2_over_the_teachers_rms_is_torchs),
        CASES(cosine_over_a_batch_of_rows_is_torchs),
        CASES(divergence_of_all_tokens_is_torchs),
        CASES(likelihood_is_pulled_up_to_the_full_models),
        CASES(the_released_sign_drives_it_the_other_way),
        CASES(zeros_are_compared_without_dividing_by_zero),
        CASES(a_stream_that_is_not_a_number_is_noticed_on_the_scalar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
