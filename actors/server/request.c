/*
 * request.c - samples, plans, and asks in this order.
 */
#include "actors/server/request.h"

#include <stdlib.h>

#include "actors/server/coordinator_private.h"

static int ask(coordinator_t *self, uint32_t client, fmq_task_kind_t kind, fmq_error_t *err)
{
    fmq_participants_ask(&self->participants, client);
    fmq_participants_excuse(&self->participants, client, self->attention.now_ms);
    return fmq_announce_task(self, client, kind, err);
}

/* ready clients that may train and were not asked yet, into list */
static size_t candidates(const coordinator_t *self, uint32_t *list)
{
    size_t size = 0;
    for (uint32_t k = 1; k <= self->settings->training; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (participant->alive && participant->ready && !participant->asked &&
            !participant->untrained)
            list[size++] = k;
    }
    return size;
}

/* Chooses among the candidates; *chosen is the caller's, also when empty. */
static int sample(const coordinator_t *self, size_t wanted, uint32_t **chosen, size_t *size,
                  fmq_error_t *err)
{
    uint32_t *list = calloc(self->settings->training, sizeof *list);
    uint32_t *result = calloc(self->settings->training, sizeof *result);
    int rc = -1;
    if (!list || !result) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to sample clients");
        goto fail;
    }
    fmq_sampling_t sampling = {.seed = self->settings->seed,
                               .round = self->checkpoints.mark.round,
                               .candidates = list,
                               .size = candidates(self, list),
                               .wanted = wanted};
    rc = fmq_sampler_choose(self->settings->sampler, &sampling, result, size, err);
fail:
    free(list);
    if (rc < 0)
        free(result);
    else
        *chosen = result;
    return rc;
}

/* Who takes part: as an earlier process has planned, or a new sample. */
static int make_plan(coordinator_t *self, uint32_t **plan, size_t *size, fmq_error_t *err)
{
    int found = fmq_round_log_plan(&self->round_log, plan, size, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    size_t wanted = fmq_sampler_wanted(self->settings->sample_number, self->settings->sample_rate,
                                       self->settings->training);
    if (sample(self, wanted, plan, size, err) < 0)
        return -1;
    if (*size == 0)
        return 0;
    return fmq_round_log_save_plan(&self->round_log, *plan, *size, err);
}

static int ask_planned(coordinator_t *self, const uint32_t *plan, size_t size, fmq_error_t *err)
{
    for (size_t i = 0; i < size; i++) {
        if (plan[i] < 1 || plan[i] > self->settings->training)
            continue;
        bool here = self->participants.exchange->accept == FMQ_ACCEPT_UPDATE &&
                    fmq_round_log_has(&self->round_log, plan[i]);
        if (!here) {
            if (ask(self, plan[i], self->participants.exchange->task, err) < 0)
                return -1;
            continue;
        }
        fmq_participants_ask(&self->participants, plan[i]);
        fmq_participants_answered(&self->participants, plan[i]);
    }
    return 0;
}

static int ask_all(coordinator_t *self, fmq_error_t *err)
{
    for (uint32_t k = 1; k <= self->settings->clients; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (participant->alive && participant->ready &&
            ask(self, k, self->participants.exchange->task, err) < 0)
            return -1;
    }
    return 0;
}

int fmq_request_open(coordinator_t *self, const uint32_t *list, size_t size, fmq_error_t *err)
{
    uint32_t *plan = NULL;
    bool everybody = self->participants.exchange->who == FMQ_WHO_EVERYBODY;
    int rc = 0;
    if (!everybody && size == 0) {
        rc = make_plan(self, &plan, &size, err);
        list = plan;
    }
    if (rc == 0)
        rc = everybody ? ask_all(self, err) : ask_planned(self, list, size, err);
    free(plan);
    return rc;
}

/* All who are asked in this exchange, into list. */
static size_t list_asked(const coordinator_t *self, uint32_t *list)
{
    size_t size = 0;
    for (uint32_t k = 1; k <= self->settings->clients; k++)
        if (self->participants.all[k - 1].asked)
            list[size++] = k;
    return size;
}

static int save_grown_plan(coordinator_t *self, fmq_error_t *err)
{
    uint32_t *plan = calloc(self->settings->clients, sizeof *plan);
    if (!plan)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a plan");
    int rc = fmq_round_log_save_plan(&self->round_log, plan, list_asked(self, plan), err);
    free(plan);
    return rc;
}

int fmq_request_replace(coordinator_t *self, fmq_error_t *err)
{
    uint32_t *chosen = NULL;
    size_t size = 0;
    int rc = 0;
    size_t missing = fmq_participants_count(&self->participants, self->attention.now_ms).missing;
    if (sample(self, missing, &chosen, &size, err) < 0)
        return -1;
    for (size_t i = 0; i < size && rc == 0; i++)
        rc = ask(self, chosen[i], self->participants.exchange->task, err);
    free(chosen);
    if (rc < 0)
        return -1;
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "clients-replaced",
                  "round=%u gone=%zu asked=%zu", self->checkpoints.mark.round, missing, size);
    return save_grown_plan(self, err);
}

int fmq_request_call_off(coordinator_t *self, fmq_error_t *err)
{
    for (uint32_t k = 1; k <= self->settings->clients; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (participant->asked && !participant->answered &&
            fmq_announce_task(self, k, FMQ_TASK_WAIT, err) < 0)
            return -1;
    }
    return 0;
}
