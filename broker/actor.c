/*
 * actor.c - starting an actor's thread where the system may refuse it.
 */
#include "broker/actor.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/socket.h"

#define THREADS 3 /* the actor's, and those that libzmq starts with its first socket */
#define PIPES   2 /* of two files each: an actor's two sockets, and one to spare */

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t go;
    bool gone;
} gate_t;

static void *wait_at(void *argument)
{
    gate_t *gate = argument;
    pthread_mutex_lock(&gate->lock);
    while (!gate->gone)
        pthread_cond_wait(&gate->go, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return NULL;
}

int fmq_threads_try(size_t wanted, size_t *got)
{
    gate_t gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .go = PTHREAD_COND_INITIALIZER};
    pthread_t *threads = calloc(wanted ? wanted : 1, sizeof *threads);
    int failed = threads ? 0 : ENOMEM;
    size_t started = 0;
    while (!failed && started < wanted) {
        failed = pthread_create(&threads[started], NULL, wait_at, &gate);
        started += failed == 0;
    }
    pthread_mutex_lock(&gate.lock);
    gate.gone = true;
    pthread_cond_broadcast(&gate.go);
    pthread_mutex_unlock(&gate.lock);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    *got = started;
    return failed;
}

/* The stack of a thread that has ended is kept by the C library for the next. */
static int ask_for_threads(const char *what, fmq_error_t *err)
{
    size_t got = 0;
    int failed = fmq_threads_try(THREADS, &got);
    if (!failed)
        return 0;
    return fmq_error_set(err, FMQ_ERR_NOMEM,
                         "no thread can be started for %s: %s; raise 'ulimit -u', 'ulimit -v' "
                         "or the container's limit of processes",
                         what, strerror(failed));
}

static int ask_for_files(const char *what, fmq_error_t *err)
{
    struct rlimit files = {0};
    int ends[2 * PIPES], made = 0;
    while (made < PIPES && pipe(ends + 2 * made) == 0)
        made++;
    int failed = errno;
    for (int i = 0; i < 2 * made; i++)
        close(ends[i]);
    if (made == PIPES)
        return 0;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    return fmq_error_set(err, FMQ_ERR_NOMEM,
                         "no file can be opened for %s: %s; raise 'ulimit -n', which is %llu", what,
                         strerror(failed), (unsigned long long)files.rlim_cur);
}

int fmq_actor_ask(const char *what, fmq_error_t *err)
{
    fmq_fabric_init();
    return ask_for_files(what, err) < 0 || ask_for_threads(what, err) < 0 ? -1 : 0;
}

zactor_t *fmq_actor_start(zactor_fn *actor, void *argument, const char *what, fmq_error_t *err)
{
    static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
    zactor_t *started = NULL;
    pthread_mutex_lock(&starting);
    if (fmq_actor_ask(what, err) == 0) {
        started = zactor_new(actor, argument);
        if (!started)
            fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %s", what);
    }
    pthread_mutex_unlock(&starting);
    return started;
}
