/*
 * test_collective.c - ranks add up and exchange vectors in threads of their own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/collective.h"

#define RANKS_MAX 5

typedef struct rank rank_t;

typedef struct {
    unsigned ranks;
    size_t n;
    llm_backend_t *backends[RANKS_MAX];
    llm_collective_t *members[RANKS_MAX];
    float *vectors[RANKS_MAX]; /* the backends' */
    float *before[RANKS_MAX];  /* host */
    void (*work)(rank_t *rank);
} room_t;

struct rank {
    room_t *room;
    unsigned number;
};

/* Numbers whose sums round, differently in another order. */
static float number(unsigned rank, size_t i)
{
    uint32_t mixed = (uint32_t)(i + 1) * 2654435761u ^ (rank + 1) * 40503u;
    return (float)(mixed % 20011) * 0.37f / (float)(1 + mixed % 97) - 11.1f;
}

static void open_room(room_t *self, unsigned ranks, size_t n)
{
    *self = (room_t){.ranks = ranks, .n = n};
    for (unsigned r = 0; r < ranks; r++) {
        self->backends[r] = r % 2 ? llm_backend_reference_new(NULL) : llm_backend_cpu_new(1, NULL);
        llm_backend_t *be = self->backends[r];
        self->vectors[r] = be->ops->alloc(be, (n + 1) * sizeof(float));
        self->before[r] = malloc((n + 1) * sizeof(float));
        for (size_t i = 0; i <= n; i++)
            self->before[r][i] = number(r, i);
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

static void *serve(void *argument)
{
    rank_t *rank = argument;
    rank->room->work(rank);
    return NULL;
}

static void run(room_t *self, void (*work)(rank_t *rank))
{
    pthread_t threads[RANKS_MAX];
    rank_t ranks[RANKS_MAX];
    self->work = work;
    for (unsigned r = 0; r < self->ranks; r++) {
        ranks[r] = (rank_t){self, r};
        assert_int_equal(pthread_create(&threads[r], NULL, serve, &ranks[r]), 0);
    }
    for (unsigned r = 0; r < self->ranks; r++)
        pthread_join(threads[r], NULL);
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

static void all_reduce(rank_t *rank)
{
    room_t *room = rank->room;
    (void)llm_collective_all_reduce(room->members[rank->number], room->vectors[rank->number],
                                    room->n, NULL);
}

static void a_sum_is_added_in_the_order_of_ranks_and_everybodys(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 17, 1000, 140001, 300000};
    for (unsigned ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            room_t room;
            open_room(&room, ranks, sizes[s]);
            run(&room, all_reduce);
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

static void scatter(rank_t *rank)
{
    llm_collective_t *member = rank->room->members[rank->number];
    (void)member->ops->reduce_scatter(member, rank->room->vectors[rank->number], uneven, NULL);
}

static void gather(rank_t *rank)
{
    llm_collective_t *member = rank->room->members[rank->number];
    (void)member->ops->all_gather(member, rank->room->vectors[rank->number], uneven, NULL);
}

static void an_owner_gets_the_sum_of_its_range_and_no_other(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, 4, 150000);
    run(&room, scatter);
    for (unsigned r = 0; r < 4; r++) {
        float *host = vector_of(&room, r);
        for (size_t i = 0; i < room.n; i++) {
            bool own = i >= uneven[r] && i < uneven[r + 1];
            assert_true(host[i] == (own ? sum_at(&room, i) : room.before[r][i]));
        }
        free(host);
    }
    run(&room, gather);
    for (unsigned r = 0; r < 4; r++) {
        float *host = vector_of(&room, r);
        for (size_t i = 0; i < room.n; i++)
            assert_true(host[i] == sum_at(&room, i));
        free(host);
    }
    close_room(&room);
}

static void broadcast(rank_t *rank)
{
    room_t *room = rank->room;
    (void)llm_collective_broadcast(room->members[rank->number], room->vectors[rank->number],
                                   room->n, 1, NULL);
}

static void a_roots_vector_reaches_all(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, 3, 140001);
    run(&room, broadcast);
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
