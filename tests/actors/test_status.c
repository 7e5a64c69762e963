/*
 * test_status.c - a run's status on the wire, as lines and as JSON.
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
#include <jansson.h>

#include "actors/launcher/status_view.h"

static fmq_status_t *status_of(uint32_t clients)
{
    fmq_status_t *status = calloc(1, sizeof *status);
    assert_non_null(status);
    (void)snprintf(status->run, sizeof status->run, "0123456789abcdef0123456789abcdef");
    status->phase = FMQ_RUN_PHASE_TRAINING;
    status->round = 3;
    status->rounds = 44;
    status->clients = clients;
    status->loss = 1.25;
    status->bytes_up = 12300000;
    status->memory = 123000000;
    status->run_seconds = 65;
    status->written_ms = 1700000000123;
    for (uint32_t i = 0; i < clients && i < FMQ_STATUS_CLIENTS_MAX; i++) {
        fmq_standing_t standing = (fmq_standing_t)(i % FMQ_STANDINGS);
        status->list[status->listed++] =
            (fmq_status_client_t){.client = 65000 + i % 500,
                                  .standing = standing,
                                  .step = standing == FMQ_STANDING_TRAINING ? UINT64_MAX / 2 : 0,
                                  .steps = standing == FMQ_STANDING_TRAINING ? UINT64_MAX : 0};
        status->counts[standing]++;
    }
    status->evaluators = 1;
    (void)snprintf(status->evaluator[0].name, sizeof status->evaluator[0].name, "evaluator-1");
    status->evaluator[0].alive = status->evaluator[0].measured = true;
    status->evaluator[0].round = 2;
    return status;
}

static void a_status_with_as_many_clients_as_it_names_fits_a_note_and_comes_back(void **state)
{
    (void)state;
    static uint8_t body[FMQ_STATUS_BYTES_MAX];
    fmq_status_t *status = status_of(FMQ_STATUS_CLIENTS_MAX), *back = calloc(1, sizeof *back);
    memset(status->reason, 'x', sizeof status->reason - 1);
    size_t size = fmq_status_encode(status, body, sizeof body, NULL);
    assert_true(size > 0);
    assert_int_equal(fmq_status_decode(back, body, size, NULL), 0);
    assert_memory_equal(back, status, sizeof *back);
    status->loss = NAN;
    size = fmq_status_encode(status, body, sizeof body, NULL);
    assert_int_equal(fmq_status_decode(back, body, size, NULL), 0);
    assert_true(isnan(back->loss));
    free(back);
    free(status);
}

/* Every beginning of a status is refused, and every byte may be any other without
 * harm; texts that reach a terminal have no control characters. */
static void a_strangers_bytes_do_no_harm(void **state)
{
    (void)state;
    static uint8_t body[FMQ_STATUS_BYTES_MAX];
    fmq_error_t err;
    fmq_status_t *status = status_of(12), *out = calloc(1, sizeof *out);
    size_t size = fmq_status_encode(status, body, sizeof body, NULL);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(fmq_status_decode(out, body, i, &err), -1);
        uint8_t kept = body[i];
        for (int flip = 1; flip < 256; flip <<= 1) {
            body[i] = (uint8_t)(kept ^ flip);
            if (fmq_status_decode(out, body, size, &err) == 0) {
                assert_true(out->listed <= FMQ_STATUS_CLIENTS_MAX);
                free(fmq_status_json(out, false));
            }
        }
        body[i] = kept;
    }
    (void)snprintf(status->reason, sizeof status->reason, "a\033[2Jb");
    size = fmq_status_encode(status, body, sizeof body, NULL);
    assert_int_equal(fmq_status_decode(out, body, size, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    free(out);
    free(status);
}

/* What is printed, NUL behind it. */
static char *printed(const fmq_status_t *status, bool stopped)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fmq_status_print(status, stopped, out);
    (void)fclose(out);
    return text;
}

static void lines_fit_eighty_columns_and_name_the_busy_first(void **state)
{
    (void)state;
    fmq_status_t *status = status_of(1000);
    memset(status->reason, 'x', sizeof status->reason - 1);
    char *text = printed(status, false), *rest = NULL;
    unsigned lines = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(strlen(line) <= FMQ_STATUS_WIDTH);
        assert_null(strstr(line, "client-65000 ")); /* awaited: not while others are busy */
        lines++;
    }
    assert_in_range(lines, FMQ_STATUS_ROWS, FMQ_STATUS_ROWS + 8);
    free(text);
    free(status);
}

static void who_asks_is_told_phase_round_loss_traffic_and_states(void **state)
{
    (void)state;
    fmq_status_t *status = status_of(5);
    char *text = printed(status, false);
    assert_non_null(
        strstr(text, "run 0123456789ab  round 3 of 44  training for 0:00  1:05 in all"));
    assert_non_null(strstr(text, "loss 1.2500  up 12.3 MB  down 0 B  memory 123.0 MB"));
    assert_non_null(
        strstr(text, "clients 5: 1 awaited, 1 joining, 1 idle, 1 starting, 1 training"));
    assert_non_null(strstr(text, "evaluator-1    here, measured round 2"));
    free(text);
    text = printed(status, true); /* its process was killed */
    assert_non_null(strstr(text, "stopped"));
    assert_null(strstr(text, "client-65004"));
    free(text);
    free(status);
}

static void json_says_the_same(void **state)
{
    (void)state;
    fmq_status_t *status = status_of(5);
    char *text = fmq_status_json(status, false);
    json_t *all = json_loads(text, 0, NULL);
    assert_non_null(all);
    assert_string_equal(json_string_value(json_object_get(all, "phase")), "training");
    assert_int_equal(json_integer_value(json_object_get(all, "round")), 3);
    json_t *row = json_array_get(json_object_get(all, "list"), 4);
    assert_string_equal(json_string_value(json_object_get(row, "state")), "training");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(all, "counts"), "idle")),
                     1);
    json_decref(all);
    free(text);
    status->loss = NAN;
    text = fmq_status_json(status, true);
    assert_non_null(strstr(text, "\"loss\":null"));
    assert_non_null(strstr(text, "\"phase\":\"stopped\""));
    free(text);
    free(status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_with_as_many_clients_as_it_names_fits_a_note_and_comes_back),
        cmocka_unit_test(a_strangers_bytes_do_no_harm),
        cmocka_unit_test(lines_fit_eighty_columns_and_name_the_busy_first),
        cmocka_unit_test(who_asks_is_told_phase_round_loss_traffic_and_states),
        cmocka_unit_test(json_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
