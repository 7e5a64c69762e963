/*
 * kept_workspace.h - the workspace that lies with a permit.
 *
 * Whoever has a permit takes a workspace with it and gives it back with it, so
 * that the next one, for the same model and adapter and no larger batches, has
 * no memory to plan.  It computes the same bytes as a new one.  There is at
 * most one for each permit: what does not fit what is asked for is gone before
 * memory is taken for another.
 */
#ifndef FEDMQ_ACTORS_RUNTIME_KEPT_WORKSPACE_H
#define FEDMQ_ACTORS_RUNTIME_KEPT_WORKSPACE_H

#include "fedmq/actors/actors.h"
#include "fedmq/llm/workspace.h"

/* Parameters and gradients beyond this are not kept: they are states that
 * nobody would be using. */
#define FMQ_KEPT_VECTORS_MAX ((size_t)64 << 20)

/* For the holder of permit.  stack's parts must outlive the permits.  NULL with
 * err as llm_workspace_new_stack(). */
llm_workspace_t *fmq_workspace_take(fmq_devices_t *permits, llm_backend_t *permit,
                                    const llm_stack_t *stack, const llm_limits_t *limits,
                                    fmq_error_t *err);
/* Leaves it with the permit, or destroys it. */
void fmq_workspace_give(fmq_devices_t *permits, const llm_backend_t *permit,
                        llm_workspace_t **workspace_p);
/* Is it one that would be kept? */
bool fmq_workspace_is_kept(const llm_workspace_t *workspace);

#endif
