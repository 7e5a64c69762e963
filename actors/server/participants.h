/*
 * participants.h - who is here, who was asked, who has answered, and what follows.
 *
 * This is a server's whole knowledge about its clients as far as going on
 * is concerned.  It does no I/O and reads no clock: facts and the time are
 * told to it, and fmq_participants_decide() says what they mean.
 *
 *   WAITING ----BEGIN----> ASKING ----FULL/PARTIAL----> ASKING (the next exchange)
 *                                                          or ENDING
 */
#ifndef FEDMQ_ACTORS_SERVER_PARTICIPANTS_H
#define FEDMQ_ACTORS_SERVER_PARTICIPANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "actors/strategy/strategy.h"
#include "fedmq/base/error.h"

#define FMQ_PARTICIPANTS_MAX            65536
#define FMQ_PARTICIPANTS_STALL_FACTOR   10
#define FMQ_PARTICIPANTS_STALL_MIN_MS   300000
#define FMQ_PARTICIPANTS_STALL_FIRST_MS 3600000

typedef enum {
    FMQ_PHASE_WAITING, /* for enough clients */
    FMQ_PHASE_ASKING,  /* an exchange is open: asked clients train or measure */
    FMQ_PHASE_ENDING   /* nothing is asked any more */
} fmq_phase_t;

typedef enum {
    FMQ_DECIDE_STAY,
    FMQ_DECIDE_BEGIN,   /* WAITING: enough clients are ready */
    FMQ_DECIDE_FULL,    /* everybody who was asked is settled */
    FMQ_DECIDE_PARTIAL, /* go on without those who are missing */
    FMQ_DECIDE_ASK_MORE /* those who are missing are gone and others could take their place */
} fmq_decision_t;

typedef struct {
    uint32_t min_ready;  /* clients that must be ready for BEGIN, at least 1 */
    uint32_t quorum;     /* answers that a round needs to close without the rest, at least 1 */
    int64_t deadline_ms; /* after opening; 0: none */
    int64_t grace_ms;    /* how long a missing client may be gone */
    int64_t progress_ms; /* how long one may be here without progress; 0: as long as
                          * FMQ_PARTICIPANTS_STALL_FACTOR times what anybody needed for a step so
                          * far, at least FMQ_PARTICIPANTS_STALL_MIN_MS;
                          * FMQ_PARTICIPANTS_STALL_FIRST_MS before that */
} fmq_participants_limits_t;

typedef struct {
    bool alive;     /* a member of the fabric */
    bool ready;     /* has reported for this run */
    bool asked;     /* in this phase */
    bool answered;  /* its update is durable, or its metrics are here */
    bool left_out;  /* asked, but nothing usable came */
    bool untrained; /* has said why it takes part in no training */
    int64_t gone_ms;
    int64_t moved_ms;     /* its last sign of progress in this phase; 0: none yet */
    uint64_t step, steps; /* of its task, as its heartbeats say; 0 of 0: not known */
} fmq_participant_t;

#define FMQ_PARTICIPANTS_REASON_MAX 256

typedef struct {
    fmq_participants_limits_t limits;
    fmq_phase_t phase;
    const fmq_exchange_t *exchange; /* borrowed: the newest that was open; NULL: none was yet */
    int64_t opened_ms;
    int64_t slowest_ms; /* the longest that anybody needed from one sign of progress to the next */
    uint32_t clients;
    fmq_participant_t *all; /* owned; client k is at k - 1 */
    /* "client 3: reason", whoever was left out last since reasons were forgotten; "": nobody */
    char because[FMQ_PARTICIPANTS_REASON_MAX];
} fmq_participants_t;

int fmq_participants_init(fmq_participants_t *self, uint32_t clients,
                          const fmq_participants_limits_t *limits, fmq_error_t *err);
void fmq_participants_release(fmq_participants_t *self);

/* Client k, or NULL when there is no client of that number. */
fmq_participant_t *fmq_participants_find(fmq_participants_t *self, uint32_t client);

/* Facts.  A number of no client is ignored. */
void fmq_participants_arrived(fmq_participants_t *self, uint32_t client);
void fmq_participants_left(fmq_participants_t *self, uint32_t client, int64_t now_ms);
void fmq_participants_is_ready(fmq_participants_t *self, uint32_t client);
void fmq_participants_is_unready(fmq_participants_t *self, uint32_t client);
/* Whether a client has anything to train on; one that has not is waited for
 * neither here nor gone. */
void fmq_participants_is_untrained(fmq_participants_t *self, uint32_t client, bool untrained);
void fmq_participants_answered(fmq_participants_t *self, uint32_t client);
/* One that was asked and has not answered will bring nothing usable in this phase. */
void fmq_participants_leave_out(fmq_participants_t *self, uint32_t client, const char *reason);
void fmq_participants_forget_reasons(fmq_participants_t *self);
/* From now on one that is ready is enough to begin. */
void fmq_participants_any_begins(fmq_participants_t *self);

/* A client that was asked has done a step, or all of them.  Or it has got on
 * otherwise, or could not for a reason that is not its own (it waits for us, or
 * we did not listen): then it begins anew to be waited for, and nothing is
 * learnt of how long a step takes. */
void fmq_participants_moved(fmq_participants_t *self, uint32_t client, int64_t now_ms);
void fmq_participants_excuse(fmq_participants_t *self, uint32_t client, int64_t now_ms);
/* A sign of life, with how far it says that it is: step of steps; of 0 it fetches, or waits for a
 * permit, which is no measure of a step. */
void fmq_participants_heard(fmq_participants_t *self, uint32_t client, uint64_t step,
                            uint64_t steps, int64_t now_ms);

/* The first client that is here and was asked, but has made no progress for too
 * long; 0: there is none.  *since_ms: for how long. */
uint32_t fmq_participants_stalled(const fmq_participants_t *self, int64_t now_ms,
                                  int64_t *since_ms);
/* How long is too long now. */
int64_t fmq_participants_stall_limit(const fmq_participants_t *self);

/* Opens an exchange, which stays borrowed, in which nobody is asked yet, or (NULL) waits for
 * clients again; asks; and asks nothing any more. */
void fmq_participants_open(fmq_participants_t *self, const fmq_exchange_t *exchange,
                           int64_t now_ms);
void fmq_participants_end(fmq_participants_t *self, int64_t now_ms);
void fmq_participants_ask(fmq_participants_t *self, uint32_t client);

typedef struct {
    uint32_t ready; /* alive and ready */
    uint32_t asked, answered, left_out;
    uint32_t missing; /* asked and neither answered nor left out */
    uint32_t gone;    /* of them, gone for longer than the grace */
    uint32_t spare;   /* ready, not asked, and with something to train on */
    uint32_t useless; /* gone, with nothing to train on */
} fmq_participants_count_t;

fmq_participants_count_t fmq_participants_count(const fmq_participants_t *self, int64_t now_ms);

/* What the facts mean at now_ms.  Changes nothing. */
fmq_decision_t fmq_participants_decide(const fmq_participants_t *self, int64_t now_ms);

/* When deciding again could give something else although nothing happened:
 * milliseconds from now_ms, at most `most`. */
int fmq_participants_patience(const fmq_participants_t *self, int64_t now_ms, int most);

#endif
