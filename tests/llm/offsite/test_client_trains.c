/*
 * test_client_trains.c - what a client's training changes after an alignment:
 * A's vector and nothing else.  (In FS-LLM every tensor of A's layers had
 * become trainable by then.)
 */
#include <stdlib.h>
#include <string.h>

#include "tests/llm/offsite/aligning.h"

typedef struct {
    llm_workspace_t *ws;
    llm_stack_t stack;
} client_t;

static void client_open(client_t *self, const aligning_t *room, const float *adapter,
                        const float *emulator)
{
    fmq_error_t err = {0};
    const llm_offsite_t *offsite = llm_emulator_offsite(room->emulator);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(room->data, 3), .training = true};
    self->stack = (llm_stack_t){offsite->student, offsite->adapter, offsite->state};
    self->ws = llm_workspace_new_stack(&self->stack, &limits, room->be, &err);
    if (!self->ws)
        fail_msg("%s", err.text);
    assert_int_equal(llm_workspace_set_params(self->ws, adapter, &err), 0);
    assert_int_equal(llm_workspace_set_fixed(self->ws, emulator, &err), 0);
}

static void train(client_t *self, const aligning_t *room)
{
    fmq_error_t err = {0};
    llm_train_options_t options = {
        .optimizer = {.kind = LLM_ADAMW, .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .steps = 6,
        .batch_size = 3,
        .shuffle = true,
        .grad_accum = 1,
        .proximal_merged = 0.01,
        .seed = 2};
    if (llm_train_run(self->ws, room->data, &options, NULL, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static double loss_of(client_t *self, const aligning_t *room)
{
    fmq_error_t err = {0};
    llm_eval_stats_t stats;
    if (llm_evaluate_loss(self->ws, room->data, 3, NULL, NULL, &stats, &err) < 0)
        fail_msg("%s", err.text);
    return stats.token_loss;
}

/* Every tensor of the vector moved? */
static void check_all_moved(const llm_adapter_t *adapter, const float *before, const float *after)
{
    const fmq_schema_t *schema = llm_adapter_schema(adapter);
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        if (memcmp(before + tensor->offset, after + tensor->offset,
                   (size_t)tensor->count * sizeof *after) == 0)
            fail_msg("'%s' did not train", tensor->name);
    }
}

static void check_family(const char *family)
{
    aligning_t room;
    aligning_how_t how = aligning_usual();
    how.family = family;
    if (strcmp(family, "gpt2") == 0)
        how.adapter.targets = 0;
    aligning_open(&room, &how, llm_backend_cpu_new(1, NULL));
    const llm_offsite_t *offsite = llm_emulator_offsite(room.emulator);
    fmq_digest_t student = llm_model_digest(offsite->student);
    float *emulator = aligning_run(&room, NULL);
    assert_memory_not_equal(emulator, room.state, room.state_size * sizeof *emulator);

    client_t client, fresh;
    client_open(&client, &room, room.adapter, emulator);
    assert_int_equal(llm_workspace_elements(client.ws), room.adapter_size);
    double before = loss_of(&client, &room);
    train(&client, &room);
    double after = loss_of(&client, &room);
    assert_true(after < before);

    /* A's new vector over the old weights and E's old vector is the whole
     * difference: nothing else can have moved. */
    float *trained = malloc(room.adapter_size * sizeof *trained);
    llm_workspace_get_params(client.ws, trained);
    check_all_moved(offsite->adapter, room.adapter, trained);
    client_open(&fresh, &room, trained, emulator);
    assert_true(loss_of(&fresh, &room) == after);
    fmq_digest_t again = llm_model_digest(offsite->student);
    assert_true(fmq_digest_equal(&student, &again));

    llm_workspace_destroy(&client.ws);
    llm_workspace_destroy(&fresh.ws);
    free(trained);
    free(emulator);
    aligning_close(&room);
}

static void after_alignment_a_client_trains_the_adapter_and_nothing_else(void **state)
{
    (void)state;
    check_family("llama");
    check_family("gpt2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_alignment_a_client_trains_the_adapter_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
