/*
 * records_room.h - what a test about records has: records, a folder, an error.
 */
#ifndef FEDMQ_TESTS_RECORDS_ROOM_H
#define FEDMQ_TESTS_RECORDS_ROOM_H

#include <stdlib.h>

#include "fedmq/llm/records.h"
#include "tests/llm/data/scratch.h"

typedef struct {
    llm_records_t *records;
    scratch_t scratch;
    fmq_error_t err;
} room_t;

static inline int set_up(void **state)
{
    room_t *room = calloc(1, sizeof *room);
    room->records = llm_records_new();
    scratch_open(&room->scratch);
    *state = room;
    return 0;
}

static inline int tear_down(void **state)
{
    room_t *room = *state;
    llm_records_destroy(&room->records);
    llm_records_destroy(&room->records); /* does nothing */
    scratch_close(&room->scratch);
    free(room);
    return 0;
}

#endif
