/*
 * messages.c - the keys of every note.  The table of a note is its definition;
 * fields.c does the work, and docs/runs.md shows the same tables.
 */
#include "fedmq/actors/messages.h"

#include <stdio.h>
#include <string.h>

#include "actors/protocol/tables.h"

#define AT(word, member) offsetof(fmq_message_##word##_t, member)
#define WORDS(list)                                                                                \
    {                                                                                              \
        list, sizeof(list) / sizeof *(list)                                                        \
    }

static const char *const task_kind_words[] = {[FMQ_TASK_WAIT] = "wait",
                                              [FMQ_TASK_TRAIN] = "train",
                                              [FMQ_TASK_EVALUATE] = "evaluate",
                                              [FMQ_TASK_FINISH] = "finish"};
static const fmq_field_words_t task_kinds = WORDS(task_kind_words);

static const char *const report_phase_words[] = {[FMQ_REPORT_IDLE] = "idle",
                                                 [FMQ_REPORT_WORKING] = "working",
                                                 [FMQ_REPORT_OFFER] = "offer",
                                                 [FMQ_REPORT_MEASURED] = "measured",
                                                 [FMQ_REPORT_FAILED] = "failed"};
static const fmq_field_words_t report_phases = WORDS(report_phase_words);

static const fmq_field_t run_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(run, run), NULL},
    {"rounds", FMQ_FIELD_U32, AT(run, rounds), NULL},
    {"clients", FMQ_FIELD_U32, AT(run, clients), NULL},
    {"config", FMQ_FIELD_DIGEST, AT(run, config), NULL},
    {"config_bytes", FMQ_FIELD_U64, AT(run, config_bytes), NULL},
    {"model", FMQ_FIELD_DIGEST, AT(run, model), NULL},
    {"schema", FMQ_FIELD_DIGEST, AT(run, schema), NULL},
    {"meaning", FMQ_FIELD_REASON, AT(run, meaning), NULL},
    {"manifest", FMQ_FIELD_DIGEST, AT(run, manifest), NULL},
    {"manifest_bytes", FMQ_FIELD_U64, AT(run, manifest_bytes), NULL},
};

static const fmq_field_t task_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(task, run), NULL},
    {"serial", FMQ_FIELD_U64, AT(task, serial), NULL},
    {"round", FMQ_FIELD_U32, AT(task, round), NULL},
    {"kind", FMQ_FIELD_CHOICE, AT(task, kind), &task_kinds},
    {"state", FMQ_FIELD_DIGEST, AT(task, state), NULL},
    {"state_bytes", FMQ_FIELD_U64, AT(task, state_bytes), NULL},
    {"emulator", FMQ_FIELD_DIGEST, AT(task, emulator), NULL},
    {"emulator_bytes", FMQ_FIELD_U64, AT(task, emulator_bytes), NULL},
    {"codec", FMQ_FIELD_U32, AT(task, codec), NULL},
};

static const fmq_field_t report_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(report, run), NULL},
    {"serial", FMQ_FIELD_U64, AT(report, serial), NULL},
    {"round", FMQ_FIELD_U32, AT(report, round), NULL},
    {"phase", FMQ_FIELD_CHOICE, AT(report, phase), &report_phases},
    {"update", FMQ_FIELD_DIGEST, AT(report, update), NULL},
    {"update_bytes", FMQ_FIELD_U64, AT(report, update_bytes), NULL},
    {"samples", FMQ_FIELD_U64, AT(report, samples), NULL},
    {"shard_samples", FMQ_FIELD_U64, AT(report, shard_samples), NULL},
    {"seconds", FMQ_FIELD_REAL, AT(report, seconds), NULL},
    {"metrics", FMQ_FIELD_METRICS, AT(report, metrics), NULL},
    {"reason", FMQ_FIELD_REASON, AT(report, reason), NULL},
    {"computes", FMQ_FIELD_REMARK, AT(report, computes), NULL},
};

static const fmq_field_t state_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(state, run), NULL},
    {"round", FMQ_FIELD_U32, AT(state, round), NULL},
    {"state", FMQ_FIELD_DIGEST, AT(state, state), NULL},
    {"state_bytes", FMQ_FIELD_U64, AT(state, state_bytes), NULL},
    {"emulator", FMQ_FIELD_DIGEST, AT(state, emulator), NULL},
    {"emulator_bytes", FMQ_FIELD_U64, AT(state, emulator_bytes), NULL},
    {"last", FMQ_FIELD_BOOL, AT(state, last), NULL},
};

static const fmq_field_t metrics_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(metrics, run), NULL},
    {"round", FMQ_FIELD_U32, AT(metrics, round), NULL},
    {"metrics", FMQ_FIELD_METRICS, AT(metrics, metrics), NULL},
};

static const fmq_field_t shard_fields[] = {
    {"client", FMQ_FIELD_U32, AT(shard, client), NULL},
    {"shard", FMQ_FIELD_DIGEST, AT(shard, shard), NULL},
    {"shard_bytes", FMQ_FIELD_U64, AT(shard, shard_bytes), NULL},
    {"train", FMQ_FIELD_U64, AT(shard, train), NULL},
    {"val", FMQ_FIELD_U64, AT(shard, val), NULL},
    {"test", FMQ_FIELD_U64, AT(shard, test), NULL},
};

static const fmq_field_t done_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(done, run), NULL},
    {"rounds", FMQ_FIELD_U32, AT(done, rounds), NULL},
    {"failed", FMQ_FIELD_BOOL, AT(done, failed), NULL},
    {"reason", FMQ_FIELD_REASON, AT(done, reason), NULL},
};

#define CODEC(word)                                                                                \
    _Static_assert(sizeof(fmq_message_##word##_t) <= FMQ_FIELDS_STRUCT_MAX, "fits the scratch");   \
    static const fmq_fields_t word##_table = {#word, word##_fields,                                \
                                              sizeof word##_fields / sizeof *word##_fields,        \
                                              sizeof(fmq_message_##word##_t)};                     \
    size_t fmq_message_##word##_encode(const fmq_message_##word##_t *note, void *out,              \
                                       size_t capacity, fmq_error_t *err)                          \
    {                                                                                              \
        return fmq_fields_encode(&word##_table, note, out, capacity, err);                         \
    }                                                                                              \
    int fmq_message_##word##_decode(fmq_message_##word##_t *out, const void *data, size_t size,    \
                                    fmq_error_t *err)                                              \
    {                                                                                              \
        return fmq_fields_decode(&word##_table, out, data, size, err);                             \
    }

CODEC(run)
CODEC(task)
CODEC(report)
CODEC(state)
CODEC(metrics)
CODEC(shard)
CODEC(done)

const fmq_fields_t *fmq_message_table(size_t index)
{
    static const fmq_fields_t *const tables[] = {&run_table,   &task_table,    &report_table,
                                                 &state_table, &metrics_table, &shard_table,
                                                 &done_table};
    return index < sizeof tables / sizeof *tables ? tables[index] : NULL;
}
