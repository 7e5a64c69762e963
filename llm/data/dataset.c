/*
 * dataset.c - records to token ids, in one contiguous store.
 *
 * FS-LLM's tokenising (its LLMDataset): source and source + target are encoded
 * separately, each cut at tok_len.  Batches are made elsewhere.
 */
#include "fedmq/llm/dataset.h"

#include <stdlib.h>
#include <string.h>

/* Long texts are encoded piece by piece, cut behind a newline, so that no
 * tokenizer meets a text of gigabytes. */
#define TEXT_PIECE_BYTES (256u << 10)
#define TOK_LEN_MAX      (1u << 20)

typedef struct {
    size_t begin;
    uint32_t size, prompt;
} span_t;

struct llm_dataset {
    llm_ids_t ids;  /* owned: all examples, one behind the other */
    span_t *spans;  /* owned */
    size_t *totals; /* owned: totals[n] = tokens of the n longest together */
    size_t size, capacity;
    llm_fit_t fit;
};

/* What making a dataset needs beside it. */
typedef struct {
    llm_dataset_t *dataset;
    const llm_tokenizer_t *tokenizer;
    size_t tok_len;
    llm_ids_t prompt; /* owned: ids of a prompt, used again and again */
} maker_t;

void llm_dataset_destroy(llm_dataset_t **self_p)
{
    llm_dataset_t *self = *self_p;
    if (!self)
        return;
    llm_ids_release(&self->ids);
    free(self->spans);
    free(self->totals);
    free(self);
    *self_p = NULL;
}

static int no_memory(fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot make a dataset: out of memory");
}

static int add_span(llm_dataset_t *self, const span_t *span, fmq_error_t *err)
{
    if (self->size == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 256;
        if (capacity > SIZE_MAX / sizeof *self->spans)
            return no_memory(err);
        span_t *spans = realloc(self->spans, capacity * sizeof *spans);
        if (!spans)
            return no_memory(err);
        self->spans = spans;
        self->capacity = capacity;
    }
    self->spans[self->size++] = *span;
    return 0;
}

/* The caller's text of a and b. */
static char *joined(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > SIZE_MAX / 4 || b_size > SIZE_MAX / 4)
        return NULL;
    char *text = malloc(a_size + b_size + 1);
    if (!text)
        return NULL;
    memcpy(text, a, a_size);
    memcpy(text + a_size, b, b_size + 1);
    return text;
}

/* Cuts the store's ids from begin on into blocks that are supervised whole. */
static int add_blocks(maker_t *self, size_t begin, fmq_error_t *err)
{
    llm_dataset_t *dataset = self->dataset;
    size_t end = dataset->ids.size;
    while (end - begin > 1) {
        size_t size = end - begin < self->tok_len ? end - begin : self->tok_len;
        if (add_span(dataset, &(span_t){.begin = begin, .size = (uint32_t)size}, err) < 0)
            return -1;
        begin += size;
    }
    dataset->ids.size = begin;
    return 0;
}

/* Bytes of the next piece of a text: up to the last newline within the limit,
 * or to the last whole character where there is none. */
static size_t piece_length(const char *text, size_t size)
{
    if (size <= TEXT_PIECE_BYTES)
        return size;
    size_t length = TEXT_PIECE_BYTES;
    while (length > 0 && text[length - 1] != '\n')
        length--;
    if (length > 0)
        return length;
    length = TEXT_PIECE_BYTES;
    while (length > TEXT_PIECE_BYTES - 4 && ((unsigned char)text[length] & 0xC0) == 0x80)
        length--;
    return length;
}

static int add_text(maker_t *self, const char *text, size_t size, fmq_error_t *err)
{
    llm_dataset_t *dataset = self->dataset;
    size_t begin = dataset->ids.size, before = dataset->size;
    for (size_t at = 0; at < size;) {
        size_t length = piece_length(text + at, size - at);
        if (llm_tokenizer_encode(self->tokenizer, text + at, length, at == 0, &dataset->ids, err) <
            0)
            return -1;
        at += length;
    }
    if (add_blocks(self, begin, err) < 0)
        return -1;
    dataset->fit.unanswered += dataset->size == before;
    return 0;
}

/* Appends the ids of prompt and output, and EOS.  FS-LLM appends the EOS token's
 * text, which its tokenizers take for EOS wherever it stands; not every
 * tokenizer.json would, so the id is appended. */
static int encode_whole(maker_t *self, const char *prompt, const char *output, fmq_error_t *err)
{
    llm_ids_t *ids = &self->dataset->ids;
    char *whole = joined(prompt, output);
    if (!whole)
        return no_memory(err);
    int result = llm_tokenizer_encode(self->tokenizer, whole, strlen(whole), true, ids, err);
    free(whole);
    int32_t eos = llm_tokenizer_eos(self->tokenizer);
    if (result < 0 || eos < 0)
        return result;
    return llm_ids_append(ids, eos, err);
}

static int add_answer(maker_t *self, const char *prompt, const char *output, fmq_error_t *err)
{
    llm_dataset_t *dataset = self->dataset;
    size_t begin = dataset->ids.size;
    self->prompt.size = 0;
    if (llm_tokenizer_encode(self->tokenizer, prompt, strlen(prompt), true, &self->prompt, err) <
            0 ||
        encode_whole(self, prompt, output, err) < 0)
        return -1;
    size_t whole = dataset->ids.size - begin;
    size_t size = whole < self->tok_len ? whole : self->tok_len;
    size_t masked = self->prompt.size < self->tok_len ? self->prompt.size : self->tok_len;
    /* Nothing predicts the first token, so one id alone teaches nothing. */
    if (size < 2 || masked >= size) {
        dataset->ids.size = begin;
        if (whole > self->tok_len || self->prompt.size >= self->tok_len)
            dataset->fit.too_long++;
        else
            dataset->fit.unanswered++;
        return 0;
    }
    dataset->fit.cut += size < whole;
    dataset->ids.size = begin + size;
    return add_span(dataset,
                    &(span_t){.begin = begin, .size = (uint32_t)size, .prompt = (uint32_t)masked},
                    err);
}

static int add_record(maker_t *self, const llm_record_t *record, fmq_error_t *err)
{
    self->dataset->fit.records++;
    if (!*record->output) { /* never learnt as "say nothing" */
        self->dataset->fit.unanswered++;
        return 0;
    }
    if (!*record->instruction && !*record->input)
        return add_text(self, record->output, strlen(record->output), err);
    char *prompt = llm_prompt_format(record, err);
    if (!prompt)
        return -1;
    int result = add_answer(self, prompt, record->output, err);
    free(prompt);
    return result;
}

static int compare_descending(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    return left > right ? -1 : left < right;
}

/* Sorts the lengths and sums them up. */
static int sum_lengths(llm_dataset_t *self, fmq_error_t *err)
{
    if (self->size >= SIZE_MAX / sizeof *self->totals)
        return no_memory(err);
    self->totals = malloc((self->size + 1) * sizeof *self->totals);
    if (!self->totals)
        return no_memory(err);
    self->totals[0] = 0;
    for (size_t i = 0; i < self->size; i++)
        self->totals[i + 1] = self->spans[i].size;
    qsort(self->totals + 1, self->size, sizeof *self->totals, compare_descending);
    for (size_t i = 0; i < self->size; i++)
        self->totals[i + 1] += self->totals[i];
    return 0;
}

static int maker_init(maker_t *self, const llm_tokenizer_t *tokenizer, size_t tok_len,
                      fmq_error_t *err)
{
    *self = (maker_t){.tokenizer = tokenizer, .tok_len = tok_len};
    if (tok_len < 2 || tok_len > TOK_LEN_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "llm.tok_len is %zu, expected 2 to %u", tok_len,
                             TOK_LEN_MAX);
    self->dataset = calloc(1, sizeof *self->dataset);
    return self->dataset ? 0 : no_memory(err);
}

/* Gives up the maker; the dataset is returned when result is 0. */
static llm_dataset_t *maker_finish(maker_t *self, int result, fmq_error_t *err)
{
    if (result == 0)
        result = sum_lengths(self->dataset, err);
    if (result < 0)
        llm_dataset_destroy(&self->dataset);
    llm_ids_release(&self->prompt);
    return self->dataset;
}

llm_dataset_t *llm_dataset_new(const llm_records_t *records, const llm_part_t *part,
                               const llm_tokenizer_t *tokenizer, size_t tok_len, fmq_error_t *err)
{
    maker_t maker;
    int result = maker_init(&maker, tokenizer, tok_len, err);
    size_t known = llm_records_size(records), count = part ? part->size : known;
    for (size_t i = 0; i < count && result == 0; i++) {
        size_t item = part ? part->items[i] : i;
        if (item >= known)
            result =
                fmq_error_set(err, FMQ_ERR_INTERNAL, "a part names record %zu of %zu", item, known);
        else if (add_record(&maker, llm_records_at(records, item), err) < 0)
            result = fmq_error_prefix(err, "cannot tokenize record %zu", item);
    }
    return maker_finish(&maker, result, err);
}

llm_dataset_t *llm_dataset_new_text(const char *text, size_t size, const llm_tokenizer_t *tokenizer,
                                    size_t tok_len, fmq_error_t *err)
{
    maker_t maker;
    int result = maker_init(&maker, tokenizer, tok_len, err);
    if (result == 0) {
        maker.dataset->fit.records = 1;
        result = add_text(&maker, text, size, err);
    }
    return maker_finish(&maker, result, err);
}

size_t llm_dataset_size(const llm_dataset_t *self)
{
    return self->size;
}

size_t llm_dataset_dropped(const llm_dataset_t *self)
{
    return (size_t)(self->fit.unanswered + self->fit.too_long);
}

llm_fit_t llm_dataset_fit(const llm_dataset_t *self)
{
    return self->fit;
}

size_t llm_dataset_longest(const llm_dataset_t *self)
{
    return self->size ? self->totals[1] : 0;
}

size_t llm_dataset_tokens(const llm_dataset_t *self)
{
    return self->totals[self->size];
}

size_t llm_dataset_batch_max(const llm_dataset_t *self, size_t examples)
{
    return self->totals[examples < self->size ? examples : self->size];
}

llm_example_t llm_dataset_at(const llm_dataset_t *self, size_t index)
{
    const span_t *span = &self->spans[index];
    return (llm_example_t){
        .ids = self->ids.ids + span->begin, .size = span->size, .prompt = span->prompt};
}
