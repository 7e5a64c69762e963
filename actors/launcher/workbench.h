/*
 * workbench.h - a model with an adapter from disk, for the tools that work
 * without a federation: eval and generate.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_WORKBENCH_H
#define FEDMQ_ACTORS_LAUNCHER_WORKBENCH_H

#include "actors/launcher/opening.h"

typedef struct {
    fmq_engine_t engine;
    float *vector; /* owned: the adapter's weights; NULL without adapter */
} fmq_workbench_t;

/* --model, --adapter (may be NULL) and --threads.  tokenizer: the model's too,
 * with a warning on standard error when no text of it can end. */
int fmq_workbench_open(fmq_workbench_t *self, const fmq_arguments_t *arguments, bool tokenizer,
                       fmq_error_t *err);
void fmq_workbench_close(fmq_workbench_t *self);

/* Parses "1,2,3" or "1 2 3" behind what ids already holds. */
int fmq_workbench_ids(const char *text, llm_ids_t *ids, fmq_error_t *err);

#endif
