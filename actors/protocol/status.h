/*
 * status.h - how a run stands: the body of the `status` note, and of the file of
 * that name in the run's directory.
 *
 * The server leaves it for observers about once a second.  A msgpack map with the
 * keys of docs/runs.md; a decoder passes over those it does not know.  It names
 * the clients that have something to do first, FMQ_STATUS_CLIENTS_MAX at most, and
 * counts all of them.
 */
#ifndef FEDMQ_ACTORS_PROTOCOL_STATUS_H
#define FEDMQ_ACTORS_PROTOCOL_STATUS_H

#include "fedmq/actors/messages.h"
#include "fedmq/broker/link.h"

#define FMQ_STATUS_NAME           "status"
#define FMQ_STATUS_CLIENTS_MAX    1000
#define FMQ_STATUS_EVALUATORS_MAX 16
#define FMQ_STATUS_BYTES_MAX      FMQ_NOTE_MAX

typedef enum {
    FMQ_RUN_PHASE_PREPARING, /* a model is opened, an emulator aligned */
    FMQ_RUN_PHASE_WAITING,   /* for clients */
    FMQ_RUN_PHASE_TRAINING,
    FMQ_RUN_PHASE_MEASURING,
    FMQ_RUN_PHASE_ENDING, /* evaluators are waited for */
    FMQ_RUN_PHASE_ENDED,
    FMQ_RUN_PHASE_FAILED,
    FMQ_RUN_PHASE_AWAY, /* the server was stopped; the run is not over */
    FMQ_RUN_PHASES
} fmq_run_phase_t;

typedef enum {
    FMQ_STANDING_AWAITED, /* has never been here */
    FMQ_STANDING_JOINING, /* is here, not ready */
    FMQ_STANDING_IDLE,
    FMQ_STANDING_STARTING, /* has a task: fetches its state, waits for its turn */
    FMQ_STANDING_TRAINING, /* step of steps */
    FMQ_STANDING_MEASURING,
    FMQ_STANDING_UPLOADING, /* its update is on its way */
    FMQ_STANDING_DONE,      /* with this round */
    FMQ_STANDING_LEFT_OUT,  /* of this round */
    FMQ_STANDING_GONE,
    FMQ_STANDINGS
} fmq_standing_t;

typedef struct {
    uint32_t client;
    fmq_standing_t standing;
    uint64_t step, steps; /* 0 of 0: not known */
} fmq_status_client_t;

typedef struct {
    char name[FMQ_MEMBER_NAME_MAX];
    bool alive, measured;
    uint32_t round; /* that it measured last, when it has */
} fmq_status_evaluator_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    fmq_run_phase_t phase;
    uint32_t round, rounds; /* complete ones, and all */
    uint32_t clients;
    uint32_t counts[FMQ_STANDINGS];
    double loss;                         /* of the last round; NaN: unknown */
    uint64_t bytes_up, bytes_down;       /* payload of updates and states */
    uint64_t memory;                     /* of the server's process; 0: unknown */
    uint64_t run_seconds, phase_seconds; /* of this server's life, and of the phase */
    uint64_t written_ms;                 /* by the wall clock */
    char reason[FMQ_REASON_MAX];         /* why it ended, or "" */
    uint32_t listed, evaluators;         /* of what follows */
    fmq_status_client_t list[FMQ_STATUS_CLIENTS_MAX];
    fmq_status_evaluator_t evaluator[FMQ_STATUS_EVALUATORS_MAX];
} fmq_status_t;

const char *fmq_run_phase_name(fmq_run_phase_t phase);
/* Has the run ended, well or not?  One whose server is away has not. */
bool fmq_run_phase_is_over(fmq_run_phase_t phase);
const char *fmq_standing_name(fmq_standing_t standing);

/* The size written, or 0 with err. */
size_t fmq_status_encode(const fmq_status_t *self, void *out, size_t capacity, fmq_error_t *err);
/* 0, or -1 with FMQ_ERR_FORMAT; out is untouched then. */
int fmq_status_decode(fmq_status_t *out, const void *data, size_t size, fmq_error_t *err);

#endif
