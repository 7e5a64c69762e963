/*
 * split.h - which records are for training, and which client gets which.
 *
 * Splits are lists of record numbers; they copy no text.  Every choice comes
 * from Philox (seed, FMQ_RNG_SPLIT), so that all peers that split the same
 * records with the same seed agree.
 */
#ifndef FEDMQ_LLM_SPLIT_H
#define FEDMQ_LLM_SPLIT_H

#include "fedmq/base/api.h"
#include "fedmq/llm/records.h"

FMQ_API_BEGIN

typedef enum { LLM_SPLIT_IID, LLM_SPLIT_LDA, LLM_SPLIT_META, LLM_SPLIT_OWN } llm_splitter_t;

/* What LLM_SPLIT_OWN is asked; everything is borrowed. */
typedef struct {
    const llm_records_t *records;
    const uint32_t *items; /* numbers of the records to deal, by category, then by number */
    size_t size;           /* of them */
    uint32_t clients;
    uint32_t part; /* 0 train, 1 val, 2 test */
    uint64_t seed;
} llm_split_deal_t;

/* Writes the client of each of them, counted from 0.  -1 with err. */
typedef int(llm_split_deal_fn)(void *argument, const llm_split_deal_t *deal, uint32_t *owner,
                               fmq_error_t *err);

/* Part of one client or one of train/val/test: record numbers. */
typedef struct {
    uint32_t *items; /* owned */
    size_t size;
} llm_part_t;

/* Permutes records and cuts: train int(a*n), val int(b*n), test the rest. */
int llm_split_three(size_t records, double train, double val, uint64_t seed, llm_part_t parts[3],
                    fmq_error_t *err);

/* Splits the records that `part` names over clients; out has clients entries.
 * stream tells the three parts apart: 0 train, 1 val, 2 test.  Guards: lda
 * without categories falls back to iid with a warning text in *warning
 * (static, or NULL); meta with fewer categories than clients too; a client
 * that lda leaves empty for good gets a record of the richest.  More clients
 * than records: FMQ_ERR_CONFIG in stream 0; in the others the last clients get
 * none, with a warning. */
int llm_split_clients(const llm_records_t *records, const llm_part_t *part, llm_splitter_t how,
                      double alpha, uint32_t clients, uint64_t seed, uint32_t stream,
                      llm_part_t *out, const char **warning, fmq_error_t *err);

/* How train, val and test are dealt together. */
typedef struct {
    llm_splitter_t how;
    double alpha; /* lda */
    uint32_t clients;
    uint64_t seed;
    bool apart;              /* meta deals the categories of each part anew, as FS-LLM does */
    llm_split_deal_fn *deal; /* of LLM_SPLIT_OWN: who decides */
    void *argument;          /* borrowed */
} llm_split_how_t;

/* llm_split_clients() for the three parts; out[i] has clients entries.  Under
 * meta a client gets the same categories in every part: those of the training
 * records are dealt, and then those that only val or test have.  Where meta falls
 * back to iid in training, it does in all parts.  An own splitter that gives a
 * record to a client that is not there, or leaves one without training records, is
 * FMQ_ERR_MISMATCH.  warnings[i] as *warning above.
 * On failure out holds nothing. */
int llm_split_clients_three(const llm_records_t *records, const llm_part_t parts[3],
                            const llm_split_how_t *how, llm_part_t *const out[3],
                            const char *warnings[3], fmq_error_t *err);

void llm_part_release(llm_part_t *part);

/* The records that have an answer: only they can be answered rightly. */
int llm_records_answered(const llm_records_t *records, llm_part_t *out, fmq_error_t *err);

FMQ_API_END

#endif
