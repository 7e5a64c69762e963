/*
 * messages.c - the keys of every note, and what is said of them.  The table of a
 * note is its definition; fields.c does the work, and docs/runs.md is written from
 * the same tables (tests/actors/message_tables.c).
 */
#include "fedmq/actors/messages.h"

#include <stdio.h>
#include <string.h>

#include "actors/protocol/tables.h"

/* A key, its type, and what is said of it on the page; key and member have one name. */
#define FIELD(word, member, kind, words, says)                                                     \
    {                                                                                              \
#member, kind, offsetof(fmq_message_##word##_t, member), words, says                       \
    }
#define ROW(word, member, kind, says)     FIELD(word, member, FMQ_FIELD_##kind, NULL, says)
#define CHOICE(word, member, words, says) FIELD(word, member, FMQ_FIELD_CHOICE, &words, says)
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
    ROW(run, run, RUN, ""),
    ROW(run, rounds, U32, "`federate.total_round_num`"),
    ROW(run, clients, U32, "`federate.client_num`: clients are `client-1` to `client-<clients>`"),
    ROW(run, config, DIGEST,
        "of the object with the effective configuration as YAML, one chunk after the other"),
    ROW(run, config_bytes, U64, "its size"),
    ROW(run, model, DIGEST, "of the base model; with offsite tuning, of the clients' model"),
    ROW(run, schema, DIGEST, "of the trained tensors (see [below](#the-state))"),
    ROW(run, meaning, REASON,
        "what decides what their numbers mean beside model and schema (see "
        "[below](#what-must-be-the-same))"),
    ROW(run, manifest, DIGEST,
        "of the object that says what the clients' model is made of "
        "([protocol.md](protocol.md#a-model-in-parts))"),
    ROW(run, manifest_bytes, U64, "its size; 0: without offsite tuning"),
};

static const fmq_field_t task_fields[] = {
    ROW(task, run, RUN, ""),
    ROW(task, serial, U64, "grows with every new task of this client; a report quotes it"),
    ROW(task, round, U32, "rounds that are aggregated into the state; 0: the initial one"),
    CHOICE(task, kind, task_kinds, "finish: the client ends"),
    ROW(task, state, DIGEST, "of the object with the state to begin from or to measure"),
    ROW(task, state_bytes, U64, "its size"),
    ROW(task, emulator, DIGEST, "of the emulator's trainable state, with offsite tuning"),
    ROW(task, emulator_bytes, U64, "its size; 0: without offsite tuning"),
    ROW(task, codec, U32, "for the update: 0 f32, 1 f16, 2 bf16"),
};

static const fmq_field_t report_fields[] = {
    ROW(report, run, RUN, "the one of the `run` note; reports of another run are dropped"),
    ROW(report, serial, U64, "of the task; 0 before the first one"),
    ROW(report, round, U32, "of the task"),
    CHOICE(report, phase, report_phases, ""),
    ROW(report, update, DIGEST, "offer: of the object with the new state"),
    ROW(report, update_bytes, U64, "offer: its size"),
    ROW(report, samples, U64,
        "offer: examples that were really used, the update's weight in the mean; at most 2^40"),
    ROW(report, shard_samples, U64, "training examples that the client has"),
    ROW(report, seconds, REAL, "offer and measured: how long it took"),
    ROW(report, metrics, METRICS,
        "offer: of the training (`train_avg_loss`, `train_total`); measured: of the state "
        "(`val_avg_loss`, `val_total`, `test_...`); idle and working: of the records "
        "(`data_records`, and of them `data_unanswered`, `data_too_long`, `data_cut`)"),
    ROW(report, reason, REASON,
        "failed: why; idle, working and measured: why the client takes part in no training, else "
        "empty"),
    ROW(report, computes, REMARK,
        "what it computes with: `train.is_enable_half=False fedmq.weights=f32`, with `auto` as "
        "what that is there"),
};

static const fmq_field_t state_fields[] = {
    ROW(state, run, RUN, ""),
    ROW(state, round, U32, "rounds aggregated into it; 0: the initial state"),
    ROW(state, state, DIGEST, "of the object"),
    ROW(state, state_bytes, U64, "its size"),
    ROW(state, emulator, DIGEST, "as in a task"),
    ROW(state, emulator_bytes, U64, "as in a task"),
    ROW(state, last, BOOL, "none follows"),
};

static const fmq_field_t metrics_fields[] = {
    ROW(metrics, run, RUN, ""),
    ROW(metrics, round, U32,
        "of the state that was measured; a round that has not come yet is dropped"),
    ROW(metrics, metrics, METRICS,
        "of that state; each evaluator is one source in `metrics.jsonl`"),
};

static const fmq_field_t shard_fields[] = {
    ROW(shard, client, U32, "whose shard it is; 0: the data held by the server, for evaluators"),
    ROW(shard, shard, DIGEST, "of the object"),
    ROW(shard, shard_bytes, U64, "its size"),
    ROW(shard, train, U64, "records"),
    ROW(shard, val, U64, "records"),
    ROW(shard, test, U64, "records"),
};

static const fmq_field_t done_fields[] = {
    ROW(done, run, RUN, ""),
    ROW(done, rounds, U32, "that were completed"),
    ROW(done, failed, BOOL, ""),
    ROW(done, reason, REASON, "`finished`, `early stop`, an error"),
};

#define CODEC(word, between, says)                                                                 \
    _Static_assert(sizeof(fmq_message_##word##_t) <= FMQ_FIELDS_STRUCT_MAX, "fits the scratch");   \
    static const fmq_fields_t word##_table = {#word,                                               \
                                              between,                                             \
                                              says,                                                \
                                              word##_fields,                                       \
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

CODEC(run, "server to `*`", "Which run this is, and what all must have in common.")
CODEC(task, "server to a client",
      "What this client shall do now, in place of whatever it was told before.")
CODEC(report, "client or evaluator to the server",
      "What the client has done of its task; whether an evaluator will measure. Only the newest "
      "report counts, so an offer must stand until a newer task comes.")
CODEC(state, "server to `@evaluator` and `@observer`", "The newest state.")
CODEC(metrics, "evaluator to the server", "")
CODEC(shard, "splitter to a client or `@evaluator`", "")
CODEC(done, "server to `*`", "The run has ended. Counts only for those who know its run.")

const fmq_fields_t *fmq_message_table(size_t index)
{
    static const fmq_fields_t *const tables[] = {&run_table,   &task_table,    &report_table,
                                                 &state_table, &metrics_table, &shard_table,
                                                 &done_table};
    return index < sizeof tables / sizeof *tables ? tables[index] : NULL;
}
