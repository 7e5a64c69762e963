/*
 * team.h - several devices that train or evaluate one model together.
 *
 * A batch is dealt out by whole sequences: each device computes its part in a
 * thread of its own, the first in the caller's.  The loss is the whole batch's,
 * and so is what dropout drops.  Gradients are added in the order of the devices,
 * so that the same list gives the same bytes every time; beside one device alone
 * the result differs by the rounding of that sum.  Losses without training are
 * one device's to the byte.
 *
 * A team of one device is that device alone, without a thread.  A team belongs to
 * one thread at a time, as a workspace does.
 */
#ifndef FEDMQ_LLM_TEAM_H
#define FEDMQ_LLM_TEAM_H

#include "fedmq/base/api.h"
#include "fedmq/llm/workspace.h"

FMQ_API_BEGIN

#define LLM_TEAM_MAX 64 /* devices */

typedef struct llm_team llm_team_t;

typedef struct {
    llm_backend_t *const *backends; /* one a device, borrowed; each used by nobody else.  The list
                                       is read during the call only */
    size_t size;
    /* ZeRO (Rajbhandari et al. 2019, stage 2): every device keeps the optimizer's
     * state of its share of the vector, gets the sum of its share's gradients and
     * steps it.  False: the first device keeps and steps all.  The bytes of what is
     * trained are the same. */
    bool sharded;
    size_t longest; /* tokens of the longest sequence that a batch may hold */
} llm_team_plan_t;

/* limits are those of whole batches: a device's workspace is planned for
 * tokens_max / size and one sequence more.  The stack's parts are borrowed.  NULL
 * with err. */
llm_team_t *llm_team_new(const llm_team_plan_t *plan, const llm_stack_t *stack,
                         const llm_limits_t *limits, fmq_error_t *err);
void llm_team_destroy(llm_team_t **self_p);

/* Would one that is made for these compute the same bytes, and fit in here? */
bool llm_team_serves(const llm_team_t *self, const llm_team_plan_t *plan, const llm_stack_t *stack,
                     const llm_limits_t *limits);

size_t llm_team_size(const llm_team_t *self);
/* The first device's workspace, where parameters are set and read.  Whoever
 * trains or evaluates with the team carries them to the others first. */
llm_workspace_t *llm_team_lead(llm_team_t *self);
/* What carries vectors between the devices: "NCCL", or "host memory".  The bytes
 * are the same. */
const char *llm_team_carrier(const llm_team_t *self);
/* Why devices of one kind go through host memory; NULL where there is nothing to
 * tell. */
const char *llm_team_detour(const llm_team_t *self);
/* The vector of stack.fixed, on all devices. */
int llm_team_set_fixed(llm_team_t *self, const float *host, fmq_error_t *err);
/* Gives back all memory but the lead's parameters; nothing but
 * llm_workspace_get_params() of the lead may follow. */
void llm_team_strip(llm_team_t *self);

FMQ_API_END

#endif
