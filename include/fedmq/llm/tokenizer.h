/*
 * tokenizer.h - text to token ids and back, as the HF tokenizers do it.
 *
 * Reads tokenizer.json (model BPE: byte-level with pre-tokenizer patterns, and
 * SentencePiece style with byte fallback), or vocab.json + merges.txt (GPT-2).
 * A tokenizer is immutable after opening and may be used by many threads.  What
 * a file asks for and this cannot do (other models, Unicode normalization, ...)
 * is refused by its name when it is opened; the truncation and padding that it
 * asks for are ignored, as transformers does.  Ids are those of the
 * tokenizers package (checked with 0.21 and 0.23), decoded texts those of its
 * versions before 0.23 (see scripts/goldens/make_tokenizer_goldens.py).
 */
#ifndef FEDMQ_LLM_TOKENIZER_H
#define FEDMQ_LLM_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define LLM_TOKENIZER_FILE_MAX (64u << 20)

typedef struct llm_tokenizer llm_tokenizer_t;

/* A growing list of ids; release with llm_ids_release(). */
typedef struct {
    int32_t *ids; /* owned */
    size_t size, capacity;
} llm_ids_t;

void llm_ids_release(llm_ids_t *ids);
int llm_ids_append(llm_ids_t *ids, int32_t id, fmq_error_t *err);

/* Opens the tokenizer of a model directory. */
llm_tokenizer_t *llm_tokenizer_open(const char *directory, fmq_error_t *err);
void llm_tokenizer_destroy(llm_tokenizer_t **self_p);

/* Appends the ids of size bytes of UTF-8 text (invalid bytes become U+FFFD, as
 * Python would have it).  special: also the tokens that the post-processor
 * adds (LLaMA's BOS).  Special tokens written in the text are recognised, as
 * HF does. */
int llm_tokenizer_encode(const llm_tokenizer_t *self, const char *text, size_t size, bool special,
                         llm_ids_t *ids, fmq_error_t *err);

/* Text of ids, the caller's, NUL-terminated, *size without the NUL (may be
 * NULL).  skip_special as in HF's decode(skip_special_tokens=...), without
 * clean_up_tokenization_spaces.  Ids that no token has give nothing, as in HF;
 * negative ones are FMQ_ERR_LIMIT. */
char *llm_tokenizer_decode(const llm_tokenizer_t *self, const int32_t *ids, size_t count,
                           bool skip_special, size_t *size, fmq_error_t *err);

size_t llm_tokenizer_size(const llm_tokenizer_t *self); /* highest id + 1 */
int32_t llm_tokenizer_bos(const llm_tokenizer_t *self); /* -1 when there is none */
/* The end that examples get behind their answer; -1 when there is none. */
int32_t llm_tokenizer_eos(const llm_tokenizer_t *self);
/* Every id that ends an answer: the above, and all that generation_config.json
 * and config.json name (borrowed; *size of them, maybe 0). */
const int32_t *llm_tokenizer_ends(const llm_tokenizer_t *self, size_t *size);
/* The same of a model directory without its tokenizer: appends to ends those
 * that its two configurations name by id. */
int llm_ends_load(const char *directory, llm_ids_t *ends, fmq_error_t *err);
/* Equal where two tokenizers have the same tokens under the same ids and cut
 * some sample texts alike, whatever files they come from. */
fmq_digest_t llm_tokenizer_digest(const llm_tokenizer_t *self);
/* Id of exactly this token, or -1. */
int32_t llm_tokenizer_id(const llm_tokenizer_t *self, const char *token);
/* Content of the EOS token (what FS-LLM appends to an answer), or "". */
const char *llm_tokenizer_eos_text(const llm_tokenizer_t *self);

FMQ_API_END

#endif
