/*
 * dealt.h - how many records the splitter has dealt to each client.
 *
 * What a client says of its own data is a stranger's word; where a splitter
 * dealt them, this is the truth that it is held against.  The counts are kept
 * in the file `dealt` of the run's directory, so that a server that goes on
 * knows them before its first answer, whether the splitter is there or not.
 * A client that is not in it is unknown: it may have data of its own.
 */
#ifndef FEDMQ_ACTORS_STORAGE_DEALT_H
#define FEDMQ_ACTORS_STORAGE_DEALT_H

#include <stdbool.h>
#include <stdint.h>

#include "fedmq/actors/messages.h"
#include "fedmq/base/error.h"

#define FMQ_DEALT_NAME "dealt"

typedef enum { FMQ_DEALT_TRAIN, FMQ_DEALT_VAL, FMQ_DEALT_TEST, FMQ_DEALT_PARTS } fmq_dealt_part_t;

typedef struct fmq_dealt fmq_dealt_t;

/* Reads the file where there is one.  NULL with FMQ_ERR_NOMEM, FMQ_ERR_IO, or
 * FMQ_ERR_FORMAT for a file that is not what was written. */
fmq_dealt_t *fmq_dealt_open(const char *directory, uint32_t clients, fmq_error_t *err);
void fmq_dealt_close(fmq_dealt_t **self_p);

/* Takes what a splitter says; the newest word on a client counts.  False where
 * it is none of the run's clients, or says nothing new. */
bool fmq_dealt_take(fmq_dealt_t *self, const fmq_message_shard_t *note);
/* Makes durable what was taken since; does nothing where that is nothing. */
int fmq_dealt_save(fmq_dealt_t *self, fmq_error_t *err);

/* The counts of client (from 1), FMQ_DEALT_PARTS of them, borrowed until the
 * next call that changes something; NULL: unknown.  self may be NULL. */
const uint64_t *fmq_dealt_to(const fmq_dealt_t *self, uint32_t client);

#endif
