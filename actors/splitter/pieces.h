/*
 * pieces.h - a data set, cut into what each client and the server hold.
 *
 * Records are read once; a shard is encoded when it is asked for.  No sockets.
 */
#ifndef FEDMQ_ACTORS_SPLITTER_PIECES_H
#define FEDMQ_ACTORS_SPLITTER_PIECES_H

#include "fedmq/actors/shard.h"
#include "fedmq/base/config.h"
#include "fedmq/base/log.h"

/* The records that data.root, data.type and data.file_path name, unsplit. */
llm_records_t *fmq_pieces_load(const fmq_config_t *config, fmq_error_t *err);

/* The validation and test records of the whole set, as shard 0 holds them:
 * out[1] and out[2], the caller's; out[0] is NULL.  On failure all are. */
int fmq_pieces_held(const fmq_config_t *config, llm_records_t *out[3], fmq_error_t *err);

typedef struct fmq_pieces fmq_pieces_t;

/* Loads data.type below data.root and splits it as data.splits, data.splitter
 * and federate.* say.  Warnings of the split go to log (may be NULL). */
fmq_pieces_t *fmq_pieces_new(const fmq_config_t *config, fmq_log_t *log, fmq_error_t *err);
void fmq_pieces_destroy(fmq_pieces_t **self_p);

/* What was done, in a line for people; borrowed. */
const char *fmq_pieces_told(const fmq_pieces_t *self);

/* Clients of the run: 1 .. this many have a shard. */
uint32_t fmq_pieces_clients(const fmq_pieces_t *self);

/* The shard of a client, sealed; client 0: the server-held validation and test
 * records, unsplit, without training records.  counts: records of the parts. */
fmq_object_t *fmq_pieces_shard(const fmq_pieces_t *self, uint32_t client, uint64_t counts[3],
                               fmq_error_t *err);

/* Copies the records that part names. */
llm_records_t *fmq_pieces_select(const llm_records_t *from, const llm_part_t *part,
                                 fmq_error_t *err);

#endif
