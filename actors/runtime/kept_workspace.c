/*
 * kept_workspace.c - takes what lies with a permit, if it will do.
 */
#include "actors/runtime/kept_workspace.h"

static void forget(void *workspace)
{
    llm_workspace_t *kept = workspace;
    llm_workspace_destroy(&kept);
}

llm_workspace_t *fmq_workspace_take(fmq_devices_t *permits, llm_backend_t *permit,
                                    const llm_stack_t *stack, const llm_limits_t *limits,
                                    fmq_error_t *err)
{
    llm_workspace_t *kept = fmq_devices_pick_up(permits, permit);
    if (kept && llm_workspace_serves(kept, stack, limits))
        return kept;
    llm_workspace_destroy(&kept);
    fmq_error_t why;
    llm_workspace_t *made = llm_workspace_new_stack(stack, limits, permit, &why);
    if (!made && why.code == FMQ_ERR_NOMEM) { /* others need not keep theirs */
        fmq_devices_forget(permits, NULL);
        made = llm_workspace_new_stack(stack, limits, permit, &why);
    }
    if (!made)
        (void)fmq_error_set(err, why.code, "%s", why.text);
    return made;
}

bool fmq_workspace_is_kept(const llm_workspace_t *workspace)
{
    return llm_workspace_elements(workspace) <= FMQ_KEPT_VECTORS_MAX / (2 * sizeof(float));
}

void fmq_workspace_give(fmq_devices_t *permits, const llm_backend_t *permit,
                        llm_workspace_t **workspace_p)
{
    if (*workspace_p && fmq_workspace_is_kept(*workspace_p)) {
        fmq_devices_leave(permits, permit, *workspace_p, forget);
        *workspace_p = NULL;
    }
    llm_workspace_destroy(workspace_p);
}
