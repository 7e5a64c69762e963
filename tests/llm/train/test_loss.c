/*
 * test_loss.c - the cross-entropy with smoothed labels against torch's, on the
 * reference and on the CPU.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fedmq/llm/backend.h"
#include "tests/llm/train/golden_file.h"

#define ROWS  5
#define VOCAB 37

typedef struct {
    json_t *golden;
    double logits[ROWS * VOCAB];
    int32_t targets[ROWS];
    float scale;
} room_t;

static void open_room(room_t *room)
{
    double targets[ROWS];
    room->golden = golden_open("losses.json");
    golden_numbers(json_object_get(room->golden, "logits"), room->logits, ROWS * VOCAB);
    golden_numbers(json_object_get(room->golden, "targets"), targets, ROWS);
    for (size_t m = 0; m < ROWS; m++)
        room->targets[m] = (int32_t)targets[m];
    room->scale = (float)golden_number(room->golden, "scale", NAN);
}

static void assert_near(const float *got, const json_t *list, size_t count, double most)
{
    double want[ROWS * VOCAB];
    golden_numbers(list, want, count);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - want[i]) <= most))
            fail_msg("element %zu is %.9g, not %.9g", i, (double)got[i], want[i]);
}

/* These backends' memory is ordinary memory. */
static void compare(llm_backend_t *be)
{
    room_t room;
    assert_non_null(be);
    open_room(&room);
    const json_t *cases = json_object_get(room.golden, "cases");
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        float logits[ROWS * VOCAB], losses[ROWS];
        llm_cross_entropy_t how = {.smoothing = (float)golden_number(one, "smoothing", NAN)};
        for (size_t j = 0; j < ROWS * VOCAB; j++)
            logits[j] = (float)room.logits[j];
        void *memory = logits;
        be->ops->cross_entropy(be, losses, memory, room.targets, ROWS, VOCAB, &how);
        assert_near(losses, json_object_get(one, "losses"), ROWS, 1e-5);
        assert_near(logits, json_object_get(room.golden, "logits"), ROWS * VOCAB, 0);
        how.scale = room.scale;
        be->ops->cross_entropy(be, losses, memory, room.targets, ROWS, VOCAB, &how);
        assert_near(losses, json_object_get(one, "losses"), ROWS, 1e-5);
        assert_near(logits, json_object_get(one, "gradient"), ROWS * VOCAB, 2e-8);
    }
    json_decref(room.golden);
    llm_backend_destroy(&be);
}

static void the_references_smoothed_loss_is_torchs(void **state)
{
    (void)state;
    compare(llm_backend_reference_new(NULL));
}

static void the_cpus_smoothed_loss_is_torchs(void **state)
{
    (void)state;
    compare(llm_backend_cpu_new(2, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_references_smoothed_loss_is_torchs),
        cmocka_unit_test(the_cpus_smoothed_loss_is_torchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
