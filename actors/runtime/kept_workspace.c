/*
 * kept_workspace.c - takes what lies with a permit, if it will do.
 */
#include "actors/runtime/kept_workspace.h"

static void forget(void *team)
{
    llm_team_t *kept = team;
    llm_team_destroy(&kept);
}

llm_team_t *fmq_workspace_take(fmq_devices_t *permits, const llm_backend_t *permit,
                               const llm_stack_t *stack, const llm_limits_t *limits, size_t longest,
                               fmq_error_t *err)
{
    llm_team_plan_t plan = fmq_devices_team(permits, permit);
    plan.longest = longest;
    llm_team_t *kept = fmq_devices_pick_up(permits, permit);
    if (kept && llm_team_serves(kept, &plan, stack, limits))
        return kept;
    llm_team_destroy(&kept);
    fmq_error_t why;
    llm_team_t *made = llm_team_new(&plan, stack, limits, &why);
    if (!made && why.code == FMQ_ERR_NOMEM) { /* others need not keep theirs */
        fmq_devices_forget(permits, NULL);
        made = llm_team_new(&plan, stack, limits, &why);
    }
    if (!made)
        (void)fmq_error_copy(err, &why);
    return made;
}

bool fmq_workspace_is_kept(llm_team_t *team)
{
    return llm_workspace_elements(llm_team_lead(team)) <=
           FMQ_KEPT_VECTORS_MAX / (2 * sizeof(float));
}

void fmq_workspace_give(fmq_devices_t *permits, const llm_backend_t *permit, llm_team_t **team_p)
{
    if (*team_p && fmq_workspace_is_kept(*team_p)) {
        fmq_devices_leave(permits, permit, *team_p, forget);
        *team_p = NULL;
    }
    llm_team_destroy(team_p);
}
