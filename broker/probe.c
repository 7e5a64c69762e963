/*
 * probe.c - connects, greets, and looks at what comes back.
 */
#include "broker/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fedmq/base/clock.h"

#define HEARD_MAX 64
#define SHOWN_MAX 40
#define NUDGE_MS  300 /* then what waits for a line of text is given one */

/* The beginning of ZMTP 3.1: signature, version, mechanism NULL. */
static const unsigned char greeting[64] = {0xff, [8] = 1, [9] = 0x7f, 3, 1, 'N', 'U', 'L', 'L'};

static int look_up(const char *place, struct addrinfo **out)
{
    char host[256], *port = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (strncmp(place, "tcp://", 6) != 0)
        return -1;
    (void)snprintf(host, sizeof host, "%s", place + 6);
    port = strrchr(host, ':');
    if (!port)
        return -1;
    *port++ = '\0';
    size_t size = strlen(host);
    bool brackets = size > 2 && host[0] == '[' && host[size - 1] == ']';
    if (brackets)
        host[size - 1] = '\0';
    return getaddrinfo(host + (brackets ? 1 : 0), port, &hints, out) == 0 ? 0 : -1;
}

/* Waits for events until end_ms.  1: there are some, 0: time is up. */
static int await(int descriptor, short events, int64_t end_ms)
{
    struct pollfd item = {.fd = descriptor, .events = events};
    int rc;
    do {
        int64_t left = end_ms - fmq_clock_ms();
        rc = poll(&item, 1, left > 0 ? (int)left : 0);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* A connected socket, or -1 with errno. */
static int reach(const char *place, int64_t end_ms)
{
    struct addrinfo *where = NULL;
    int failure = EINVAL;
    if (look_up(place, &where) < 0) {
        errno = failure;
        return -1;
    }
    int descriptor = socket(where->ai_family, SOCK_STREAM, 0);
    if (descriptor >= 0 && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 &&
        fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0) {
        failure = connect(descriptor, where->ai_addr, where->ai_addrlen) == 0 ? 0 : errno;
        socklen_t size = sizeof failure;
        if (failure == EINPROGRESS && await(descriptor, POLLOUT, end_ms) <= 0)
            failure = ETIMEDOUT;
        else if (failure == EINPROGRESS)
            (void)getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size);
    } else {
        failure = errno;
    }
    freeaddrinfo(where);
    if (failure != 0 && descriptor >= 0)
        close(descriptor);
    errno = failure;
    return failure == 0 ? descriptor : -1;
}

bool fmq_probe_accepts(const char *place, int timeout_ms)
{
    int descriptor = reach(place, fmq_clock_ms() + timeout_ms);
    if (descriptor >= 0)
        close(descriptor);
    return descriptor >= 0;
}

static void say(int descriptor, const void *bytes, size_t size)
{
    if (send(descriptor, bytes, size, MSG_NOSIGNAL) < 0)
        errno = 0; /* what it says, or that it is gone, is read next */
}

/* What comes first, 0 bytes when nothing does, -1 when the connection ends. */
static ssize_t listen_to(int descriptor, unsigned char heard[HEARD_MAX], int64_t end_ms)
{
    int64_t nudge_ms = fmq_clock_ms() + NUDGE_MS;
    if (await(descriptor, POLLIN, nudge_ms < end_ms ? nudge_ms : end_ms) == 0) {
        say(descriptor, "\r\n\r\n", 4);
        if (await(descriptor, POLLIN, end_ms) == 0)
            return 0;
    }
    ssize_t size = recv(descriptor, heard, HEARD_MAX, 0);
    return size > 0 ? size : -1;
}

static fmq_probe_t judge(const unsigned char *heard, ssize_t size, char said[FMQ_PROBE_SAID_MAX])
{
    char shown[SHOWN_MAX + 1] = "";
    if (size == 0) {
        (void)snprintf(said, FMQ_PROBE_SAID_MAX, "something accepts connections but says nothing");
        return FMQ_PROBE_SILENT;
    }
    if (size < 0) {
        (void)snprintf(said, FMQ_PROBE_SAID_MAX, "something hangs up without a word");
        return FMQ_PROBE_SILENT;
    }
    if (heard[0] == 0xff && (size < 10 || (heard[9] & 1))) {
        (void)snprintf(said, FMQ_PROBE_SAID_MAX,
                       "something speaks ZeroMQ but does not let us in: it is busy, another "
                       "program, or another version of fedmq");
        return FMQ_PROBE_ZEROMQ;
    }
    for (int i = 0; i < SHOWN_MAX && i < size && heard[i] >= ' ' && heard[i] < 0x7f; i++)
        (void)snprintf(shown + i, 2, "%c", heard[i] == '"' ? '\'' : heard[i]);
    (void)snprintf(said, FMQ_PROBE_SAID_MAX, "another program answers%s%s%s, not a fedmq server",
                   *shown ? " '" : "", shown, *shown ? "'" : "");
    return FMQ_PROBE_OTHER;
}

fmq_probe_t fmq_probe(const char *place, int timeout_ms, char said[FMQ_PROBE_SAID_MAX])
{
    int64_t end_ms = fmq_clock_ms() + timeout_ms;
    unsigned char heard[HEARD_MAX];
    int descriptor = reach(place, end_ms);
    if (descriptor < 0) {
        (void)snprintf(said, FMQ_PROBE_SAID_MAX, "nobody answers there: %s", strerror(errno));
        return FMQ_PROBE_UNREACHED;
    }
    say(descriptor, greeting, sizeof greeting);
    ssize_t size = listen_to(descriptor, heard, end_ms);
    close(descriptor);
    return judge(heard, size, said);
}
