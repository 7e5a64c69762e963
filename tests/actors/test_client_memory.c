/*
 * test_client_memory.c - how many states a client holds beside its server, and
 * how often they are digested: full fine-tuning of the embedded model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/runtime/pipe.h"
#include "broker/lent_state.h"
#include "client_stage.h"
#include "counted_memory.h"
#include "tests/base/counted_digest.h"

typedef struct {
    stage_t stage;
    fmq_lent_state_t *lent; /* the server's state */
    zactor_t *client;
    llm_records_t *own[3];
    double state; /* bytes of one */
    int64_t before;
    uint64_t digested;
} play_t;

static void begin(play_t *play)
{
    static const char yaml[] = "llm: {adapter: {use: False}}\ntrain: {local_update_steps: 2}\n"
                               "eval: {split: [test]}\n";
    *play = (play_t){.client = NULL};
    stage_t *stage = &play->stage;
    stage_open_as_one(stage, yaml);
    play->state = (double)(stage->elements * sizeof *stage->state);
    play->own[0] = stage_records(0, 20);
    play->own[2] = stage_records(200, 6);
    fmq_client_options_t options = {.context = &stage->context, .client = 1};
    memcpy(options.own, play->own, sizeof options.own);
    play->client = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    play->lent = fmq_lent_state_new(llm_adapter_schema(stage->context.adapter), stage->state,
                                    FMQ_CODEC_F32, NULL);
    assert_non_null(play->lent);
    assert_int_equal(fmq_link_publish(stage->server, fmq_lent_state_object(play->lent), "*", NULL),
                     0);
    stage_say_run(stage, STAGE_RUN);
    stage_hear(stage, FMQ_REPORT_IDLE, 0);
}

static void end(play_t *play)
{
    fmq_pipe_stop(&play->client);
    fmq_lent_state_end(&play->lent);
    stage_close(&play->stage);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&play->own[i]);
}

static void begin_count(play_t *play)
{
    play->before = counted_memory_live();
    counted_memory_begin();
    play->digested = counted_digest();
}

/* In states. */
static double most(const play_t *play)
{
    return (double)(counted_memory_most() - play->before) / play->state;
}

static double now(const play_t *play)
{
    return (double)(counted_memory_live() - play->before) / play->state;
}

static double passes(const play_t *play)
{
    return (double)(counted_digest() - play->digested) / play->state;
}

static fmq_message_report_t train(play_t *play, uint64_t serial)
{
    stage_say_state(&play->stage, serial, fmq_lent_state_object(play->lent));
    return stage_hear(&play->stage, FMQ_REPORT_OFFER, serial);
}

/* The client is told that its update is safe; it answers when it has let it go. */
static void acknowledge(play_t *play, uint64_t serial)
{
    stage_say_kind(&play->stage, serial, FMQ_TASK_WAIT, fmq_lent_state_object(play->lent));
    stage_hear(&play->stage, FMQ_REPORT_IDLE, serial);
}

static void beside_its_server_it_holds_its_update_until_that_is_safe(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    for (uint64_t serial = 1; serial < 6; serial += 2) {
        begin_count(&play);
        fmq_message_report_t offer = train(&play, serial);
        assert_true(most(&play) > 0.9 && most(&play) <= 1.2);
        assert_true(passes(&play) > 0.9 && passes(&play) < 1.05); /* of the update */
        float *update = stage_fetch(&play.stage, &offer);
        assert_true(passes(&play) < 1.05);
        free(update);
        acknowledge(&play, serial + 1);
        assert_true(now(&play) < 0.1);
    }
    end(&play);
}

static void measuring_takes_no_copy(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    begin_count(&play);
    stage_say_kind(&play.stage, 1, FMQ_TASK_EVALUATE, fmq_lent_state_object(play.lent));
    stage_hear(&play.stage, FMQ_REPORT_MEASURED, 1);
    assert_true(most(&play) < 0.2);
    assert_true(now(&play) < 0.1);
    assert_true(passes(&play) < 0.05);
    end(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_its_server_it_holds_its_update_until_that_is_safe),
        cmocka_unit_test(measuring_takes_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
