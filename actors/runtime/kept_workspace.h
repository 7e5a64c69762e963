/*
 * kept_workspace.h - the team, and so the workspaces, that lie with a permit.
 *
 * Whoever has a permit takes a team with it and gives it back with it, so that the
 * next one, for the same model and adapter and no larger batches, has no memory to
 * plan.  It computes the same bytes as a new one.  There is at most one for each
 * permit: what does not fit what is asked for is gone before memory is taken for
 * another.
 */
#ifndef FEDMQ_ACTORS_KEPT_WORKSPACE_H
#define FEDMQ_ACTORS_KEPT_WORKSPACE_H

#include "fedmq/actors/devices.h"
#include "fedmq/llm/team.h"

/* Parameters and gradients beyond this are not kept: they are states that
 * nobody would be using. */
#define FMQ_KEPT_VECTORS_MAX ((size_t)64 << 20)

/* Of the devices that train together for the holder of permit: most often one.
 * limits are those of whole batches, whose sequences have at most longest tokens.
 * stack's parts must outlive the permits.  NULL with err as llm_team_new(). */
llm_team_t *fmq_workspace_take(fmq_devices_t *permits, const llm_backend_t *permit,
                               const llm_stack_t *stack, const llm_limits_t *limits, size_t longest,
                               fmq_error_t *err);
/* Leaves it with the permit, or destroys it. */
void fmq_workspace_give(fmq_devices_t *permits, const llm_backend_t *permit, llm_team_t **team_p);
/* Is it one that would be kept? */
bool fmq_workspace_is_kept(llm_team_t *team);

#endif
