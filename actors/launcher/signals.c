/*
 * signals.c - Ctrl-C and SIGTERM as a file descriptor: the self-pipe.
 *
 * A signal handler can reach nothing but file-scope state, so the pipe's
 * writing end is the one such variable of the program.
 */
#include "actors/launcher/signals.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t writing_end = -1;

/* Whichever of them comes next ends the process at once. */
static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (writing_end >= 0 && write((int)writing_end, &byte, 1) < 0)
        errno = 0; /* a full pipe already says what there is to say */
    errno = saved;
}

static int set_handlers(fmq_error_t *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], &action, NULL) < 0)
            return fmq_error_set(err, FMQ_ERR_IO, "cannot watch for signals: %s", strerror(errno));
    return 0;
}

int fmq_signals_open(fmq_error_t *err)
{
    int ends[2];
    zsys_handler_set(NULL);
    if (pipe(ends) < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    writing_end = ends[1];
    if (set_handlers(err) < 0) {
        fmq_signals_close(&ends[0]);
        return -1;
    }
    return ends[0];
}

int fmq_signals_take(int descriptor)
{
    unsigned char byte = 0;
    return read(descriptor, &byte, 1) == 1 ? byte : 0;
}

void fmq_signals_close(int *descriptor_p)
{
    if (*descriptor_p < 0)
        return;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    int end = (int)writing_end;
    writing_end = -1;
    close(end);
    close(*descriptor_p);
    *descriptor_p = -1;
}
