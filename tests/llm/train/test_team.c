/*
 * test_team.c - a team of devices trains and measures as one device does: within
 * the rounding of sums, or to the byte where nothing is added up.
 *
 * Models are random and the tokenizer is bytes, so that the test needs no file.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/train.h"
#include "llm/train/deal.h"
#include "llm/train/loader.h"
#include "llm/train/team.h"
#include "tests/llm/train/small.h"

#define EXAMPLES  11
#define BATCH     5
#define RANKS_MAX 3

/* A backend whose memory is counted. */
typedef struct {
    llm_backend_t *inner; /* owned */
    llm_ops_t ops;
    llm_backend_t face;
    size_t bytes, most;
} counted_t;

static size_t count_of(void *memory)
{
    size_t bytes;
    memcpy(&bytes, (char *)memory - 64, sizeof bytes);
    return bytes;
}

static counted_t *counted_of(llm_backend_t *be)
{
    return (counted_t *)((char *)be - offsetof(counted_t, face));
}

static void *counted_alloc(llm_backend_t *be, size_t bytes)
{
    counted_t *self = counted_of(be);
    char *memory = self->inner->ops->alloc(self->inner, bytes + 64);
    memcpy(memory, &bytes, sizeof bytes);
    self->bytes += bytes;
    self->most = self->bytes > self->most ? self->bytes : self->most;
    return memory + 64;
}

static void counted_release(llm_backend_t *be, void *memory)
{
    counted_t *self = counted_of(be);
    self->bytes -= count_of(memory);
    self->inner->ops->release(self->inner, (char *)memory - 64);
}

/* Only alloc and release look at who is asked: the rest is the inner one's. */
static void counted_open(counted_t *self)
{
    self->inner = llm_backend_cpu_new(1, NULL);
    self->ops = *self->inner->ops;
    self->ops.alloc = counted_alloc;
    self->ops.release = counted_release;
    self->face = (llm_backend_t){.ops = &self->ops, .context = self->inner->context};
}

typedef struct {
    size_t ranks;
    bool sharded;
    llm_adapter_kind_t kind;
    float dropout;
    bool upper; /* layer 1 alone */
    bool fixed; /* LoRA that does not train lies on the model, too */
} how_t;

typedef struct {
    how_t how;
    counted_t counted[RANKS_MAX];
    small_t small;
    llm_adapter_t *fixed;
    llm_team_t *team;
    llm_workspace_t *ws; /* the lead's */
    llm_dataset_t *dataset;
} room_t;

static void open_adapters(room_t *self, const llm_shape_t *shape, llm_backend_t *be)
{
    const how_t *how = &self->how;
    llm_adapter_spec_t spec =
        small_lora(how->kind == LLM_ADAPTER_LORA ? "q_proj down_proj" : "", how->dropout);
    spec.kind = how->kind;
    if (how->upper) {
        llm_layer_set_add(&spec.layers, 1, 2);
    }
    small_open(&self->small, shape, &spec, 11, be);
    small_stir(&self->small);
    if (!how->fixed)
        return;
    llm_adapter_spec_t other = tiny_lora("v_proj", 0);
    other.rank = 2;
    other.alpha = 2;
    self->fixed = llm_adapter_new(shape, &other, NULL);
    assert_non_null(self->fixed);
}

static void open_room(room_t *self, const how_t *how)
{
    fmq_error_t err;
    llm_backend_t *backends[RANKS_MAX];
    llm_shape_t shape = small_llama();
    *self = (room_t){.how = *how};
    for (size_t r = 0; r < how->ranks; r++) {
        counted_open(&self->counted[r]);
        backends[r] = &self->counted[r].face;
    }
    open_adapters(self, &shape, backends[0]);
    self->dataset = small_ragged(EXAMPLES, 0);
    llm_stack_t stack = {
        .model = self->small.model, .adapter = self->small.adapter, .fixed = self->fixed};
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(self->dataset, BATCH),
                           .training = true};
    llm_team_plan_t plan = {.backends = backends,
                            .size = how->ranks,
                            .sharded = how->sharded,
                            .longest = llm_train_tokens_max(self->dataset, 1)};
    self->team = llm_team_new(&plan, &stack, &limits, &err);
    if (!self->team)
        fail_msg("%s", err.text);
    assert_true(llm_team_serves(self->team, &plan, &stack, &limits));
    plan.sharded = !plan.sharded;
    assert_false(llm_team_serves(self->team, &plan, &stack, &limits));
    self->ws = llm_team_lead(self->team);
    assert_int_equal(llm_workspace_set_params(self->ws, self->small.vector, &err), 0);
    if (self->fixed) {
        size_t n = (size_t)fmq_schema_elements(llm_adapter_schema(self->fixed));
        float *vector = malloc(n * sizeof *vector);
        for (size_t i = 0; i < n; i++)
            vector[i] = 0.1f * (float)(i % 7) - 0.3f;
        assert_int_equal(llm_team_set_fixed(self->team, vector, &err), 0);
        free(vector);
    }
}

static void close_room(room_t *self)
{
    llm_dataset_destroy(&self->dataset);
    llm_team_destroy(&self->team);
    llm_adapter_destroy(&self->fixed);
    small_close(&self->small);
    for (size_t r = 0; r < self->how.ranks; r++)
        llm_backend_destroy(&self->counted[r].inner);
}

static llm_train_options_t adam(uint64_t steps)
{
    return (llm_train_options_t){.optimizer = {.kind = LLM_ADAMW,
                                               .lr = 0.003,
                                               .beta1 = 0.9,
                                               .beta2 = 0.999,
                                               .eps = 1e-3,
                                               .weight_decay = 0.01},
                                 .steps = steps,
                                 .batch_size = BATCH,
                                 .shuffle = true,
                                 .grad_accum = 1,
                                 .grad_clip = 0.5,
                                 .seed = 1,
                                 .client = 1};
}

/* Trains a room of its own; the trained vector is the caller's. */
static float *trained(const how_t *how, llm_train_options_t options, llm_train_stats_t *stats,
                      size_t *elements)
{
    room_t room;
    fmq_error_t err;
    open_room(&room, how);
    options.team = room.team;
    if (llm_train_run(room.ws, room.dataset, &options, NULL, NULL, stats, &err) < 0)
        fail_msg("%s", err.text);
    float *vector = malloc(room.small.elements * sizeof *vector);
    llm_workspace_get_params(room.ws, vector);
    if (elements)
        *elements = room.small.elements;
    close_room(&room);
    return vector;
}

static double apart(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void compare_with_one(how_t how, const llm_train_options_t *options)
{
    llm_train_stats_t one, many, again;
    size_t n;
    size_t ranks = how.ranks;
    how.ranks = 1;
    float *alone = trained(&how, *options, &one, &n);
    how.ranks = ranks;
    float *team = trained(&how, *options, &many, NULL);
    float *twice = trained(&how, *options, &again, NULL);
    assert_memory_equal(team, twice, n * sizeof *team);
    assert_true(apart(alone, team, n) < 3e-6);
    assert_int_equal(many.steps, one.steps);
    assert_int_equal(many.samples, one.samples);
    assert_int_equal(many.supervised, one.supervised);
    assert_true(fabs(many.loss_avg - one.loss_avg) < 1e-6);
    assert_true(many.loss_avg == again.loss_avg);
    how.sharded = true;
    float *sharded = trained(&how, *options, &again, NULL);
    assert_memory_equal(team, sharded, n * sizeof *team);
    float *const owned[] = {alone, team, twice, sharded};
    for (size_t i = 0; i < 4; i++)
        free(owned[i]);
}

static void a_team_learns_what_one_device_learns(void **state)
{
    (void)state;
    static const how_t hows[] = {{.ranks = 2, .kind = LLM_ADAPTER_LORA, .dropout = 0.2f},
                                 {.ranks = 3, .kind = LLM_ADAPTER_FULL},
                                 {.ranks = 3, .kind = LLM_ADAPTER_LORA, .fixed = true},
                                 {.ranks = 2, .kind = LLM_ADAPTER_LORA, .upper = true}};
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
        llm_train_options_t options = adam(6);
        compare_with_one(hows[i], &options);
    }
}

/* Matrices are not cut by Adafactor, nor blocks of codes. */
static void every_optimizers_state_may_be_shared_out(void **state)
{
    (void)state;
    static const llm_optimizer_t optimizers[] = {
        {.kind = LLM_ADAGRAD, .lr = 0.01, .eps = 1e-10},
        {.kind = LLM_RMSPROP, .lr = 0.001, .alpha = 0.9, .eps = 1e-4, .momentum = 0.5},
        {.kind = LLM_ADAFACTOR,
         .lr = 0.01,
         .eps = 1e-7,
         .eps2 = 1e-3,
         .clip = 1,
         .beta2_decay = -1},
        {.kind = LLM_ADAFACTOR_HF,
         .eps = 1e-30,
         .eps2 = 1e-3,
         .clip = 1,
         .beta1 = 0.9,
         .beta2_decay = -0.8,
         .scale_parameter = true,
         .relative_step = true},
        {.kind = LLM_ADAMW_8BIT, .lr = 0.003, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-4},
    };
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        how_t how = {.ranks = 3, .kind = i % 2 ? LLM_ADAPTER_LORA : LLM_ADAPTER_FULL};
        llm_train_options_t options = adam(4);
        llm_train_stats_t stats;
        size_t n;
        llm_kept_optimizer_t kept[2] = {{0}};
        options.optimizer = optimizers[i];
        options.kept = &kept[0];
        float *one = trained(&how, options, &stats, &n);
        how.sharded = true;
        options.kept = &kept[1];
        float *shared = trained(&how, options, &stats, NULL);
        assert_int_equal(kept[0].size, kept[1].size);
        assert_memory_equal(kept[0].bytes, kept[1].bytes, kept[0].size);
        how.sharded = false; /* what shares have left one device goes on from */
        float *after = trained(&how, options, &stats, NULL);
        assert_memory_not_equal(after, one, n * sizeof *one);
        free(after);
        for (int k = 0; k < 2; k++)
            llm_kept_optimizer_release(&kept[k]);
        assert_memory_equal(one, shared, n * sizeof *one);
        free(one);
        free(shared);
    }
}

static void accumulation_and_pulls_towards_the_start_are_the_teams(void **state)
{
    (void)state;
    how_t how = {.ranks = 3, .kind = LLM_ADAPTER_LORA, .dropout = 0.1f};
    llm_train_options_t options = adam(3);
    options.batch_size = 2;
    options.grad_accum = 2;
    options.proximal_mu = 0.5;
    compare_with_one(how, &options);
    options.proximal_mu = 0;
    options.proximal_merged = 0.3;
    options.optimizer = (llm_optimizer_t){.kind = LLM_SGD, .lr = 0.05, .momentum = 0.9};
    compare_with_one(how, &options);
}

/* The first step's loss is computed before anything was added up: where dropout
 * fell otherwise than on one device it would be another. */
static void dropout_falls_where_it_would_on_one_device(void **state)
{
    (void)state;
    how_t how = {.ranks = 1, .kind = LLM_ADAPTER_LORA, .dropout = 0.5f};
    llm_train_stats_t one, many, without;
    llm_train_options_t options = adam(1);
    free(trained(&how, options, &one, NULL));
    for (how.ranks = 2; how.ranks <= RANKS_MAX; how.ranks++) {
        free(trained(&how, options, &many, NULL));
        assert_true(many.nll_sum == one.nll_sum);
    }
    how = (how_t){.ranks = 1, .kind = LLM_ADAPTER_LORA};
    free(trained(&how, options, &without, NULL));
    assert_true(without.nll_sum != one.nll_sum);
}

static void losses_are_one_devices_to_the_byte(void **state)
{
    (void)state;
    double sums[RANKS_MAX + 1];
    for (size_t ranks = 1; ranks <= RANKS_MAX; ranks++) {
        how_t how = {.ranks = ranks, .kind = LLM_ADAPTER_FULL};
        room_t room;
        llm_eval_stats_t stats;
        open_room(&room, &how);
        llm_eval_options_t options = {.batch_size = BATCH, .team = room.team};
        assert_int_equal(llm_evaluate_dataset(room.ws, room.dataset, &options, &stats, NULL), 0);
        sums[ranks] = stats.nll_sum;
        assert_true(sums[ranks] == sums[1]);
        close_room(&room);
    }
}

static void what_frozen_layers_give_may_be_kept(void **state)
{
    (void)state;
    how_t how = {.ranks = 2, .kind = LLM_ADAPTER_LORA, .upper = true};
    size_t n;
    float *vectors[2];
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1 << 20);
    llm_prefix_cache_t *cache = llm_prefix_cache_new(budget, NULL);
    for (size_t i = 0; i < 2; i++) {
        llm_train_options_t options = adam(6);
        options.prefix = i ? cache : NULL;
        vectors[i] = trained(&how, options, NULL, &n);
    }
    assert_memory_equal(vectors[0], vectors[1], n * sizeof *vectors[0]);
    free(vectors[0]);
    free(vectors[1]);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

/* Vectors of a rank beside its pass: parameters, gradient, and its share of the
 * two moments. */
static void the_optimizers_state_is_shared_out(void **state)
{
    (void)state;
    size_t most[2][RANKS_MAX] = {{0}};
    size_t bytes = 0;
    for (size_t i = 0; i < 2; i++) {
        how_t how = {.ranks = 3, .kind = LLM_ADAPTER_FULL, .sharded = i == 1};
        room_t room;
        open_room(&room, &how);
        llm_train_options_t options = adam(2);
        options.team = room.team;
        bytes = room.small.elements * sizeof(float);
        size_t before[RANKS_MAX];
        for (size_t r = 0; r < 3; r++) {
            before[r] = room.counted[r].bytes;
            room.counted[r].most = 0;
        }
        assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, NULL), 0);
        for (size_t r = 0; r < 3; r++) {
            most[i][r] = room.counted[r].most - before[r];
            assert_int_equal(room.counted[r].bytes, before[r]);
        }
        close_room(&room);
    }
    assert_int_equal(most[0][0], 2 * bytes);
    for (size_t r = 0; r < 3; r++) {
        assert_true(most[1][r] >= 2 * bytes / 3 - 2 * 3 * 64);
        assert_true(most[1][r] <= 2 * bytes / 3 + 2 * 3 * 64);
    }
}

/* A batch of the dataset. */
static const uint32_t *pack(const room_t *room, llm_loader_t **loader, llm_batch_t *batch)
{
    *loader = llm_loader_new(room->dataset, BATCH, NULL);
    assert_int_equal(llm_loader_pack(*loader, 0, batch), BATCH);
    return llm_loader_examples(*loader, 0);
}

static double gradient_of(room_t *room, unsigned rank)
{
    llm_workspace_t *ws = llm_team_workspace(room->team, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    return be->ops->sum_squares(be, llm_workspace_grads(ws), room->small.elements);
}

static void a_part_that_is_not_finite_keeps_all_gradients_as_they_were(void **state)
{
    (void)state;
    how_t how = {.ranks = 3, .kind = LLM_ADAPTER_LORA, .upper = true};
    room_t room;
    fmq_error_t err;
    open_room(&room, &how);
    assert_int_equal(llm_team_spread(room.team, &err), 0);
    llm_loader_t *loader;
    llm_batch_t batch;
    (void)pack(&room, &loader, &batch);
    size_t tokens = batch.starts[BATCH], width = llm_workspace_prefix_bytes(room.ws);
    float *prefix = malloc(tokens * width);
    assert_int_equal(llm_team_prefix(room.team, &batch, prefix, &err), 0);
    batch.prefix = prefix;
    double loss;
    assert_int_equal(
        llm_team_train(room.team, &batch, &(llm_train_pass_t){.scale = 0.1f}, &loss, &err), 0);
    assert_true(isfinite(loss));
    double before[3];
    for (unsigned r = 0; r < 3; r++) {
        before[r] = gradient_of(&room, r);
        assert_true(before[r] > 0);
    }
    for (size_t i = 0; i < width / sizeof *prefix; i++)
        prefix[(tokens - 3) * width / sizeof *prefix + i] = NAN;
    assert_int_equal(
        llm_team_train(room.team, &batch, &(llm_train_pass_t){.scale = 0.1f}, &loss, &err), 0);
    assert_true(isnan(loss));
    for (unsigned r = 0; r < 3; r++)
        assert_true(gradient_of(&room, r) == before[r]);
    free(prefix);
    llm_loader_destroy(&loader);
    close_room(&room);
}

static void a_rank_that_fails_is_named_and_waited_for(void **state)
{
    (void)state;
    how_t how = {.ranks = 3, .kind = LLM_ADAPTER_LORA};
    room_t room;
    fmq_error_t err;
    open_room(&room, &how);
    llm_loader_t *loader;
    llm_batch_t batch;
    (void)pack(&room, &loader, &batch);
    int32_t *ids = malloc(batch.starts[BATCH] * sizeof *ids);
    memcpy(ids, batch.ids, batch.starts[BATCH] * sizeof *ids);
    ids[batch.starts[BATCH] - 1] = 300;
    const int32_t *right = batch.ids;
    batch.ids = ids;
    double loss = 7;
    assert_int_equal(
        llm_team_train(room.team, &batch, &(llm_train_pass_t){.scale = 0.1f}, &loss, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    assert_true(loss == 7);
    batch.ids = right; /* and it goes on */
    assert_int_equal(
        llm_team_train(room.team, &batch, &(llm_train_pass_t){.scale = 0.1f}, &loss, &err), 0);
    assert_true(isfinite(loss));
    free(ids);
    llm_loader_destroy(&loader);
    close_room(&room);
}

static void fewer_sequences_than_devices_are_no_trouble(void **state)
{
    (void)state;
    how_t how = {.ranks = 3, .kind = LLM_ADAPTER_LORA};
    llm_train_options_t options = adam(4);
    options.batch_size = 1;
    compare_with_one(how, &options);
}

static void parts_hold_whole_sequences_and_no_more_than_a_share_and_one(void **state)
{
    (void)state;
    const uint32_t starts[] = {0, 9, 10, 11, 30, 31};
    const int32_t rows[] = {3, 8, 9, 12, 29, 30}, targets[] = {1, 2, 3, 4, 5, 6};
    int32_t ids[31] = {0};
    llm_batch_t whole = {5, starts, ids, 6, rows, targets, 0, NULL, NULL};
    size_t most = llm_deal_tokens_max(31, 19, 2), sequences = 0, supervised = 0;
    assert_int_equal(most, 31);
    assert_int_equal(llm_deal_tokens_max(100, 19, 4), 44);
    for (unsigned rank = 0; rank < 2; rank++) {
        llm_deal_t deal = {0};
        assert_int_equal(llm_deal_init(&deal, most, NULL), 0);
        assert_int_equal(llm_deal_take(&deal, &whole, rank, 2, 0, NULL), 0);
        const llm_batch_t *part = &deal.batch;
        assert_int_equal(deal.first, sequences);
        assert_int_equal(part->first_row, starts[sequences]);
        for (size_t i = 0; i < part->supervised; i++) {
            assert_int_equal(part->rows[i] + (int32_t)part->first_row, rows[supervised + i]);
            assert_int_equal(part->targets[i], targets[supervised + i]);
        }
        sequences += part->sequences;
        supervised += part->supervised;
        llm_deal_release(&deal);
    }
    assert_int_equal(sequences, 5);
    assert_int_equal(supervised, 6);
    llm_deal_t small = {0};
    fmq_error_t err;
    assert_int_equal(llm_deal_init(&small, 5, NULL), 0);
    assert_int_equal(llm_deal_take(&small, &whole, 0, 2, 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    llm_deal_release(&small);
}

static void a_team_that_is_stripped_still_has_its_parameters(void **state)
{
    (void)state;
    how_t how = {.ranks = 2, .kind = LLM_ADAPTER_FULL};
    room_t room;
    open_room(&room, &how);
    llm_team_strip(room.team);
    float *vector = malloc(room.small.elements * sizeof *vector);
    llm_workspace_get_params(room.ws, vector);
    assert_memory_equal(vector, room.small.vector, room.small.elements * sizeof *vector);
    assert_int_equal(room.counted[1].bytes, 0);
    free(vector);
    close_room(&room);
}

static void no_device_and_too_many_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_team_plan_t plan = {.size = 0};
    assert_null(llm_team_new(&plan, NULL, NULL, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    plan.size = LLM_TEAM_MAX + 1;
    assert_null(llm_team_new(&plan, NULL, NULL, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_learns_what_one_device_learns),
        cmocka_unit_test(every_optimizers_state_may_be_shared_out),
        cmocka_unit_test(accumulation_and_pulls_towards_the_start_are_the_teams),
        cmocka_unit_test(dropout_falls_where_it_would_on_one_device),
        cmocka_unit_test(losses_are_one_devices_to_the_byte),
        cmocka_unit_test(what_frozen_layers_give_may_be_kept),
        cmocka_unit_test(the_optimizers_state_is_shared_out),
        cmocka_unit_test(a_part_that_is_not_finite_keeps_all_gradients_as_they_were),
        cmocka_unit_test(a_rank_that_fails_is_named_and_waited_for),
        cmocka_unit_test(fewer_sequences_than_devices_are_no_trouble),
        cmocka_unit_test(parts_hold_whole_sequences_and_no_more_than_a_share_and_one),
        cmocka_unit_test(a_team_that_is_stripped_still_has_its_parameters),
        cmocka_unit_test(no_device_and_too_many_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
