/*
 * train.c - the routine over a workspace's own loss: the mean over supervised
 * positions.
 */
#include "fedmq/llm/train.h"

#include "llm/train/routine.h"
#include "llm/train/team.h"

typedef struct {
    llm_workspace_t *ws;
    llm_team_t *team; /* NULL: none */
    float smoothing;
} trained_t;

/* The only part is the sum over supervised positions. */
static int train_batch(void *argument, const llm_routine_batch_t *batch, llm_routine_loss_t *loss,
                       fmq_error_t *err)
{
    const trained_t *trained = argument;
    double sum = 0, supervised = (double)batch->batch->supervised;
    const llm_train_pass_t how = {.scale = (float)(1 / (supervised * batch->divisor)),
                                  .smoothing = trained->smoothing,
                                  .dropout = batch->dropout};
    int rc = trained->team ? llm_team_train(trained->team, batch->batch, &how, &sum, err)
                           : llm_workspace_train_when(trained->ws, batch->batch, &how, &sum, err);
    if (rc < 0)
        return -1;
    *loss = (llm_routine_loss_t){.loss = sum / supervised, .parts = {sum}};
    return 0;
}

int llm_train_run(llm_workspace_t *ws, const llm_dataset_t *dataset,
                  const llm_train_options_t *options, llm_progress_fn *progress, void *argument,
                  llm_train_stats_t *stats, fmq_error_t *err)
{
    trained_t trained = {
        .ws = ws, .team = options->team, .smoothing = (float)options->label_smoothing};
    if (trained.team && llm_team_lead(trained.team) != ws)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "the workspace does not lead the team");
    llm_routine_t routine = {.ws = ws,
                             .pass = train_batch,
                             .argument = &trained,
                             .order = FMQ_RNG_SHUFFLE,
                             .progress = progress,
                             .progress_argument = argument};
    llm_routine_result_t result;
    if (llm_routine_run(&routine, dataset, options, &result, err) < 0)
        return -1;
    if (stats) {
        *stats = result.stats;
        stats->nll_sum = result.parts[0];
    }
    return 0;
}
