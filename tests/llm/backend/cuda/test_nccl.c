/*
 * test_nccl.c - the emulation of NCCL refuses what the library would refuse, or
 * wait for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "llm/backend/cuda/nccl.h"
#include "llm/backend/cuda/runtime.h"

enum { N = 64, OK = 0, INVALID = 4, USAGE = 5 };

/* Two ranks on devices 0 and 1, each with a block of memory. */
typedef struct {
    llm_nccl_t nccl;
    void *comms[2];
    llm_cuda_queue_t queues[2];
    float *memory[2];
} scene_t;

static scene_t scene_new(void)
{
    scene_t s = {0};
    const int devices[2] = {0, 1};
    assert_int_equal(llm_nccl_find(&s.nccl, NULL), 0);
    assert_int_equal(s.nccl.init_all(s.comms, 2, devices), OK);
    for (int r = 0; r < 2; r++) {
        assert_null(llm_cuda_use(r));
        assert_null(llm_cuda_queue_open(&s.queues[r], false));
        s.memory[r] = llm_cuda_alloc(N * sizeof(float));
        llm_cuda_zero(&s.queues[r], s.memory[r], N * sizeof(float));
    }
    return s;
}

/* What both ranks' communicators say at their end. */
static void scene_end(scene_t *s, int first, int second)
{
    assert_int_equal(s->nccl.destroy(s->comms[0]), first);
    assert_int_equal(s->nccl.destroy(s->comms[1]), second);
    for (int r = 0; r < 2; r++) {
        llm_cuda_release(s->memory[r]);
        llm_cuda_queue_close(&s->queues[r]);
    }
}

/* Rank 0 sends so; what the group says of it. */
static int sent(const scene_t *s, const float *from, size_t count, int type, int peer)
{
    assert_int_equal(s->nccl.group_start(), OK);
    int code = s->nccl.send(from, count, type, peer, s->comms[0], s->queues[0].stream);
    assert_int_equal(s->nccl.group_end(), code);
    return code;
}

static int received(const scene_t *s, size_t count)
{
    assert_int_equal(s->nccl.group_start(), OK);
    assert_int_equal(
        s->nccl.receive(s->memory[1], count, LLM_NCCL_FLOAT, 0, s->comms[1], s->queues[1].stream),
        OK);
    return s->nccl.group_end();
}

static void what_is_sent_is_received(void **state)
{
    (void)state;
    scene_t s = scene_new();
    float host[N] = {0}, back[N];
    host[N - 1] = 7;
    assert_null(llm_cuda_use(0));
    assert_null(llm_cuda_upload(s.memory[0], host, sizeof host));
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT, 1), OK);
    assert_int_equal(received(&s, N), OK);
    assert_null(llm_cuda_use(1));
    assert_null(llm_cuda_download(back, s.memory[1], sizeof back));
    assert_memory_equal(back, host, sizeof back);
    scene_end(&s, OK, OK);
}

static void what_a_send_cannot_be_is_refused(void **state)
{
    (void)state;
    scene_t s = scene_new();
    float host[N] = {0};
    assert_int_equal(sent(&s, host, N, LLM_NCCL_FLOAT, 1), INVALID);
    assert_int_equal(sent(&s, s.memory[1], N, LLM_NCCL_FLOAT, 1), INVALID);
    assert_int_equal(sent(&s, s.memory[0], N + 1, LLM_NCCL_FLOAT, 1), INVALID);
    assert_int_equal(sent(&s, s.memory[0] + 1, N, LLM_NCCL_FLOAT, 1), INVALID);
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT + 1, 1), INVALID);
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT, 2), INVALID);
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT, -1), INVALID);
    s.queues[0].stream = s.queues[1].stream;
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT, 1), INVALID);
    assert_int_equal(s.nccl.send(s.memory[0], N, LLM_NCCL_FLOAT, 1, s.comms[0], s.queues[0].stream),
                     USAGE);
    assert_int_equal(s.nccl.group_end(), USAGE);
    scene_end(&s, OK, OK);
}

static void sends_and_receives_have_to_match(void **state)
{
    (void)state;
    scene_t s = scene_new();
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT, 1), OK);
    assert_int_equal(received(&s, N - 1), INVALID);
    assert_int_equal(sent(&s, s.memory[0], N, LLM_NCCL_FLOAT, 1), OK);
    scene_end(&s, OK, USAGE); /* nobody has received that */
}

static void a_device_has_one_rank(void **state)
{
    (void)state;
    llm_nccl_t nccl;
    void *comms[2];
    const int devices[2] = {1, 1};
    assert_int_equal(llm_nccl_find(&nccl, NULL), 0);
    assert_int_equal(nccl.init_all(comms, 2, devices), USAGE);
    assert_int_equal(nccl.init_all(comms, 0, devices), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_is_received),
        cmocka_unit_test(what_a_send_cannot_be_is_refused),
        cmocka_unit_test(sends_and_receives_have_to_match),
        cmocka_unit_test(a_device_has_one_rank),
    };
    unsetenv("FEDMQ_NCCL");
    return cmocka_run_group_tests_name("emulated NCCL", tests, NULL, NULL);
}
