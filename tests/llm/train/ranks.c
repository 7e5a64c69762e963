/*
 * ranks.c - see ranks.h.
 */
#include "tests/llm/train/ranks.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct {
    ranks_work_fn *work;
    void *room;
    unsigned number;
    ranks_end_t end;
} rank_t;

static void *serve(void *argument)
{
    rank_t *rank = argument;
    rank->end.result = rank->work(rank->room, rank->number, &rank->end.err);
    return NULL;
}

void ranks_run(unsigned ranks, ranks_work_fn *work, void *room, ranks_end_t *ends)
{
    pthread_t threads[RANKS_RUN_MAX];
    rank_t all[RANKS_RUN_MAX];
    assert_true(ranks <= RANKS_RUN_MAX);
    for (unsigned r = 0; r < ranks; r++) {
        all[r] = (rank_t){.work = work, .room = room, .number = r};
        assert_int_equal(pthread_create(&threads[r], NULL, serve, &all[r]), 0);
    }
    for (unsigned r = 0; r < ranks; r++) {
        pthread_join(threads[r], NULL);
        if (ends)
            ends[r] = all[r].end;
    }
    for (unsigned r = 0; r < ranks && !ends; r++)
        if (all[r].end.result < 0)
            fail_msg("rank %u: %s", r, all[r].end.err.text);
}

float ranks_number(unsigned rank, size_t i)
{
    uint32_t mixed = (uint32_t)(i + 1) * 2654435761u ^ (rank + 1) * 40503u;
    return (float)(mixed % 20011) * 0.37f / (float)(1 + mixed % 97) - 11.1f;
}
