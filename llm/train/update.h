/*
 * update.h - from the gradients of one workspace, or of every rank of a team, to
 * the next parameters.
 *
 * With a team the gradients are added up, in the order of ranks, where the
 * optimizer's state is - at the first rank, or each share at the rank that keeps
 * it - stepped there, and the parameters carried to all.  With one workspace none
 * of this moves anything.
 */
#ifndef FEDMQ_LLM_TRAIN_UPDATE_H
#define FEDMQ_LLM_TRAIN_UPDATE_H

#include "llm/train/optimizer.h"
#include "llm/train/team.h"

typedef struct {
    llm_workspace_t *ws; /* borrowed: the lead's, or the only one */
    llm_team_t *team;    /* borrowed; NULL: there is none */
    unsigned ranks;
    size_t n;
    llm_optimizer_state_t *optimizers; /* owned, one a rank, of its range of owners */
    size_t owners[LLM_TEAM_MAX + 1];   /* who steps what */
    size_t shares[LLM_TEAM_MAX + 1];   /* the same by even shares: how squares are added up */
} llm_update_t;

/* For n parameters; takes the optimizer's state.  Release after failure too. */
int llm_update_init(llm_update_t *self, llm_workspace_t *ws, llm_team_t *team,
                    const llm_optimizer_t *how, fmq_error_t *err);
void llm_update_release(llm_update_t *self);

/* kept.c: the state as bytes, and back.  kept is replaced, and untouched on failure.
 * Resuming: FMQ_ERR_FORMAT or FMQ_ERR_MISMATCH when the bytes are another's. */
int llm_update_keep(llm_update_t *self, llm_kept_optimizer_t *kept, fmq_error_t *err);
int llm_update_resume(llm_update_t *self, const llm_kept_optimizer_t *kept, fmq_error_t *err);
/* Steps made, those of earlier routines among them. */
uint64_t llm_update_steps(const llm_update_t *self);

/* Before the first batch: everybody has the lead's parameters, and no gradient. */
int llm_update_begin(llm_update_t *self, fmq_error_t *err);

/* All ranks' gradients: forgotten; multiplied; whether they are finite. */
int llm_update_forget(llm_update_t *self, fmq_error_t *err);
int llm_update_scale(llm_update_t *self, float factor, fmq_error_t *err);
int llm_update_is_finite(llm_update_t *self, bool *finite, fmq_error_t *err);

/* Adds the ranks' gradients up and returns the sum of the squares of what comes
 * out: the same for a team however its state is kept. */
int llm_update_gather(llm_update_t *self, double *sum_squares, fmq_error_t *err);
/* Steps with what was gathered, times factor, and forgets all gradients. */
int llm_update_step(llm_update_t *self, double factor, const llm_rates_t *rates, fmq_error_t *err);

#endif
