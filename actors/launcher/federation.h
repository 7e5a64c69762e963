/*
 * federation.h - the actors of this process: started, watched, ended.
 *
 * One function for every subcommand that takes part in a run; what differs is
 * which actors are started and whether the router is here.  Ends when the
 * actor that matters has ended, or at Ctrl-C or SIGTERM, and then in an order
 * in which the server can still write its checkpoint and say goodbye.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_FEDERATION_H
#define FEDMQ_ACTORS_LAUNCHER_FEDERATION_H

#include "actors/launcher/command.h"
#include "actors/storage/directory.h"
#include "fedmq/actors/actors.h"

typedef struct {
    const fmq_config_t *config; /* checked; NULL for a broker alone */
    const char *connect;        /* router elsewhere; NULL: it is here */
    const char *listen;         /* tcp endpoint of the router here, or NULL */
    bool insecure;
    bool server, splitter, evaluator;
    uint32_t first_client, clients; /* which clients are here */
    const llm_records_t *own[3];    /* of the one client or evaluator here */
    const char *evaluator_name;     /* or NULL */
    bool once;
    bool measurements;     /* of the evaluator: JSON lines on standard output */
    bool asked;            /* config is what the run says, not what was given here */
    const char *directory; /* of the run, with a server; or NULL */
    fmq_lock_t *lock;      /* of the directory; it and the directory's files are written when the
                            * run can begin, or go on; or NULL */
    bool resume;           /* the run goes on */
    const char *changes;   /* what it is told otherwise than before; or NULL */
    const char *command;   /* the leader's, for those who come second */
    const char *keepsakes; /* directory below which clients save their models, or NULL */
    bool quiet, json;
    uint64_t permits, threads; /* 0: as the config says */
} fmq_plan_t;

/* Starts everything and waits for the end.  0 when the run ended as it should;
 * -1 with err: FMQ_ERR_STOPPED when interrupted. */
int fmq_federation_run(const fmq_plan_t *plan, fmq_error_t *err);

#endif
