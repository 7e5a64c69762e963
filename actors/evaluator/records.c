/*
 * records.c - what an evaluator measures on: records of its own, or those that
 * the splitter holds for evaluators.  Without any it says why, on both sides,
 * so that nobody waits for numbers that do not come.
 */
#include <stdio.h>
#include <string.h>

#include "actors/evaluator/evaluator_private.h"
#include "fedmq/actors/shard.h"
#include "fedmq/base/clock.h"

#define LACKING_MS 2000 /* a splitter may still be reading its data set */

static const char *part_name(const evaluator_t *self)
{
    return self->is_val ? "val" : "test";
}

void fmq_evaluator_use_records(evaluator_t *self, const llm_records_t *records)
{
    char what[32], misfits[LLM_FIT_TEXT_BYTES];
    size_t tok_len = (size_t)fmq_config_int(self->context.config, "llm.tok_len");
    self->dataset = llm_dataset_new(records, NULL, self->context.tokenizer, tok_len, &self->fatal);
    if (!self->dataset)
        return;
    const llm_fit_t fit = llm_dataset_fit(self->dataset);
    if (llm_dataset_size(self->dataset) == 0) {
        (void)snprintf(what, sizeof what, "%s records", part_name(self));
        (void)llm_fit_refuse(&fit, what, "llm.tok_len", tok_len, &self->fatal);
        fmq_error_prefix(&self->fatal, "there is nothing to evaluate");
        return;
    }
    if (self->context.prefixes) {
        self->prefix = llm_prefix_cache_new(self->context.prefixes, &self->fatal);
        self->plugin_prefix = llm_prefix_cache_new(self->context.prefixes, &self->fatal);
        if (!self->prefix || !self->plugin_prefix)
            return;
    }
    self->records = records;
    llm_fit_text(&fit, "llm.tok_len", tok_len, misfits);
    fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "data", "%s=%zu dropped=%zu",
                  part_name(self), llm_dataset_size(self->dataset),
                  llm_dataset_dropped(self->dataset));
    if (*misfits)
        fmq_log_write(self->context.log, FMQ_LOG_WARNING, self->name, "records", "text=\"%s\"",
                      misfits);
    fmq_evaluator_say(self, false, "");
}

void fmq_evaluator_on_shard(void *argument, const fmq_event_t *event, const void *message)
{
    evaluator_t *self = argument;
    const fmq_message_shard_t *note = message;
    if (self->records || note->client != 0)
        return;
    fmq_download_from_t from = {.link = self->link,
                                .log = self->context.log,
                                .actor = self->name,
                                .what = "shard",
                                .owner = event->member,
                                .digest = &note->shard};
    self->shard = *note;
    self->lacking_ms = fmq_clock_ms();
    memcpy(self->splitter, event->member, sizeof self->splitter);
    fmq_download_bytes(&self->shard_download, &from, FMQ_SHARD_MAX, fmq_clock_ms());
}

/* Test records, or validation records where there are none for testing: of those
 * that eval.split asks for. */
static void take_records(evaluator_t *self, llm_records_t *parts[3])
{
    static const char *const names[] = {[1] = "val", [2] = "test"};
    for (size_t part = 2; part >= 1 && !self->fetched; part--) {
        if (llm_records_size(parts[part]) == 0 ||
            !fmq_settings_measures(self->context.config, names[part]))
            continue;
        self->is_val = part == 1;
        self->fetched = parts[part];
        parts[part] = NULL;
        fmq_evaluator_use_records(self, self->fetched);
    }
    if (!self->fetched)
        (void)fmq_error_set(&self->fatal, FMQ_ERR_CONFIG,
                            "the splitter holds no records for the evaluator of a part that "
                            "eval.split asks for (it has %zu for val, %zu for test): see "
                            "data.splits, or give it --data FILE",
                            llm_records_size(parts[1]), llm_records_size(parts[2]));
}

static void decode_shard(evaluator_t *self)
{
    llm_records_t *parts[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
    if (!parts[0] || !parts[1] || !parts[2])
        (void)fmq_error_set(&self->fatal, FMQ_ERR_NOMEM, "no memory for records");
    else if (fmq_shard_decode(self->shard_download.bytes.data, self->shard_download.bytes.size,
                              parts, &self->fatal) == 0)
        take_records(self, parts);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
    fmq_download_cancel(&self->shard_download);
}

/* A shard that comes in is work: who waits for this evaluator sees it. */
void fmq_evaluator_take_shard(evaluator_t *self, const fmq_event_t *event)
{
    fmq_receive_t got =
        fmq_download_take(&self->shard_download, event, fmq_clock_ms(), &self->fatal);
    if (got == FMQ_RECEIVE_MORE && event->type == FMQ_EVENT_CHUNK) {
        self->lacking_ms = fmq_clock_ms();
        self->steps++;
        fmq_link_set_progress(self->link, self->steps, self->steps);
    }
    if (got == FMQ_RECEIVE_DONE)
        decode_shard(self);
}

void fmq_evaluator_why_no_records(const evaluator_t *self, char out[FMQ_REASON_MAX])
{
    if (self->shard_download.active)
        (void)snprintf(out, FMQ_REASON_MAX, "its records have not come from '%s' yet",
                       self->splitter);
    else
        (void)snprintf(out, FMQ_REASON_MAX,
                       "it has no records: no splitter has dealt out any; give it --data FILE, or "
                       "start fedmq splitter");
}

void fmq_evaluator_tend_records(evaluator_t *self, int64_t now_ms)
{
    char reason[FMQ_REASON_MAX];
    if (self->records || !self->has_run)
        return;
    if (fmq_config_bool(self->context.config, "fedmq.own_data") && !self->shard_download.active) {
        (void)fmq_error_set(&self->fatal, FMQ_ERR_CONFIG,
                            "it has no records: clients bring their own (fedmq.own_data), so "
                            "nobody deals out any; use fedmq evaluator with --data FILE");
        return;
    }
    if (self->lacking_ms == 0)
        self->lacking_ms = now_ms;
    if (now_ms - self->lacking_ms < LACKING_MS)
        return;
    fmq_evaluator_why_no_records(self, reason);
    fmq_evaluator_say(self, false, reason);
}

int fmq_evaluator_records_patience(const evaluator_t *self, int64_t now_ms, int most)
{
    int64_t due_ms = self->lacking_ms + LACKING_MS - now_ms;
    if (self->records || self->lacking_ms == 0 || due_ms <= 0 || due_ms > most)
        return most;
    return (int)due_ms;
}
