/*
 * messages.c - fuzz target: the notes of actors.  The first byte chooses which.
 * What is accepted must survive being encoded and decoded again.
 */
#include <string.h>

#include "fedmq/actors/messages.h"
#include "fedmq/broker/link.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(word)                                                                                \
    static void check_##word(const uint8_t *data, size_t size)                                     \
    {                                                                                              \
        static unsigned char first[FMQ_NOTE_MAX], second[FMQ_NOTE_MAX];                            \
        fmq_message_##word##_t note, again;                                                        \
        fmq_error_t err;                                                                           \
        if (fmq_message_##word##_decode(&note, data, size, &err) < 0)                              \
            return;                                                                                \
        size_t length = fmq_message_##word##_encode(&note, first, sizeof first, &err);             \
        if (length == 0 || fmq_message_##word##_decode(&again, first, length, &err) < 0 ||         \
            fmq_message_##word##_encode(&again, second, sizeof second, &err) != length ||          \
            memcmp(first, second, length) != 0)                                                    \
            __builtin_trap();                                                                      \
    }

CHECK(run)
CHECK(task)
CHECK(report)
CHECK(state)
CHECK(metrics)
CHECK(shard)
CHECK(done)

static void (*const checks[])(const uint8_t *data, size_t size) = {
    check_run, check_task, check_report, check_state, check_metrics, check_shard, check_done};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        checks[data[0] % (sizeof checks / sizeof *checks)](data + 1, size - 1);
    return 0;
}
