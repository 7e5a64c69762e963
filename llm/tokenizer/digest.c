/*
 * digest.c - what tells one tokenizer from another: its tokens, and what it
 * makes of texts that show how it cuts them.  The bytes of its files do not
 * enter: the same tokenizer may be a tokenizer.json or a pair of files.
 */
#include <string.h>

#include "llm/tokenizer/loader.h"

static const char *const samples[] = {
    "Below is an instruction that describes a task.\n\n### Instruction:\nWrite it.\n\n### "
    "Response:",
    "The quick brown fox can't jump 12345 times over 1,024 lazy dogs; it's 3.14!  "
    "Really?\n\n\tYes.",
    "  two  spaces, CamelCase, snake_case, UPPER and https://example.org/a?b=c&d=%20",
    "na\xc3\xafve caf\xc3\xa9, \xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, "
    "\xe4\xbd\xa0\xe5\xa5\xbd, \xf0\x9f\x98\x80 e\xcc\x81",
};

static void add_number(fmq_digest_state_t *state, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    fmq_digest_add(state, bytes, sizeof bytes);
}

static void add_tokens(const llm_tokenizer_t *self, fmq_digest_state_t *state)
{
    size_t tokens = llm_tokenizer_size(self);
    add_number(state, tokens);
    for (size_t id = 0; id < tokens; id++) {
        size_t size = 0;
        const char *text = llm_vocab_text(&self->added.vocab, (int32_t)id, &size);
        if (!text)
            text = llm_vocab_text(&self->bpe.vocab, (int32_t)id, &size);
        add_number(state, text ? size : UINT64_MAX);
        if (text)
            fmq_digest_add(state, text, size);
    }
}

/* A text that cannot be encoded (no memory) enters as nothing: such a digest
 * equals no other end's, which is the safe answer. */
static void add_sample(const llm_tokenizer_t *self, const char *text, fmq_digest_state_t *state)
{
    llm_ids_t ids = {0};
    if (llm_tokenizer_encode(self, text, strlen(text), true, &ids, NULL) == 0) {
        add_number(state, ids.size);
        for (size_t i = 0; i < ids.size; i++)
            add_number(state, (uint64_t)ids.ids[i]);
    }
    llm_ids_release(&ids);
}

fmq_digest_t llm_tokenizer_digest(const llm_tokenizer_t *self)
{
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    add_tokens(self, &state);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        add_sample(self, samples[i], &state);
    return fmq_digest_end(&state);
}
