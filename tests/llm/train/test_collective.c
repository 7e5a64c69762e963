/*
 * test_collective.c - ranks add up and exchange vectors in threads of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/collective.h"
#include "tests/llm/train/ranks.h"

#define RANKS_MAX 5

typedef struct {
    unsigned ranks;
    size_t n;
    llm_backend_t *backends[RANKS_MAX];
    llm_collective_t *members[RANKS_MAX];
    float *vectors[RANKS_MAX]; /* the backends' */
    float *before[RANKS_MAX];  /* host */
} room_t;

static void open_room(room_t *self, unsigned ranks, size_t n)
{
    *self = (room_t){.ranks = ranks, .n = n};
    for (unsigned r = 0; r < ranks; r++) {
        self->backends[r] = r % 2 ? llm_backend_reference_new(NULL) : llm_backend_cpu_new(1, NULL);
        llm_backend_t *be = self->backends[r];
        self->vectors[r] = be->ops->alloc(be, (n + 1) * sizeof(float));
        self->before[r] = malloc((n + 1) * sizeof(float));
        for (size_t i = 0; i <= n; i++)
            self->before[r][i] = ranks_number(r, i);
        be->ops->upload(be, self->vectors[r], self->before[r], (n + 1) * sizeof(float));
    }
    fmq_error_t err;
    if (llm_collective_local(self->backends, ranks, self->members, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_room(room_t *self)
{
    llm_collective_close(self->members, self->ranks);
    for (unsigned r = 0; r < self->ranks; r++) {
        self->backends[r]->ops->release(self->backends[r], self->vectors[r]);
        llm_backend_destroy(&self->backends[r]);
        free(self->before[r]);
    }
}

/* Element i of the sum, added in the order of ranks. */
static float sum_at(const room_t *self, size_t i)
{
    float sum = self->before[0][i];
    for (unsigned r = 1; r < self->ranks; r++)
        sum += self->before[r][i];
    return sum;
}

static float *vector_of(const room_t *self, unsigned rank)
{
    float *host = malloc((self->n + 1) * sizeof *host);
    llm_backend_t *be = self->backends[rank];
    be->ops->download(be, host, self->vectors[rank], (self->n + 1) * sizeof *host);
    return host;
}

static int all_reduce(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    return llm_collective_all_reduce(room->members[rank], room->vectors[rank], room->n, err);
}

static void a_sum_is_added_in_the_order_of_ranks_and_everybodys(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 17, 1000, 140001, 300000};
    for (unsigned ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            room_t room;
            open_room(&room, ranks, sizes[s]);
            ranks_run(room.ranks, all_reduce, &room, NULL);
            for (unsigned r = 0; r < ranks; r++) {
                float *host = vector_of(&room, r);
                for (size_t i = 0; i < room.n; i++)
                    if (host[i] != sum_at(&room, i))
                        fail_msg("element %zu of %zu at rank %u of %u", i, room.n, r, ranks);
                assert_true(host[room.n] == room.before[r][room.n]); /* behind the last */
                free(host);
            }
            close_room(&room);
        }
}

/* Ranges of very different lengths, one of them empty. */
static const size_t uneven[] = {0, 70000, 70000, 70003, 150000};

static int scatter(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    llm_collective_t *member = room->members[rank];
    return member->ops->reduce_scatter(member, room->vectors[rank], uneven, err);
}

static int gather(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    llm_collective_t *member = room->members[rank];
    return member->ops->all_gather(member, room->vectors[rank], uneven, err);
}

static void an_owner_gets_the_sum_of_its_range_and_no_other(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, 4, 150000);
    ranks_run(room.ranks, scatter, &room, NULL);
    for (unsigned r = 0; r < 4; r++) {
        float *host = vector_of(&room, r);
        for (size_t i = 0; i < room.n; i++) {
            bool own = i >= uneven[r] && i < uneven[r + 1];
            assert_true(host[i] == (own ? sum_at(&room, i) : room.before[r][i]));
        }
        free(host);
    }
    ranks_run(room.ranks, gather, &room, NULL);
    for (unsigned r = 0; r < 4; r++) {
        float *host = vector_of(&room, r);
        for (size_t i = 0; i < room.n; i++)
            assert_true(host[i] == sum_at(&room, i));
        free(host);
    }
    close_room(&room);
}

static int broadcast(void *argument, unsigned rank, fmq_error_t *err)
{
    room_t *room = argument;
    return llm_collective_broadcast(room->members[rank], room->vectors[rank], room->n, 1, err);
}

static void a_roots_vector_reaches_all(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, 3, 140001);
    ranks_run(room.ranks, broadcast, &room, NULL);
    for (unsigned r = 0; r < 3; r++) {
        float *host = vector_of(&room, r);
        assert_memory_equal(host, room.before[1], room.n * sizeof *host);
        free(host);
    }
    close_room(&room);
}

static void shares_are_even_and_aligned(void **state)
{
    (void)state;
    size_t bounds[LLM_RANKS_MAX + 1];
    llm_collective_share(100, 3, bounds);
    const size_t want[] = {0, 48, 96, 100};
    assert_memory_equal(bounds, want, sizeof want);
    llm_collective_share(5, 4, bounds);
    const size_t few[] = {0, 5, 5, 5, 5};
    assert_memory_equal(bounds, few, sizeof few);
    llm_collective_give(7, 3, 1, bounds);
    const size_t one[] = {0, 0, 7, 7};
    assert_memory_equal(bounds, one, sizeof one);
}

static void too_many_ranks_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_collective_t *members[1];
    assert_int_equal(llm_collective_local(NULL, 0, members, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_int_equal(llm_collective_local(NULL, LLM_RANKS_MAX + 1, members, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_is_added_in_the_order_of_ranks_and_everybodys),
        cmocka_unit_test(an_owner_gets_the_sum_of_its_range_and_no_other),
        cmocka_unit_test(a_roots_vector_reaches_all),
        cmocka_unit_test(shares_are_even_and_aligned),
        cmocka_unit_test(too_many_ranks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
