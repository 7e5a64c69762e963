/*
 * test_probe.c - what is found at addresses where no router is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <czmq.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/probe.h"

#define PATIENCE_MS 3000

/* A listener that, for its first guest, waits for something (a line where
 * wants_line) and then says a sentence; nothing where that is NULL. */
typedef struct {
    int listener;
    char place[64];
    const char *sentence;
    bool wants_line;
    pthread_t thread;
} host_t;

static void *serve(void *argument)
{
    host_t *self = argument;
    char heard[256];
    int guest = accept(self->listener, NULL, NULL);
    if (guest < 0)
        return NULL;
    ssize_t size;
    while ((size = recv(guest, heard, sizeof heard, 0)) > 0) {
        bool line = memchr(heard, '\n', (size_t)size) != NULL;
        if (self->sentence && (line || !self->wants_line))
            (void)!send(guest, self->sentence, strlen(self->sentence), MSG_NOSIGNAL);
    }
    close(guest);
    return NULL;
}

static void begin(host_t *self, const char *sentence, bool wants_line)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    self->sentence = sentence;
    self->wants_line = wants_line;
    assert_int_equal(bind(self->listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(self->listener, 4), 0);
    assert_int_equal(getsockname(self->listener, (struct sockaddr *)&bound, &size), 0);
    (void)snprintf(self->place, sizeof self->place, "tcp://127.0.0.1:%u", ntohs(bound.sin_port));
    assert_int_equal(pthread_create(&self->thread, NULL, serve, self), 0);
}

static void end(host_t *self)
{
    (void)shutdown(self->listener, SHUT_RDWR);
    pthread_join(self->thread, NULL);
    close(self->listener);
}

static void a_place_where_nobody_listens_is_named_so(void **state)
{
    (void)state;
    host_t host;
    char said[FMQ_PROBE_SAID_MAX];
    begin(&host, NULL, false);
    end(&host);
    assert_false(fmq_probe_accepts(host.place, 1000));
    assert_int_equal(fmq_probe(host.place, PATIENCE_MS, said), FMQ_PROBE_UNREACHED);
    assert_non_null(strstr(said, "refused"));
    assert_int_equal(fmq_probe("tcp://nonsense", PATIENCE_MS, said), FMQ_PROBE_UNREACHED);
}

static void what_another_program_says_is_shown(void **state)
{
    (void)state;
    host_t host;
    char said[FMQ_PROBE_SAID_MAX];
    begin(&host, "SSH-2.0-OpenSSH_9.2 \"x\"\r\n", false);
    assert_int_equal(fmq_probe(host.place, PATIENCE_MS, said), FMQ_PROBE_OTHER);
    end(&host);
    assert_non_null(strstr(said, "SSH-2.0-OpenSSH_9.2 'x''"));
    assert_null(strpbrk(said, "\r\n\""));
    begin(&host, "HTTP/1.0 400 Bad Request\r\n", true);
    assert_int_equal(fmq_probe(host.place, PATIENCE_MS, said), FMQ_PROBE_OTHER);
    end(&host);
    assert_non_null(strstr(said, "HTTP/1.0 400"));
}

static void who_says_nothing_is_not_waited_for_long(void **state)
{
    (void)state;
    host_t host;
    char said[FMQ_PROBE_SAID_MAX];
    begin(&host, NULL, false);
    int64_t began = zclock_mono();
    assert_int_equal(fmq_probe(host.place, 500, said), FMQ_PROBE_SILENT);
    assert_true(zclock_mono() - began >= 400);
    end(&host);
    assert_non_null(strstr(said, "says nothing"));
}

static void zeromq_is_recognized(void **state)
{
    (void)state;
    char said[FMQ_PROBE_SAID_MAX];
    zsock_t *router = zsock_new(ZMQ_ROUTER);
    assert_true(zsock_bind(router, "tcp://127.0.0.1:*") > 0);
    assert_true(fmq_probe_accepts(zsock_endpoint(router), 1000));
    assert_int_equal(fmq_probe(zsock_endpoint(router), PATIENCE_MS, said), FMQ_PROBE_ZEROMQ);
    zsock_destroy(&router);
    assert_non_null(strstr(said, "another version of fedmq"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_where_nobody_listens_is_named_so),
        cmocka_unit_test(what_another_program_says_is_shown),
        cmocka_unit_test(who_says_nothing_is_not_waited_for_long),
        cmocka_unit_test(zeromq_is_recognized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
