/*
 * notes.c - the keys of every note.  The table of a note is its definition;
 * fields.c does the work.
 */
#include "fedmq/actors/notes.h"

#include <stdio.h>
#include <string.h>

#include "actors/notes/fields.h"

#define AT(word, member) offsetof(fmq_note_##word##_t, member)

static const fmq_field_t run_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(run, run), 0},
    {"rounds", FMQ_FIELD_U32, AT(run, rounds), 0},
    {"clients", FMQ_FIELD_U32, AT(run, clients), 0},
    {"config", FMQ_FIELD_DIGEST, AT(run, config), 0},
    {"config_bytes", FMQ_FIELD_U64, AT(run, config_bytes), 0},
    {"model", FMQ_FIELD_DIGEST, AT(run, model), 0},
    {"schema", FMQ_FIELD_DIGEST, AT(run, schema), 0},
    {"manifest", FMQ_FIELD_DIGEST, AT(run, manifest), 0},
    {"manifest_bytes", FMQ_FIELD_U64, AT(run, manifest_bytes), 0},
};

static const fmq_field_t task_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(task, run), 0},
    {"serial", FMQ_FIELD_U64, AT(task, serial), 0},
    {"round", FMQ_FIELD_U32, AT(task, round), 0},
    {"kind", FMQ_FIELD_CHOICE, AT(task, kind), FMQ_TASK_FINISH},
    {"state", FMQ_FIELD_DIGEST, AT(task, state), 0},
    {"state_bytes", FMQ_FIELD_U64, AT(task, state_bytes), 0},
    {"emulator", FMQ_FIELD_DIGEST, AT(task, emulator), 0},
    {"emulator_bytes", FMQ_FIELD_U64, AT(task, emulator_bytes), 0},
    {"codec", FMQ_FIELD_U32, AT(task, codec), 0},
};

static const fmq_field_t report_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(report, run), 0},
    {"serial", FMQ_FIELD_U64, AT(report, serial), 0},
    {"round", FMQ_FIELD_U32, AT(report, round), 0},
    {"phase", FMQ_FIELD_CHOICE, AT(report, phase), FMQ_REPORT_FAILED},
    {"update", FMQ_FIELD_DIGEST, AT(report, update), 0},
    {"update_bytes", FMQ_FIELD_U64, AT(report, update_bytes), 0},
    {"samples", FMQ_FIELD_U64, AT(report, samples), 0},
    {"shard_samples", FMQ_FIELD_U64, AT(report, shard_samples), 0},
    {"seconds", FMQ_FIELD_REAL, AT(report, seconds), 0},
    {"metrics", FMQ_FIELD_METRICS, AT(report, metrics), 0},
    {"reason", FMQ_FIELD_REASON, AT(report, reason), 0},
};

static const fmq_field_t state_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(state, run), 0},
    {"round", FMQ_FIELD_U32, AT(state, round), 0},
    {"state", FMQ_FIELD_DIGEST, AT(state, state), 0},
    {"state_bytes", FMQ_FIELD_U64, AT(state, state_bytes), 0},
    {"emulator", FMQ_FIELD_DIGEST, AT(state, emulator), 0},
    {"emulator_bytes", FMQ_FIELD_U64, AT(state, emulator_bytes), 0},
    {"last", FMQ_FIELD_BOOL, AT(state, last), 0},
};

static const fmq_field_t metrics_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(metrics, run), 0},
    {"round", FMQ_FIELD_U32, AT(metrics, round), 0},
    {"metrics", FMQ_FIELD_METRICS, AT(metrics, metrics), 0},
};

static const fmq_field_t shard_fields[] = {
    {"client", FMQ_FIELD_U32, AT(shard, client), 0},
    {"shard", FMQ_FIELD_DIGEST, AT(shard, shard), 0},
    {"shard_bytes", FMQ_FIELD_U64, AT(shard, shard_bytes), 0},
    {"train", FMQ_FIELD_U64, AT(shard, train), 0},
    {"val", FMQ_FIELD_U64, AT(shard, val), 0},
    {"test", FMQ_FIELD_U64, AT(shard, test), 0},
};

static const fmq_field_t done_fields[] = {
    {"run", FMQ_FIELD_RUN, AT(done, run), 0},
    {"rounds", FMQ_FIELD_U32, AT(done, rounds), 0},
    {"failed", FMQ_FIELD_BOOL, AT(done, failed), 0},
    {"reason", FMQ_FIELD_REASON, AT(done, reason), 0},
};

#define CODEC(word)                                                                                \
    _Static_assert(sizeof(fmq_note_##word##_t) <= FMQ_FIELDS_STRUCT_MAX, "fits the scratch");      \
    static const fmq_fields_t word##_table = {#word, word##_fields,                                \
                                              sizeof word##_fields / sizeof *word##_fields,        \
                                              sizeof(fmq_note_##word##_t)};                        \
    size_t fmq_note_##word##_encode(const fmq_note_##word##_t *note, void *out, size_t capacity,   \
                                    fmq_error_t *err)                                              \
    {                                                                                              \
        return fmq_fields_encode(&word##_table, note, out, capacity, err);                         \
    }                                                                                              \
    int fmq_note_##word##_decode(fmq_note_##word##_t *out, const void *data, size_t size,          \
                                 fmq_error_t *err)                                                 \
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
