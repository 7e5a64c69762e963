/*
 * test_collective_devices.c - ranks on emulated devices exchange vectors from device
 * to device: the bytes of host memory, and nobody waits for who has failed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "llm/backend/cuda/cuda.h"
#include "llm/train/collective.h"
#include "tests/llm/train/ranks.h"

#define RANKS_MAX 4
#define ELSEWHERE "/nowhere/libnccl.so.2"

typedef struct {
    unsigned ranks;
    size_t n;
    llm_backend_t *backends[RANKS_MAX];
    llm_collective_t *members[RANKS_MAX];
    fmq_error_t detour;
    float *vectors[RANKS_MAX]; /* the devices' */
    const size_t *bounds;      /* of the exchange at hand */
} room_t;

static llm_backend_t *open_device(unsigned device)
{
    fmq_error_t err;
    llm_backend_t *be = llm_cuda_new((int)device, false, &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

static void fill(room_t *self)
{
    float *host = malloc((self->n + 1) * sizeof *host);
    for (unsigned r = 0; r < self->ranks; r++) {
        llm_backend_t *be = self->backends[r];
        for (size_t i = 0; i <= self->n; i++)
            host[i] = ranks_number(r, i);
        be->ops->upload(be, self->vectors[r], host, (self->n + 1) * sizeof *host);
    }
    free(host);
}

static void open_room(room_t *self, unsigned ranks, size_t n)
{
    fmq_error_t err;
    *self = (room_t){.ranks = ranks, .n = n};
    for (unsigned r = 0; r < ranks; r++) {
        llm_backend_t *be = self->backends[r] = open_device(r);
        self->vectors[r] = be->ops->alloc(be, (n + 1) * sizeof(float));
    }
    if (llm_collective_open(self->backends, ranks, self->members, &self->detour, &err) < 0)
        fail_msg("%s", err.text);
    fill(self);
}

static void close_room(room_t *self)
{
    llm_collective_close(self->members, self->ranks);
    for (unsigned r = 0; r < self->ranks; r++) {
        self->backends[r]->ops->release(self->backends[r], self->vectors[r]);
        assert_int_equal(self->backends[r]->ops->synchronize(self->backends[r], NULL), 0);
        llm_backend_destroy(&self->backends[r]);
    }
}

static int all_reduce(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    return llm_collective_all_reduce(room->members[rank], room->vectors[rank], room->n, err);
}

static int broadcast(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    return llm_collective_broadcast(room->members[rank], room->vectors[rank], room->n, 1, err);
}

static int scatter(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    llm_collective_t *member = room->members[rank];
    return member->ops->reduce_scatter(member, room->vectors[rank], room->bounds, err);
}

static int gather(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    llm_collective_t *member = room->members[rank];
    return member->ops->all_gather(member, room->vectors[rank], room->bounds, err);
}

/* All ranks' vectors, and what lies behind each, once all have done this. */
static float *after(room_t *self, ranks_work_fn *work)
{
    float *all = malloc(self->ranks * (self->n + 1) * sizeof *all);
    fill(self);
    ranks_run(self->ranks, work, self, NULL);
    for (unsigned r = 0; r < self->ranks; r++) {
        llm_backend_t *be = self->backends[r];
        be->ops->download(be, all + r * (self->n + 1), self->vectors[r],
                          (self->n + 1) * sizeof *all);
    }
    return all;
}

static void compare(room_t *self, room_t *host, ranks_work_fn *work, const char *what)
{
    float *devices = after(self, work), *memory = after(host, work);
    for (size_t i = 0; i < self->ranks * (self->n + 1); i++)
        if (memcmp(&devices[i], &memory[i], sizeof *devices) != 0)
            fail_msg("%s: element %zu of rank %zu of %u is %g, and %g through host memory", what,
                     i % (self->n + 1), i / (self->n + 1), self->ranks, (double)devices[i],
                     (double)memory[i]);
    free(devices);
    free(memory);
}

/* Everything that a group does, with ranges that are even, uneven, empty, and all
 * at one rank. */
static void compare_all(unsigned ranks, size_t n)
{
    room_t room, host;
    open_room(&room, ranks, n);
    assert_string_equal(room.members[0]->ops->name, "NCCL");
    assert_int_equal(room.detour.code, FMQ_OK);
    setenv("FEDMQ_NCCL", ELSEWHERE, 1);
    open_room(&host, ranks, n);
    unsetenv("FEDMQ_NCCL");
    assert_string_equal(host.members[0]->ops->name, "host memory");
    compare(&room, &host, all_reduce, "all_reduce");
    compare(&room, &host, broadcast, "broadcast");
    size_t uneven[RANKS_MAX + 1] = {0}, one[RANKS_MAX + 1];
    for (unsigned r = 1; r <= ranks; r++)
        uneven[r] = r == ranks ? n : n / 7 * (r / 2);
    llm_collective_give(n, ranks, ranks - 1, one);
    const size_t *const bounds[] = {uneven, one};
    for (size_t i = 0; i < 2; i++) {
        room.bounds = host.bounds = bounds[i];
        compare(&room, &host, scatter, "reduce_scatter");
        compare(&room, &host, gather, "all_gather");
    }
    close_room(&room);
    close_room(&host);
}

static void devices_and_host_memory_give_the_same_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 17, 50001};
    for (unsigned ranks = 2; ranks <= RANKS_MAX; ranks++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            compare_all(ranks, sizes[s]);
}

/* More than a rank has room for at a time. */
static void vectors_of_several_pieces_are_exchanged_whole(void **state)
{
    (void)state;
    compare_all(4, 1500007);
}

static int scatter_from_the_host(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    float own[64] = {0};
    llm_collective_t *member = room->members[rank];
    return member->ops->reduce_scatter(member, rank == 1 ? own : room->vectors[rank], room->bounds,
                                       err);
}

static void nobody_waits_for_a_rank_that_has_failed(void **state)
{
    (void)state;
    static const size_t bounds[] = {0, 16, 32, 48};
    room_t room;
    ranks_end_t ends[3];
    open_room(&room, 3, 48);
    room.bounds = bounds;
    (void)alarm(30); /* they would wait for ever */
    ranks_run(3, scatter_from_the_host, &room, ends);
    for (unsigned r = 0; r < 3; r++) {
        assert_int_equal(ends[r].result, -1);
        assert_int_equal(ends[r].err.code, FMQ_ERR_INTERNAL);
        assert_non_null(strstr(ends[r].err.text, "device 1 of a team"));
        assert_non_null(strstr(ends[r].err.text, "invalid argument"));
    }
    ranks_run(3, gather, &room, ends); /* and so it stays */
    for (unsigned r = 0; r < 3; r++)
        assert_non_null(strstr(ends[r].err.text, "device 1 of a team"));
    (void)alarm(240);
    close_room(&room);
}

static void expect_detour(llm_backend_t *const *backends, const char *why)
{
    fmq_error_t detour, err;
    llm_collective_t *members[2];
    if (llm_collective_open(backends, 2, members, &detour, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(members[0]->ops->name, "host memory");
    if (why && !strstr(detour.text, why))
        fail_msg("another detour: %s", detour.text);
    assert_int_equal(detour.code, why ? FMQ_ERR_UNSUPPORTED : FMQ_OK);
    llm_collective_close(members, 2);
}

static void devices_that_cannot_go_through_host_memory_and_say_why(void **state)
{
    (void)state;
    llm_backend_t *a = open_device(0), *b = open_device(1), *same = open_device(0);
    llm_backend_t *cpu = llm_backend_cpu_new(1, NULL);
    expect_detour((llm_backend_t *const[]){a, same}, "share 'cuda-emulated:0'");
    expect_detour((llm_backend_t *const[]){a, cpu}, NULL);
    expect_detour((llm_backend_t *const[]){cpu, cpu}, NULL);
    setenv("FEDMQ_NCCL", ELSEWHERE, 1);
    expect_detour((llm_backend_t *const[]){a, b}, "there is no '" ELSEWHERE "'");
    unsetenv("FEDMQ_NCCL");
    llm_backend_t *const all[] = {a, b, same, cpu};
    for (size_t i = 0; i < 4; i++) {
        llm_backend_t *be = all[i];
        llm_backend_destroy(&be);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_and_host_memory_give_the_same_bytes),
        cmocka_unit_test(vectors_of_several_pieces_are_exchanged_whole),
        cmocka_unit_test(nobody_waits_for_a_rank_that_has_failed),
        cmocka_unit_test(devices_that_cannot_go_through_host_memory_and_say_why),
    };
    (void)alarm(240);
    unsetenv("FEDMQ_NCCL");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
