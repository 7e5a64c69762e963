/*
 * process.c - what this process may take of the system, and what it will need.
 */
#define _GNU_SOURCE /* pthread_setattr_default_np, RLIMIT_NPROC */
#include "actors/launcher/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/launcher/reserve.h"
#include "base/proc.h"
#include "broker/actor.h"
#include "broker/socket.h"

#define GUARD_BYTES   (16u << 10)       /* what lies around it */
#define STACK_BYTES   ((size_t)1 << 20) /* of a thread; address space, not memory */
#define ARENAS_MAX    1  /* where address space is limited: each takes 64 MiB of it */
#define FILES_SPARE   28 /* data, model, checkpoints, sockets of libzmq's own */
#define THREADS_SPARE 12 /* router, libzmq, writers, the hub, those that give clients turns */
#define BYTES_SPARE   (16u << 20)

static uint64_t limit_of(int resource)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

/* Bytes of address space in use. */
static uint64_t address_space(void)
{
    uint64_t pages = fmq_proc_number("/proc/self/statm");
    return pages == UINT64_MAX ? 0 : pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void make_stacks_smaller(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return;
    if (pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0)
        (void)pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
#endif
}

int fmq_process_prepare(fmq_error_t *err)
{
    make_stacks_smaller();
    if (limit_of(RLIMIT_AS) != UINT64_MAX || limit_of(RLIMIT_DATA) != UINT64_MAX)
        (void)mallopt(M_ARENA_MAX, ARENAS_MAX);
    return fmq_reserve_open(err);
}

/* Files that are open now, those beyond the first thousand left out. */
static uint64_t open_files(void)
{
    uint64_t open = 0;
    for (int i = 0; i < 1024; i++)
        open += fcntl(i, F_GETFD) >= 0;
    return open;
}

static int ask_for_files(const fmq_needs_t *needs, fmq_error_t *err)
{
    uint64_t wanted =
        (uint64_t)needs->actors * FMQ_ACTOR_FILES + needs->peers + FILES_SPARE + open_files();
    uint64_t there = limit_of(RLIMIT_NOFILE);
    if (wanted <= there)
        return 0;
    return fmq_error_set(err, FMQ_ERR_NOMEM,
                         "this process%s needs %llu open files, and 'ulimit -n' allows "
                         "%llu: raise it to %llu or more (limits.conf, systemd's LimitNOFILE, "
                         "docker's --ulimit nofile)",
                         needs->peers > 0 ? ", with the clients that join it," : "",
                         (unsigned long long)wanted, (unsigned long long)there,
                         (unsigned long long)wanted);
}

/* Adds "name N" for a limit that is one. */
static void add_limit(char *text, size_t size, const char *name, uint64_t limit)
{
    size_t used = strlen(text);
    if (limit != UINT64_MAX)
        snprintf(text + used, size - used, "%s%s %llu", used ? ", " : "", name,
                 (unsigned long long)limit);
}

static uint64_t threads_of(const fmq_needs_t *needs)
{
    return (uint64_t)needs->actors + needs->threads + THREADS_SPARE;
}

static int ask_for_threads(const fmq_needs_t *needs, fmq_error_t *err)
{
    size_t got = 0, wanted = (size_t)threads_of(needs);
    int failed = fmq_threads_try(wanted, &got);
    if (!failed)
        return 0;
    char limits[512] = "";
    add_limit(limits, sizeof limits, "'ulimit -u'", limit_of(RLIMIT_NPROC));
    add_limit(limits, sizeof limits, "the cgroup's pids.max",
              fmq_proc_number("/sys/fs/cgroup/pids.max"));
    add_limit(limits, sizeof limits, "kernel.threads-max",
              fmq_proc_number("/proc/sys/kernel/threads-max"));
    add_limit(limits, sizeof limits, "vm.max_map_count (two a thread)",
              fmq_proc_number("/proc/sys/vm/max_map_count"));
    if (limit_of(RLIMIT_AS) != UINT64_MAX)
        add_limit(limits, sizeof limits, "'ulimit -v' in KiB", limit_of(RLIMIT_AS) >> 10);
    return fmq_error_set(
        err, FMQ_ERR_NOMEM,
        "this process needs %zu threads, and the system gives %zu (%s): "
        "raise the limit that is in the way (%s), or ask for less: fedmq.permits, fedmq.threads",
        wanted, got, strerror(failed), limits);
}

static uint64_t bytes_of(const fmq_needs_t *needs)
{
    return (uint64_t)needs->actors * FMQ_ACTOR_BYTES + (uint64_t)needs->clients * FMQ_CLIENT_BYTES +
           BYTES_SPARE;
}

static int ask_for_space(const fmq_needs_t *needs, fmq_error_t *err)
{
    uint64_t wanted = threads_of(needs) * (STACK_BYTES + GUARD_BYTES) + bytes_of(needs);
    uint64_t limit = limit_of(RLIMIT_AS), used = address_space();
    if (limit == UINT64_MAX || used + wanted <= limit)
        return 0;
    return fmq_error_set(
        err, FMQ_ERR_NOMEM,
        "%u clients in one process need %llu MiB of address space, beside %llu MiB "
        "that are in use, and 'ulimit -v' allows %llu MiB: raise it to %llu (KiB) "
        "or more, or run fewer clients in a process",
        needs->clients, (unsigned long long)(wanted >> 20), (unsigned long long)(used >> 20),
        (unsigned long long)(limit >> 20), (unsigned long long)((used + wanted) >> 10));
}

static int ask_for_memory(const fmq_needs_t *needs, fmq_error_t *err)
{
    uint64_t wanted = bytes_of(needs);
    bool container = false;
    uint64_t there = fmq_proc_memory(&container);
    const char *whose = container ? "the container's memory.max leaves" : "the machine has";
    if (wanted <= there)
        return 0;
    return fmq_error_set(
        err, FMQ_ERR_NOMEM,
        "%u clients in one process need %llu MiB of memory, and %s %llu MiB: raise "
        "that, or run fewer clients in a process",
        needs->clients, (unsigned long long)(wanted >> 20), whose,
        (unsigned long long)(there >> 20));
}

int fmq_process_ask(const fmq_needs_t *needs, fmq_error_t *err)
{
    fmq_files_raise();
    if (ask_for_files(needs, err) < 0 || ask_for_space(needs, err) < 0 ||
        ask_for_memory(needs, err) < 0)
        return -1;
    return ask_for_threads(needs, err);
}

void fmq_process_explain(fmq_error_t *err)
{
    uint64_t space = limit_of(RLIMIT_AS), data = limit_of(RLIMIT_DATA);
    char text[128];
    size_t used = strlen(err->text);
    if (strstr(err->text, "raise"))
        return;
    if (space != UINT64_MAX)
        snprintf(text, sizeof text, "raise 'ulimit -v' (%llu KiB)",
                 (unsigned long long)(space >> 10));
    else if (data != UINT64_MAX)
        snprintf(text, sizeof text, "raise 'ulimit -d' (%llu KiB)",
                 (unsigned long long)(data >> 10));
    else
        snprintf(text, sizeof text, "%llu MiB are free on this machine",
                 (unsigned long long)(fmq_proc_kilobytes("/proc/meminfo", "MemAvailable") >> 20));
    snprintf(err->text + used, sizeof err->text - used,
             "; %s, or ask for less: dataloader.batch_size, llm.tok_len, fedmq.permits, "
             "fedmq.prefix_cache",
             text);
}
