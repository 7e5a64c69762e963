/*
 * dealing.h - what a split has done, in one line for people: how many records
 * each part has, how they spread over clients, and which categories went where.
 */
#ifndef FEDMQ_ACTORS_SPLITTER_DEALING_H
#define FEDMQ_ACTORS_SPLITTER_DEALING_H

#include "fedmq/llm/data.h"

#define FMQ_DEALING_BYTES 1200

typedef struct {
    const llm_records_t *records;
    const char *how;            /* "iid", "lda", "meta": what was really done */
    const llm_part_t *parts[3]; /* of train, val, test: [clients] */
    uint32_t clients;
    bool counts;     /* of each category, beside its name */
    bool categories; /* say them, of the training records */
} fmq_dealing_t;

/* "meta over 4 clients: train 1940 records, 480 to 490 each (median 485); val ...;
 * client-1: reverse, count; client-2: ..." */
void fmq_dealing_describe(const fmq_dealing_t *self, char out[FMQ_DEALING_BYTES]);

#endif
