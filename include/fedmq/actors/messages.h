/*
 * messages.h - what actors tell each other: the bodies of the fabric's notes.
 *
 * Every note is a small msgpack map with a fixed set of keys
 * (docs/runs.md).  Notes are latest-value: whoever reads only the newest one of
 * each knows all there is to know.  Decoders take a stranger's bytes.
 *
 *   topic    from -> to               says
 *   run      server -> *              which run this is, its configuration
 *   task     server -> client-k       what client k shall do now
 *   report   client-k -> server       what client k has done of its task
 *            evaluator -> server      whether it will measure
 *   state    server -> @evaluator     the newest global state
 *            server -> @observer      the same, to read along
 *   metrics  evaluator -> server      measurements of a state
 *   shard    splitter -> client-k     the data of client k (0: server-held data,
 *            splitter -> @evaluator   for evaluators)
 *   done     server -> *              the run has ended
 */
#ifndef FEDMQ_ACTORS_MESSAGES_H
#define FEDMQ_ACTORS_MESSAGES_H

#include <stdbool.h>

#include "fedmq/base/api.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_RUN_ID_SIZE     33 /* 32 hex digits and NUL */
#define FMQ_METRICS_MAX     64 /* of one note */
#define FMQ_METRIC_NAME_MAX 64 /* bytes with NUL */
#define FMQ_REASON_MAX      512

typedef struct {
    char name[FMQ_METRIC_NAME_MAX]; /* "test_avg_loss" */
    double value;
} fmq_metric_t;

typedef struct {
    size_t size;
    fmq_metric_t items[FMQ_METRICS_MAX];
} fmq_metrics_t;

/* Adds or replaces; -1 with FMQ_ERR_LIMIT when full. */
int fmq_metrics_set(fmq_metrics_t *self, const char *name, double value, fmq_error_t *err);
/* NULL when absent. */
const double *fmq_metrics_get(const fmq_metrics_t *self, const char *name);

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t rounds;     /* total_round_num */
    uint32_t clients;    /* client_num */
    fmq_digest_t config; /* object: effective configuration as YAML */
    uint64_t config_bytes;
    fmq_digest_t model;  /* llm_model_digest(): all must hold the same base model */
    fmq_digest_t schema; /* of the trainable state */
    /* What decides what that state's numbers mean beside model and schema, as
     * fmq_context_meaning() has it: all must say the same. */
    char meaning[FMQ_REASON_MAX];
    /* With offsite tuning: model is the digest of the client's model, and this
     * object says what that is made of (docs/offsite.md).  Else 0 bytes. */
    fmq_digest_t manifest;
    uint64_t manifest_bytes;
} fmq_message_run_t;

typedef enum { FMQ_TASK_WAIT, FMQ_TASK_TRAIN, FMQ_TASK_EVALUATE, FMQ_TASK_FINISH } fmq_task_kind_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint64_t serial; /* grows with every new task of this client; reports quote it */
    uint32_t round;
    fmq_task_kind_t kind;
    fmq_digest_t state; /* object of the global state */
    uint64_t state_bytes;
    fmq_digest_t emulator; /* object of E's vector; with offsite tuning, else 0 bytes */
    uint64_t emulator_bytes;
    uint32_t codec; /* for the update */
} fmq_message_task_t;

typedef enum {
    FMQ_REPORT_IDLE,     /* ready; serial 0 */
    FMQ_REPORT_WORKING,  /* fetching or training */
    FMQ_REPORT_OFFER,    /* trained: the update is published for the server */
    FMQ_REPORT_MEASURED, /* evaluated: metrics */
    FMQ_REPORT_FAILED    /* could not do it: reason */
} fmq_report_phase_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint64_t serial; /* of the task */
    uint32_t round;
    fmq_report_phase_t phase;
    fmq_digest_t update; /* OFFER */
    uint64_t update_bytes;
    uint64_t samples;       /* OFFER: really used */
    uint64_t shard_samples; /* training examples of this client (join_in_info's num_sample) */
    double seconds;
    fmq_metrics_t metrics;
    char reason[FMQ_REASON_MAX];
    char computes[FMQ_REASON_MAX]; /* fmq_context_computes(); "": an older peer */
} fmq_message_report_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round; /* rounds aggregated into it; 0: the initial state */
    fmq_digest_t state;
    uint64_t state_bytes;
    fmq_digest_t emulator; /* as in a task */
    uint64_t emulator_bytes;
    bool last;
} fmq_message_state_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round;
    fmq_metrics_t metrics;
} fmq_message_metrics_t;

typedef struct {
    uint32_t client;    /* 0: server-held */
    fmq_digest_t shard; /* object: JSON Lines of train, val, test (docs/runs.md) */
    uint64_t shard_bytes;
    uint64_t train, val, test; /* records */
} fmq_message_shard_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t rounds; /* rounds that were completed */
    bool failed;
    char reason[FMQ_REASON_MAX]; /* "finished", "early stop", "interrupted", an error */
} fmq_message_done_t;

/* Each encoder returns the size written into out (capacity bytes), or 0 with
 * err.  Each decoder returns 0, or -1 with FMQ_ERR_FORMAT; *out is untouched
 * on failure. */
#define FMQ_MESSAGE_CODEC(word)                                                                    \
    size_t fmq_message_##word##_encode(const fmq_message_##word##_t *note, void *out,              \
                                       size_t capacity, fmq_error_t *err);                         \
    int fmq_message_##word##_decode(fmq_message_##word##_t *out, const void *data, size_t size,    \
                                    fmq_error_t *err);

FMQ_MESSAGE_CODEC(run)
FMQ_MESSAGE_CODEC(task)
FMQ_MESSAGE_CODEC(report)
FMQ_MESSAGE_CODEC(state)
FMQ_MESSAGE_CODEC(metrics)
FMQ_MESSAGE_CODEC(shard)
FMQ_MESSAGE_CODEC(done)

#undef FMQ_MESSAGE_CODEC

FMQ_API_END

#endif
