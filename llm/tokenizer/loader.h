/*
 * loader.h - what a tokenizer is made of, and the readers of its files.
 *
 * Private to the tokenizer.  Whatever a file asks for is either built or
 * refused by its name; nothing is skipped silently but truncation and padding,
 * which transformers sets anew for every call.
 */
#ifndef FEDMQ_LLM_TOKENIZER_LOADER_H
#define FEDMQ_LLM_TOKENIZER_LOADER_H

#include <jansson.h>

#include "fedmq/llm/tokenizer.h"
#include "llm/tokenizer/added.h"
#include "llm/tokenizer/bpe.h"
#include "llm/tokenizer/decoder.h"
#include "llm/tokenizer/pieces.h"

#define LLM_TOKENIZER_STEPS_MAX 256 /* of a normalizer, pre-tokenizer or decoder */

struct llm_tokenizer {
    llm_bpe_t bpe;
    llm_added_t added;
    llm_steps_t normalizer;
    llm_steps_t pre_tokenizer;
    llm_decoders_t decoders;
    bool joins_by_space; /* no decoder: HF joins tokens by spaces */
    llm_ids_t before;    /* what the post-processor puts before a text */
    llm_ids_t behind;
    int32_t bos, eos; /* -1: none */
    llm_ids_t ends;   /* all that end an answer, eos among them */
    char *eos_text;   /* owned */
};

/* The parts of a tokenizer.json; a value may be NULL or null. */
int llm_tokenizer_read_model(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err);
int llm_tokenizer_read_added(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err);
int llm_tokenizer_read_normalizer(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err);
int llm_tokenizer_read_pre_tokenizer(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err);
int llm_tokenizer_read_decoder(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err);
int llm_tokenizer_read_post_processor(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err);

/* All of them. */
int llm_tokenizer_read_json(llm_tokenizer_t *self, const json_t *root, fmq_error_t *err);

/* GPT-2's pair of files, and its pre-tokenizer and decoder. */
int llm_tokenizer_read_pair(llm_tokenizer_t *self, const char *directory, fmq_error_t *err);

/* Finds bos and eos in the files of a directory, and makes them added tokens
 * where they are not yet; then every end of an answer. */
int llm_tokenizer_read_ends(llm_tokenizer_t *self, const char *directory, fmq_error_t *err);

/* Puts bos and eos around every text as tokenizer_config.json says with
 * add_bos_token and add_eos_token.  For the pair of files alone: transformers 5
 * drops both keys where there is a tokenizer.json, whose post-processor counts. */
int llm_tokenizer_read_marks(llm_tokenizer_t *self, const char *directory, fmq_error_t *err);

/* Orders and completes what was read. */
int llm_tokenizer_finish(llm_tokenizer_t *self, fmq_error_t *err);

/* A text of the JSON as bytes; size 0 unless value is a string. */
static inline llm_slice_t llm_tokenizer_slice(const json_t *value)
{
    return json_is_string(value)
               ? (llm_slice_t){json_string_value(value), json_string_length(value)}
               : (llm_slice_t){"", 0};
}

/* GPT-2's pre-tokenizer. */
int llm_tokenizer_add_byte_level(llm_tokenizer_t *self, bool prefix_space, bool splits,
                                 fmq_error_t *err);

#endif
