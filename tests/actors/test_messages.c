/*
 * test_messages.c - every note survives its encoding; nothing else is accepted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/actors/messages.h"
#include "fedmq/broker/link.h"
#include "fedmq/broker/pack.h"

static const char run_id[] = "0123456789abcdef0123456789abcdef";

static fmq_digest_t a_digest(uint8_t first)
{
    fmq_digest_t digest;
    for (int i = 0; i < FMQ_DIGEST_SIZE; i++)
        digest.bytes[i] = (uint8_t)(first + i);
    return digest;
}

static fmq_message_report_t a_report(void)
{
    fmq_message_report_t note;
    memset(&note, 0, sizeof note);
    memcpy(note.run, run_id, sizeof run_id);
    note.serial = UINT64_C(1) << 40;
    note.round = 7;
    note.phase = FMQ_REPORT_OFFER;
    note.update = a_digest(9);
    note.update_bytes = 123456789;
    note.samples = 40;
    note.shard_samples = 400;
    note.seconds = 1.25;
    assert_int_equal(fmq_metrics_set(&note.metrics, "train_avg_loss", 2.5, NULL), 0);
    assert_int_equal(fmq_metrics_set(&note.metrics, "train_total", 40, NULL), 0);
    strcpy(note.reason, "no reason");
    strcpy(note.computes, "weights=int4");
    return note;
}

#define ROUND_TRIP(word, note)                                                                     \
    do {                                                                                           \
        unsigned char bytes[FMQ_NOTE_MAX];                                                         \
        fmq_error_t err;                                                                           \
        size_t size = fmq_message_##word##_encode(&(note), bytes, sizeof bytes, &err);             \
        assert_true(size > 0);                                                                     \
        fmq_message_##word##_t back;                                                               \
        memset(&back, 0, sizeof back);                                                             \
        assert_int_equal(fmq_message_##word##_decode(&back, bytes, size, &err), 0);                \
        unsigned char again[FMQ_NOTE_MAX];                                                         \
        assert_int_equal(fmq_message_##word##_encode(&back, again, sizeof again, &err), size);     \
        assert_memory_equal(bytes, again, size);                                                   \
        for (size_t cut = 0; cut < size; cut++) {                                                  \
            fmq_message_##word##_t kept = back;                                                    \
            assert_int_equal(fmq_message_##word##_decode(&kept, bytes, cut, &err), -1);            \
            assert_int_equal(err.code, FMQ_ERR_FORMAT);                                            \
            assert_memory_equal(&kept, &back, sizeof back);                                        \
        }                                                                                          \
        bytes[size] = 0xc0;                                                                        \
        assert_int_equal(fmq_message_##word##_decode(&back, bytes, size + 1, &err), -1);           \
    } while (0)

static void every_note_survives_its_encoding_and_no_cut_of_it_does(void **state)
{
    (void)state;
    fmq_message_run_t run = {.rounds = 50,
                             .clients = 3,
                             .config = a_digest(1),
                             .config_bytes = 900,
                             .model = a_digest(2),
                             .schema = a_digest(3),
                             .meaning = "adapter=lora r=8",
                             .manifest = a_digest(7),
                             .manifest_bytes = 2000};
    memcpy(run.run, run_id, sizeof run_id);
    ROUND_TRIP(run, run);

    fmq_message_task_t task = {.serial = 17,
                               .round = 2,
                               .kind = FMQ_TASK_EVALUATE,
                               .state = a_digest(4),
                               .state_bytes = UINT64_MAX,
                               .emulator = a_digest(8),
                               .emulator_bytes = 77,
                               .codec = 2};
    memcpy(task.run, run_id, sizeof run_id);
    ROUND_TRIP(task, task);

    fmq_message_report_t report = a_report();
    ROUND_TRIP(report, report);

    fmq_message_state_t newest = {.round = 5,
                                  .state = a_digest(5),
                                  .state_bytes = 4,
                                  .emulator = a_digest(9),
                                  .emulator_bytes = 5,
                                  .last = true};
    memcpy(newest.run, run_id, sizeof run_id);
    ROUND_TRIP(state, newest);

    fmq_message_metrics_t metrics = {.round = 5};
    memcpy(metrics.run, run_id, sizeof run_id);
    metrics.metrics = report.metrics;
    ROUND_TRIP(metrics, metrics);

    fmq_message_shard_t shard = {
        .client = 2, .shard = a_digest(6), .shard_bytes = 100, .train = 8, .val = 1, .test = 1};
    ROUND_TRIP(shard, shard);

    fmq_message_done_t done = {.rounds = 5, .failed = true, .reason = "interrupted"};
    memcpy(done.run, run_id, sizeof run_id);
    ROUND_TRIP(done, done);
}

static void the_fields_come_back_as_they_were(void **state)
{
    (void)state;
    fmq_message_report_t note = a_report(), back;
    unsigned char bytes[FMQ_NOTE_MAX];
    size_t size = fmq_message_report_encode(&note, bytes, sizeof bytes, NULL);
    assert_int_equal(fmq_message_report_decode(&back, bytes, size, NULL), 0);
    assert_string_equal(back.run, run_id);
    assert_int_equal(back.serial, note.serial);
    assert_int_equal(back.round, 7);
    assert_int_equal(back.phase, FMQ_REPORT_OFFER);
    assert_memory_equal(&back.update, &note.update, sizeof back.update);
    assert_int_equal(back.update_bytes, 123456789);
    assert_int_equal(back.samples, 40);
    assert_int_equal(back.shard_samples, 400);
    assert_true(back.seconds == 1.25);
    assert_int_equal(back.metrics.size, 2);
    assert_true(*fmq_metrics_get(&back.metrics, "train_avg_loss") == 2.5);
    assert_string_equal(back.reason, "no reason");
    assert_string_equal(back.computes, "weights=int4");
}

/* As peers and personal states of before have it: the last pair is not there. */
static void a_report_without_its_remark_is_understood(void **state)
{
    (void)state;
    fmq_message_report_t note = a_report(), back;
    unsigned char bytes[FMQ_NOTE_MAX];
    size_t size = fmq_message_report_encode(&note, bytes, sizeof bytes, NULL);
    size -= 1 + strlen("computes") + 1 + strlen(note.computes);
    bytes[0]--; /* a map of so many pairs */
    assert_int_equal(fmq_message_report_decode(&back, bytes, size, NULL), 0);
    assert_string_equal(back.reason, "no reason");
    assert_string_equal(back.computes, "");
    size -= 1 + strlen("reason") + 1 + strlen(note.reason);
    bytes[0]--;
    assert_int_equal(fmq_message_report_decode(&back, bytes, size, NULL), -1);
}

static void the_largest_note_fits_into_a_note_of_the_fabric(void **state)
{
    (void)state;
    fmq_message_report_t note = a_report();
    for (size_t i = note.metrics.size; i < FMQ_METRICS_MAX; i++) {
        char name[FMQ_METRIC_NAME_MAX];
        snprintf(name, sizeof name, "%063zu", i);
        assert_int_equal(fmq_metrics_set(&note.metrics, name, 1e300, NULL), 0);
    }
    memset(note.reason, 'r', sizeof note.reason - 1);
    note.reason[sizeof note.reason - 1] = '\0';
    unsigned char bytes[FMQ_NOTE_MAX];
    fmq_error_t err;
    assert_true(fmq_message_report_encode(&note, bytes, sizeof bytes, &err) > 0);
}

static void a_buffer_that_is_too_small_is_an_error(void **state)
{
    (void)state;
    fmq_message_report_t note = a_report();
    unsigned char bytes[40];
    fmq_error_t err;
    assert_int_equal(fmq_message_report_encode(&note, bytes, sizeof bytes, &err), 0);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

/* A done note with pieces to go wrong. */
static size_t forge_done(unsigned char *out, const char *run, const char *reason, bool twice)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, FMQ_NOTE_MAX);
    fmq_pack_map(&packer, twice ? 6 : 5);
    fmq_pack_str(&packer, "from_the_future");
    fmq_pack_array(&packer, 1);
    fmq_pack_nil(&packer);
    if (twice) {
        fmq_pack_str(&packer, "rounds");
        fmq_pack_uint(&packer, 2);
    }
    fmq_pack_str(&packer, "reason");
    fmq_pack_str(&packer, reason);
    fmq_pack_str(&packer, "run");
    fmq_pack_str(&packer, run);
    fmq_pack_str(&packer, "rounds");
    fmq_pack_uint(&packer, 3);
    fmq_pack_str(&packer, "failed");
    fmq_pack_bool(&packer, true);
    return fmq_packer_end(&packer, NULL);
}

static void keys_may_come_in_any_order_and_unknown_ones_are_passed_over(void **state)
{
    (void)state;
    unsigned char bytes[FMQ_NOTE_MAX];
    fmq_message_done_t done;
    assert_int_equal(
        fmq_message_done_decode(&done, bytes, forge_done(bytes, run_id, "ok", false), NULL), 0);
    assert_int_equal(done.rounds, 3);
    assert_true(done.failed);
}

static void a_repeated_key_a_bad_run_and_control_characters_are_refused(void **state)
{
    (void)state;
    unsigned char bytes[FMQ_NOTE_MAX];
    fmq_message_done_t done;
    fmq_error_t err;
    assert_int_equal(
        fmq_message_done_decode(&done, bytes, forge_done(bytes, run_id, "ok", true), &err), -1);
    assert_non_null(strstr(err.text, "twice"));
    assert_int_equal(
        fmq_message_done_decode(&done, bytes, forge_done(bytes, "XYZ", "ok", false), &err), -1);
    assert_non_null(strstr(err.text, "hexadecimal"));
    assert_int_equal(
        fmq_message_done_decode(&done, bytes, forge_done(bytes, run_id, "a\033[2J", false), &err),
        -1);
    assert_non_null(strstr(err.text, "control"));
    assert_int_equal(
        fmq_message_done_decode(&done, bytes, forge_done(bytes, "", "no run yet", false), &err), 0);
}

static void a_choice_beyond_the_last_is_refused(void **state)
{
    (void)state;
    fmq_message_task_t task = {.kind = FMQ_TASK_FINISH}, back;
    unsigned char bytes[FMQ_NOTE_MAX];
    size_t size = fmq_message_task_encode(&task, bytes, sizeof bytes, NULL);
    assert_int_equal(fmq_message_task_decode(&back, bytes, size, NULL), 0);
    int beyond = FMQ_TASK_FINISH + 1;
    memcpy(&task.kind, &beyond, sizeof beyond);
    size = fmq_message_task_encode(&task, bytes, sizeof bytes, NULL);
    assert_int_equal(fmq_message_task_decode(&back, bytes, size, NULL), -1);
}

static void metrics_with_bad_or_repeated_names_are_refused(void **state)
{
    (void)state;
    fmq_message_metrics_t note = {.round = 1}, back;
    unsigned char bytes[FMQ_NOTE_MAX];
    fmq_error_t err;
    fmq_metrics_set(&note.metrics, "a\"b", 1, NULL);
    size_t size = fmq_message_metrics_encode(&note, bytes, sizeof bytes, NULL);
    assert_int_equal(fmq_message_metrics_decode(&back, bytes, size, &err), -1);
    assert_non_null(strstr(err.text, "name"));
    strcpy(note.metrics.items[0].name, "same");
    strcpy(note.metrics.items[1].name, "same");
    note.metrics.size = 2;
    size = fmq_message_metrics_encode(&note, bytes, sizeof bytes, NULL);
    assert_int_equal(fmq_message_metrics_decode(&back, bytes, size, &err), -1);
    assert_non_null(strstr(err.text, "twice"));
}

static void flipping_any_bit_of_a_report_never_crashes_the_decoder(void **state)
{
    (void)state;
    fmq_message_report_t note = a_report(), back;
    unsigned char bytes[FMQ_NOTE_MAX];
    size_t size = fmq_message_report_encode(&note, bytes, sizeof bytes, NULL), refused = 0;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        refused += fmq_message_report_decode(&back, bytes, size, NULL) < 0;
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(refused > size);
}

static void metrics_are_replaced_by_name_and_bounded(void **state)
{
    (void)state;
    fmq_metrics_t metrics = {0};
    fmq_error_t err;
    assert_null(fmq_metrics_get(&metrics, "a"));
    assert_int_equal(fmq_metrics_set(&metrics, "a", 1, NULL), 0);
    assert_int_equal(fmq_metrics_set(&metrics, "a", 2, NULL), 0);
    assert_int_equal(metrics.size, 1);
    assert_true(*fmq_metrics_get(&metrics, "a") == 2);
    for (int i = 1; i < FMQ_METRICS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(fmq_metrics_set(&metrics, name, i, NULL), 0);
    }
    assert_int_equal(fmq_metrics_set(&metrics, "one more", 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(fmq_metrics_set(&metrics, "m5", 50, NULL), 0);
    char name[2 * FMQ_METRIC_NAME_MAX];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(fmq_metrics_set(&metrics, name, 0, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_note_survives_its_encoding_and_no_cut_of_it_does),
        cmocka_unit_test(the_fields_come_back_as_they_were),
        cmocka_unit_test(a_report_without_its_remark_is_understood),
        cmocka_unit_test(the_largest_note_fits_into_a_note_of_the_fabric),
        cmocka_unit_test(a_buffer_that_is_too_small_is_an_error),
        cmocka_unit_test(keys_may_come_in_any_order_and_unknown_ones_are_passed_over),
        cmocka_unit_test(a_repeated_key_a_bad_run_and_control_characters_are_refused),
        cmocka_unit_test(a_choice_beyond_the_last_is_refused),
        cmocka_unit_test(metrics_with_bad_or_repeated_names_are_refused),
        cmocka_unit_test(flipping_any_bit_of_a_report_never_crashes_the_decoder),
        cmocka_unit_test(metrics_are_replaced_by_name_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
