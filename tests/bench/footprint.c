/*
 * footprint.c - see footprint.h.  The kernel keeps the peak of all resident
 * pages, but not that of anonymous ones: a thread of the child samples those.
 */
#include "tests/bench/footprint.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/peak.h"

/* A line of /proc/self/status in MiB. */
static double status(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtod(line + strlen(key), NULL);
    }
    if (file)
        (void)fclose(file);
    return kib / 1024;
}

typedef struct {
    atomic_bool stop;
    double most;
} sampler_t;

static void *sample(void *argument)
{
    sampler_t *self = argument;
    const struct timespec pause = {.tv_nsec = 2000000};
    while (!atomic_load(&self->stop)) {
        double now = status("RssAnon:");
        self->most = now > self->most ? now : self->most;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static footprint_t measure(void (*work)(const void *argument), const void *argument)
{
    sampler_t sampler = {.most = 0};
    pthread_t thread;
    atomic_init(&sampler.stop, false);
    if (pthread_create(&thread, NULL, sample, &sampler) != 0)
        exit(1);
    double start = bench_now();
    work(argument);
    double seconds = bench_now() - start;
    atomic_store(&sampler.stop, true);
    pthread_join(thread, NULL);
    return (footprint_t){status("VmHWM:"), sampler.most, seconds};
}

static void child(int out, void (*work)(const void *argument), const void *argument)
{
    footprint_t footprint = measure(work, argument);
    bool told = write(out, &footprint, sizeof footprint) == (ssize_t)sizeof footprint;
    exit(told ? 0 : 1);
}

int footprint_of(void (*work)(const void *argument), const void *argument, footprint_t *out)
{
    int ends[2], result = 0;
    if (pipe(ends) < 0)
        return -1;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        child(ends[1], work, argument);
    }
    (void)close(ends[1]);
    bool told = pid > 0 && read(ends[0], out, sizeof *out) == (ssize_t)sizeof *out;
    (void)close(ends[0]);
    if (pid > 0 && waitpid(pid, &result, 0) != pid)
        told = false;
    return told && result == 0 ? 0 : -1;
}
