/*
 * added.c - finding added tokens in a text.  A token's first byte leads to the
 * few that may begin there.
 */
#include "llm/tokenizer/added.h"

#include <stdlib.h>
#include <string.h>

#include "llm/tokenizer/oniguruma.h"

int llm_added_add(llm_added_t *self, const llm_added_token_t *flags, const char *content,
                  size_t size, fmq_error_t *err)
{
    if (self->size == LLM_ADDED_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "more than %d added tokens", LLM_ADDED_MAX);
    if (llm_vocab_add(&self->vocab, content, size, (uint64_t)flags->id, err) < 0)
        return -1;
    llm_added_token_t *grown =
        llm_text_grow(self->tokens, self->size, &self->capacity, sizeof *grown, err);
    if (!grown)
        return -1;
    self->tokens = grown;
    llm_added_token_t *token = &self->tokens[self->size++];
    *token = *flags;
    token->content = (llm_text_t){0};
    return llm_text_append(&token->content, content, size, err);
}

void llm_added_release(llm_added_t *self)
{
    for (size_t i = 0; i < self->size; i++)
        llm_text_release(&self->tokens[i].content);
    free(self->tokens);
    free(self->special);
    free(self->raw.order);
    free(self->normalized.order);
    llm_vocab_release(&self->vocab);
    llm_pattern_release(&self->word);
    *self = (llm_added_t){0};
}

/* What is searched for in the normalized text is the normalized content. */
static int normalize_content(llm_added_token_t *token, const llm_steps_t *normalizer,
                             llm_pieces_t *pieces, fmq_error_t *err)
{
    llm_pieces_clear(pieces);
    if (llm_pieces_add(pieces, token->content.data, token->content.size, true, err) < 0 ||
        llm_steps_run(normalizer, pieces, err) < 0)
        return -1;
    token->content.size = 0;
    return llm_text_append(&token->content, pieces->now.text.data, pieces->now.text.size, err);
}

/* qsort() has no context, so each item carries what it is compared by. */
typedef struct {
    const llm_added_token_t *token;
    uint32_t index;
} item_t;

static int compare_items(const void *a, const void *b)
{
    const item_t *left = a, *right = b;
    int first = (unsigned char)left->token->content.data[0];
    int other = (unsigned char)right->token->content.data[0];
    if (first != other)
        return first - other;
    if (left->token->content.size != right->token->content.size)
        return left->token->content.size > right->token->content.size ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static int order_pass(const llm_added_t *self, llm_added_pass_t *pass, bool normalized,
                      fmq_error_t *err)
{
    item_t *items = calloc(self->size + 1, sizeof *items);
    pass->order = calloc(self->size + 1, sizeof *pass->order);
    if (!items || !pass->order) {
        free(items);
        return llm_text_nomem(err);
    }
    size_t size = 0;
    for (size_t i = 0; i < self->size; i++)
        if (self->tokens[i].normalized == normalized && self->tokens[i].content.size)
            items[size++] = (item_t){&self->tokens[i], (uint32_t)i};
    qsort(items, size, sizeof *items, compare_items);
    size_t at = 0;
    for (unsigned byte = 0; byte <= 256; byte++) {
        pass->first[byte] = at;
        for (; at < size && (unsigned char)items[at].token->content.data[0] == byte; at++)
            pass->order[at] = items[at].index;
    }
    free(items);
    return 0;
}

int llm_added_finish(llm_added_t *self, const llm_steps_t *normalizer, fmq_error_t *err)
{
    static const char word[] = "[" LLM_RUST_WORD "]";
    llm_pieces_t pieces;
    if (llm_pattern_expression(&self->word, word, sizeof word - 1, err) < 0 ||
        llm_pieces_init(&pieces, err) < 0)
        return -1;
    self->special = calloc(self->vocab.size + 1, sizeof *self->special);
    int status = self->special ? 0 : llm_text_nomem(err);
    for (size_t i = 0; i < self->size && status == 0; i++)
        self->special[self->tokens[i].id] = self->tokens[i].special;
    for (size_t i = 0; i < self->size && status == 0; i++)
        if (self->tokens[i].normalized && self->tokens[i].content.size)
            status = normalize_content(&self->tokens[i], normalizer, &pieces, err);
    llm_pieces_release(&pieces);
    if (status < 0 || order_pass(self, &self->raw, false, err) < 0)
        return -1;
    return order_pass(self, &self->normalized, true, err);
}

bool llm_added_is_special(const llm_added_t *self, int32_t id)
{
    return id >= 0 && (size_t)id < self->vocab.size && self->special[id];
}

static const llm_added_token_t *token_at(const llm_added_t *self, const llm_added_pass_t *pass,
                                         const char *at, size_t left)
{
    unsigned char byte = (unsigned char)*at;
    for (size_t i = pass->first[byte]; i < pass->first[byte + 1u]; i++) {
        const llm_added_token_t *token = &self->tokens[pass->order[i]];
        if (token->content.size <= left &&
            memcmp(token->content.data, at, token->content.size) == 0)
            return token;
    }
    return NULL;
}

static size_t character_before(const char *text, size_t at)
{
    do
        at--;
    while (((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

/* 1 when a character of a word begins at at, 0 when not. */
static int is_word(const llm_added_t *self, const char *at, fmq_error_t *err)
{
    void *match = llm_pattern_match_new(err);
    if (!match)
        return -1;
    llm_search_t search = {
        .pattern = &self->word, .match = match, .text = at, .size = llm_utf8_length(at)};
    int found = llm_pattern_next(&search, err);
    llm_pattern_match_free(match);
    return found;
}

/* 1 when no character of a word touches the range, 0 when one does. */
static int stands_alone(const llm_added_t *self, llm_slice_t text, llm_part_t range,
                        fmq_error_t *err)
{
    int before = 0, behind = 0;
    if (range.begin > 0)
        before = is_word(self, text.data + character_before(text.data, range.begin), err);
    if (before == 0 && range.end < text.size)
        behind = is_word(self, text.data + range.end, err);
    return before < 0 || behind < 0 ? -1 : !before && !behind;
}

/* Takes the white space that a token claims.  What lies before from has been
 * claimed already, and stays so even when a token was found in it. */
static void strip(const llm_added_token_t *token, llm_slice_t text, size_t from, llm_part_t *range)
{
    while (token->lstrip && range->begin > from) {
        size_t before = character_before(text.data, range->begin);
        if (!llm_utf8_is_space(llm_utf8_decode(text.data + before)))
            break;
        range->begin = before;
    }
    if (token->lstrip && range->begin < from)
        range->begin = from;
    while (token->rstrip && range->end < text.size &&
           llm_utf8_is_space(llm_utf8_decode(text.data + range->end)))
        range->end += llm_utf8_length(text.data + range->end);
}

static int add_part(llm_parts_t *parts, llm_part_t part, fmq_error_t *err)
{
    if (part.begin >= part.end)
        return 0;
    llm_part_t *grown =
        llm_text_grow(parts->parts, parts->size, &parts->capacity, sizeof *grown, err);
    if (!grown)
        return -1;
    parts->parts = grown;
    parts->parts[parts->size++] = part;
    return 0;
}

int llm_added_split(const llm_added_t *self, const llm_added_pass_t *pass, llm_slice_t text,
                    llm_parts_t *parts, fmq_error_t *err)
{
    size_t done = 0; /* what is already in parts */
    parts->size = 0;
    for (size_t at = 0; at < text.size;) {
        const llm_added_token_t *token = token_at(self, pass, text.data + at, text.size - at);
        if (!token) {
            at++;
            continue;
        }
        llm_part_t range = {at, at + token->content.size, token->id};
        at = range.end; /* also when the match is not taken */
        int alone = token->single_word ? stands_alone(self, text, range, err) : 1;
        if (alone < 0)
            return -1;
        if (!alone)
            continue;
        strip(token, text, done, &range);
        if (add_part(parts, (llm_part_t){done, range.begin, -1}, err) < 0 ||
            add_part(parts, range, err) < 0)
            return -1;
        /* This can go back: a token within the white space that the one before
         * claimed is taken all the same, and what follows it is text, as in HF. */
        done = range.end;
    }
    return add_part(parts, (llm_part_t){done, text.size, -1}, err);
}
