/*
 * splitter.h - which client gets which records of a part of the data.
 *
 * fedmq reads the records, cuts them into train, val and test, asks a splitter once for each of
 * the three, shuffles what each client gets and makes shards of it.
 */
#ifndef FEDMQ_EXTEND_SPLITTER_H
#define FEDMQ_EXTEND_SPLITTER_H

#include "fedmq/base/config.h"
#include "fedmq/base/error.h"
#include "fedmq/llm/split.h"

typedef struct fmq_splitter {
    const char *name; /* of data.splitter */
    const char *help; /* one line */
    /* Writes owner[deal->size]: the client of each record of the deal, counted from 0.  Every
     * client needs a record of train; of the others there may be fewer than clients.  The same
     * deal must come out the same.  -1 with err. */
    int (*deal)(const llm_split_deal_t *deal, const fmq_config_t *config, uint32_t *owner,
                fmq_error_t *err);
} fmq_splitter_t;

#endif
