/*
 * counts.h - how many examples a client can have, and can have used: what it was dealt
 * where that is known, else what any client can have.
 *
 * A count of examples is the weight of an update, and a stranger's word; it is held
 * against these.  Belongs to the server's thread.
 */
#ifndef FEDMQ_ACTORS_SERVER_COUNTS_H
#define FEDMQ_ACTORS_SERVER_COUNTS_H

#include "actors/storage/dealt.h"
#include "fedmq/actors/messages.h"

typedef struct {
    const char *run_directory; /* where what was dealt is kept */
    uint32_t clients;
    bool own_data; /* they bring their data: nobody deals it */
    /* The most examples that a client whose shard has so many can have used in a
     * round; NULL: nothing is known. */
    uint64_t (*samples_max)(void *argument, uint32_t client, uint64_t shard);
    void *argument;
} fmq_counts_options_t;

typedef struct {
    fmq_counts_options_t options;
    fmq_dealt_t *dealt; /* owned: what the splitter says; NULL with own_data */
} fmq_counts_t;

int fmq_counts_open(fmq_counts_t *self, const fmq_counts_options_t *options, fmq_error_t *err);
void fmq_counts_release(fmq_counts_t *self);

/* What a splitter says that a client was dealt; that this is on the disk. */
void fmq_counts_take_shard(fmq_counts_t *self, const fmq_message_shard_t *shard);
int fmq_counts_save(fmq_counts_t *self, fmq_error_t *err);

/* Records that a client was dealt, by part; NULL: not known. */
const uint64_t *fmq_counts_dealt(const fmq_counts_t *self, uint32_t client);
/* What it can have used in a round at most, of a shard of so many training examples (0: of what it
 * was dealt). */
uint64_t fmq_counts_used_max(const fmq_counts_t *self, uint32_t client, uint64_t shard);
/* A report's counts are no possible ones: -1, `why` says which. */
int fmq_counts_check(const fmq_counts_t *self, uint32_t client, const fmq_message_report_t *report,
                     fmq_error_t *why);

#endif
