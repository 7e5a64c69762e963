/*
 * team.h - what the routine and the evaluation ask of a team.
 *
 * Everything here may be asked by the team's owner only; work is done by every
 * rank in its own thread, rank 0 being the caller's.
 */
#ifndef FEDMQ_LLM_TRAIN_TEAM_H
#define FEDMQ_LLM_TRAIN_TEAM_H

#include "fedmq/llm/team.h"
#include "llm/pass/parts.h"
#include "llm/train/collective.h"

typedef int(llm_team_work_fn)(void *argument, unsigned rank, fmq_error_t *err);

/* Every rank does work(argument, rank).  0, or -1 with the error of the first
 * rank that failed; all have come to an end by then. */
int llm_team_do(llm_team_t *self, llm_team_work_fn *work, void *argument, fmq_error_t *err);

llm_workspace_t *llm_team_workspace(llm_team_t *self, unsigned rank);
llm_collective_t *llm_team_collective(llm_team_t *self, unsigned rank);
bool llm_team_is_sharded(const llm_team_t *self);

/* Carries the lead's parameters to the others. */
int llm_team_spread(llm_team_t *self, fmq_error_t *err);

/* As the llm_workspace_*() of these names, over a batch for the whole team; nobody
 * is asked for how.agree.
 * After llm_team_train() every rank's gradient is that of its part, scaled for
 * the whole; where any part's loss is not finite no rank has run backward. */
int llm_team_train(llm_team_t *self, const llm_batch_t *batch, const llm_train_pass_t *how,
                   double *loss_sum, fmq_error_t *err);
int llm_team_loss(llm_team_t *self, const llm_batch_t *batch, double *loss_sum, fmq_error_t *err);
int llm_team_prefix(llm_team_t *self, const llm_batch_t *batch, void *out, fmq_error_t *err);

#endif
