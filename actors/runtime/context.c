/*
 * context.c - which model an actor of a client's kind computes with, and what
 * must be the same at all of them.  Holds and opens nothing.
 */
#include "fedmq/actors/actors.h"

#include <stdio.h>
#include <string.h>

const llm_model_t *fmq_context_client_model(const fmq_context_t *self)
{
    return self->offsite ? self->offsite->student : self->model;
}

llm_stack_t fmq_context_client_stack(const fmq_context_t *self)
{
    if (!self->offsite)
        return (llm_stack_t){.model = self->model, .adapter = self->adapter};
    return (llm_stack_t){.model = self->offsite->student,
                         .adapter = self->offsite->adapter,
                         .fixed = self->offsite->state};
}

/* The tokenizer comes first: the adapter's text may be cut at its end. */
void fmq_context_meaning(const fmq_context_t *self, char out[FMQ_REASON_MAX])
{
    char adapter[LLM_MEANING_MAX], hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_t digest = llm_tokenizer_digest(self->tokenizer);
    fmq_digest_hex(&digest, hex);
    llm_adapter_meaning(self->adapter, adapter);
    int used = snprintf(out, FMQ_REASON_MAX, "eos_token_id=%d tokenizer=%.16s ",
                        llm_tokenizer_eos(self->tokenizer), hex);
    (void)snprintf(out + used, FMQ_REASON_MAX - (size_t)used, "%s", adapter);
}

bool fmq_meaning_refused(const char *server, const char *here, char out[FMQ_REASON_MAX])
{
    llm_difference_t difference;
    if (!llm_meaning_differs(server, here, &difference))
        return false;
    (void)snprintf(out, FMQ_REASON_MAX,
                   "'%s' is %s at the server, %s here: the same numbers would mean something else; "
                   "both must use the same model folder and the same llm.adapter settings",
                   difference.key, difference.there, difference.here);
    return true;
}
