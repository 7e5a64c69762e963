/*
 * pipe.c - what an actor and its owner say to each other on the actor's pipe.
 */
#include "actors/runtime/pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/actor.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

/* An address for the checker; nothing is ever kept there. */
static char order;

static void tell_order(void)
{
    __tsan_acquire(&order);
    __tsan_release(&order);
}
#else
static void tell_order(void)
{
}
#endif

typedef struct {
    zactor_fn *actor;
    void *options;
} start_t;

static void begin(zsock_t *pipe, void *argument)
{
    start_t start = *(const start_t *)argument;
    start.actor(pipe, start.options);
    tell_order();
}

zactor_t *fmq_pipe_start(zactor_fn *actor, void *options, const char *what, fmq_error_t *err)
{
    start_t start = {.actor = actor, .options = options};
    tell_order();
    zactor_t *started = fmq_actor_start(begin, &start, what, err);
    tell_order();
    return started;
}

void fmq_pipe_stop(zactor_t **actor_p)
{
    tell_order();
    zactor_destroy(actor_p);
    tell_order();
}

void fmq_pipe_stop_because(zactor_t **actor_p, const fmq_error_t *why)
{
    char status[16];
    snprintf(status, sizeof status, "%d", fmq_error_exit_status(why->code));
    if (*actor_p)
        zstr_sendx(*actor_p, "BECAUSE", status, why->text, NULL);
    fmq_pipe_stop(actor_p);
}

void fmq_pipe_ready(zsock_t *pipe)
{
    tell_order();
    zsock_signal(pipe, 0);
}

void fmq_pipe_done(zsock_t *pipe, const fmq_error_t *err)
{
    char status[16];
    snprintf(status, sizeof status, "%d", fmq_error_exit_status(err->code));
    tell_order();
    zstr_sendx(pipe, "DONE", status, err->text, NULL);
}

static bool readable(void *sock)
{
    return (zsock_events(sock) & ZMQ_POLLIN) != 0;
}

void fmq_pipe_wait(zsock_t *pipe)
{
    bool end = false;
    while (!end) {
        char *word = zstr_recv(pipe);
        end = !word || strcmp(word, "$TERM") == 0;
        zstr_free(&word);
    }
}

static fmq_error_code_t code_of(int status)
{
    for (int code = FMQ_OK; code <= FMQ_ERR_INTERNAL; code++)
        if (fmq_error_exit_status((fmq_error_code_t)code) == status)
            return (fmq_error_code_t)code;
    return FMQ_ERR_INTERNAL;
}

/* Reads a message of three frames: word, exit status, reason. */
static bool take(zmsg_t *message, const char *expected, fmq_error_t *why)
{
    char *word = zmsg_popstr(message);
    char *status = zmsg_popstr(message);
    char *reason = zmsg_popstr(message);
    bool right = word && strcmp(word, expected) == 0;
    if (right)
        fmq_error_set(why, status ? code_of(atoi(status)) : FMQ_ERR_INTERNAL, "%s",
                      reason ? reason : "");
    zstr_free(&word);
    zstr_free(&status);
    zstr_free(&reason);
    return right;
}

bool fmq_pipe_ended(zactor_t *actor, fmq_error_t *why)
{
    bool ended = false;
    while (!ended && readable(actor)) {
        zmsg_t *message = zmsg_recv(actor);
        if (!message)
            return false;
        ended = take(message, "DONE", why);
        tell_order();
        zmsg_destroy(&message);
    }
    return ended;
}

static bool is_term(zmsg_t *message)
{
    zframe_t *word = zmsg_first(message);
    return word && zframe_streq(word, "$TERM");
}

bool fmq_pipe_terminated_because(zsock_t *pipe, fmq_error_t *why)
{
    bool end = false;
    while (!end && readable(pipe)) {
        zmsg_t *message = zmsg_recv(pipe);
        end = !message || is_term(message);
        if (!end)
            take(message, "BECAUSE", why);
        zmsg_destroy(&message);
    }
    return end;
}

bool fmq_pipe_terminated(zsock_t *pipe)
{
    fmq_error_t why;
    return fmq_pipe_terminated_because(pipe, &why);
}
