/*
 * pieces.c - spans over a buffer, and the steps that work on them.
 */
#include "llm/tokenizer/pieces.h"

#include <stdlib.h>
#include <string.h>

int llm_pieces_init(llm_pieces_t *pieces, fmq_error_t *err)
{
    *pieces = (llm_pieces_t){0};
    pieces->match = llm_pattern_match_new(err);
    return pieces->match ? 0 : -1;
}

void llm_pieces_release(llm_pieces_t *pieces)
{
    free(pieces->now.spans);
    free(pieces->next.spans);
    llm_text_release(&pieces->now.text);
    llm_text_release(&pieces->next.text);
    llm_pattern_match_free(pieces->match);
    *pieces = (llm_pieces_t){0};
}

static void clear(llm_spans_t *spans)
{
    spans->size = 0;
    spans->text.size = 0;
}

void llm_pieces_clear(llm_pieces_t *pieces)
{
    clear(&pieces->now);
}

static int add_span(llm_spans_t *spans, llm_span_t span, fmq_error_t *err)
{
    llm_span_t *grown =
        llm_text_grow(spans->spans, spans->size, &spans->capacity, sizeof *grown, err);
    if (!grown)
        return -1;
    spans->spans = grown;
    spans->spans[spans->size++] = span;
    return 0;
}

int llm_pieces_add(llm_pieces_t *pieces, const char *data, size_t size, bool first,
                   fmq_error_t *err)
{
    llm_span_t span = {pieces->now.text.size, pieces->now.text.size + size, first};
    if (llm_text_append(&pieces->now.text, data, size, err) < 0)
        return -1;
    return add_span(&pieces->now, span, err);
}

void llm_pieces_begin(llm_pieces_t *pieces)
{
    clear(&pieces->next);
}

int llm_pieces_put(llm_pieces_t *pieces, const char *data, size_t size, fmq_error_t *err)
{
    return llm_text_append(&pieces->next.text, data, size, err);
}

int llm_pieces_close(llm_pieces_t *pieces, bool first, fmq_error_t *err)
{
    llm_spans_t *next = &pieces->next;
    size_t begin = next->size ? next->spans[next->size - 1].end : 0;
    return add_span(next, (llm_span_t){begin, next->text.size, first}, err);
}

void llm_pieces_commit(llm_pieces_t *pieces)
{
    llm_spans_t old = pieces->now;
    pieces->now = pieces->next;
    pieces->next = old;
}

llm_step_t *llm_steps_add(llm_steps_t *steps, llm_step_kind_t kind, fmq_error_t *err)
{
    llm_step_t *grown =
        llm_text_grow(steps->steps, steps->size, &steps->capacity, sizeof *grown, err);
    if (!grown)
        return NULL;
    steps->steps = grown;
    llm_step_t *step = &grown[steps->size++];
    *step = (llm_step_t){.kind = kind};
    return step;
}

void llm_steps_release(llm_steps_t *steps)
{
    for (size_t i = 0; i < steps->size; i++) {
        llm_pattern_release(&steps->steps[i].pattern);
        llm_text_release(&steps->steps[i].content);
    }
    free(steps->steps);
    *steps = (llm_steps_t){0};
}

int llm_pieces_replace(llm_pieces_t *pieces, const llm_step_t *step, fmq_error_t *err)
{
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_span_t span = pieces->now.spans[i];
        /* An empty buffer has no address to search from. */
        const char *text = span.begin == span.end ? "" : pieces->now.text.data + span.begin;
        llm_search_t search = {.pattern = &step->pattern,
                               .match = pieces->match,
                               .text = text,
                               .size = span.end - span.begin};
        size_t done = 0;
        int found;
        while ((found = llm_pattern_next(&search, err)) > 0) {
            /* A span whose beginning is removed begins where the rest did. */
            if (search.begin == 0 && search.end > 0 && step->content.size == 0)
                span.first = false;
            if (llm_pieces_put(pieces, text + done, search.begin - done, err) < 0 ||
                llm_pieces_put(pieces, step->content.data, step->content.size, err) < 0)
                return -1;
            done = search.end;
        }
        if (found < 0 || llm_pieces_put(pieces, text + done, search.size - done, err) < 0 ||
            llm_pieces_close(pieces, span.first, err) < 0)
            return -1;
    }
    llm_pieces_commit(pieces);
    return 0;
}

static bool wants_prefix(const llm_step_t *step, llm_span_t span, const char *text)
{
    size_t size = span.end - span.begin;
    if (size == 0 || (step->if_first && !span.first))
        return false;
    bool there = size >= step->content.size && step->content.size &&
                 memcmp(text, step->content.data, step->content.size) == 0;
    return !(step->if_absent && there);
}

static int run_prefix(llm_pieces_t *pieces, const llm_step_t *step, fmq_error_t *err)
{
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_span_t span = pieces->now.spans[i];
        const char *text = span.begin == span.end ? "" : pieces->now.text.data + span.begin;
        if (wants_prefix(step, span, text) &&
            llm_pieces_put(pieces, step->content.data, step->content.size, err) < 0)
            return -1;
        if (llm_pieces_put(pieces, text, span.end - span.begin, err) < 0 ||
            llm_pieces_close(pieces, span.first, err) < 0)
            return -1;
    }
    llm_pieces_commit(pieces);
    return 0;
}

static int run_bytes(llm_pieces_t *pieces, fmq_error_t *err)
{
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_span_t span = pieces->now.spans[i];
        for (size_t at = span.begin; at < span.end; at++) {
            char character[2];
            unsigned char byte = (unsigned char)pieces->now.text.data[at];
            size_t size = llm_utf8_encode(llm_alphabet_point(byte), character);
            if (llm_pieces_put(pieces, character, size, err) < 0)
                return -1;
        }
        if (llm_pieces_close(pieces, span.first, err) < 0)
            return -1;
    }
    llm_pieces_commit(pieces);
    return 0;
}

/* A split in progress.  Parts arrive in order, each a match or what lies
 * between; they are joined as HF's SplitDelimiterBehavior says. */
typedef struct {
    llm_pieces_t *pieces;
    const llm_step_t *step;
    llm_span_t whole;  /* the span that is split */
    size_t first_made; /* index of the first new span */
    bool was_delimiter;
    fmq_error_t *err;
} split_t;

static int make_span(split_t *split, size_t begin, size_t end)
{
    llm_span_t span = {begin, end, split->whole.first && begin == split->whole.begin};
    return add_span(&split->pieces->next, span, split->err);
}

/* Takes the part [begin, end).  An empty match makes an empty span, which what
 * follows may join. */
static int take_part(split_t *split, size_t begin, size_t end, bool matches)
{
    llm_spans_t *next = &split->pieces->next;
    llm_span_t *last = next->size > split->first_made ? &next->spans[next->size - 1] : NULL;
    bool delimiter = matches != split->step->invert;
    bool joins = false;
    switch (split->step->split) {
    case LLM_SPLIT_ISOLATED:
        break;
    case LLM_SPLIT_REMOVED:
        if (delimiter)
            return 0;
        break;
    case LLM_SPLIT_WITH_PREVIOUS:
        joins = delimiter && !split->was_delimiter;
        break;
    case LLM_SPLIT_WITH_NEXT:
        joins = !delimiter && split->was_delimiter;
        break;
    case LLM_SPLIT_CONTIGUOUS:
        joins = delimiter == split->was_delimiter;
        break;
    }
    split->was_delimiter = delimiter;
    if (joins && last) {
        last->end = end;
        return 0;
    }
    return make_span(split, begin, end);
}

static void drop_empty(llm_spans_t *spans, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < spans->size; i++)
        if (spans->spans[i].begin < spans->spans[i].end)
            spans->spans[kept++] = spans->spans[i];
    spans->size = kept;
}

static int split_span(split_t *split)
{
    llm_span_t whole = split->whole;
    llm_pieces_t *pieces = split->pieces;
    llm_search_t search = {.pattern = &split->step->pattern,
                           .match = pieces->match,
                           .text = pieces->now.text.data + whole.begin,
                           .size = whole.end - whole.begin};
    size_t done = 0;
    int found;
    split->first_made = pieces->next.size;
    split->was_delimiter = false;
    while ((found = llm_pattern_next(&search, split->err)) > 0) {
        if (search.begin > done &&
            take_part(split, whole.begin + done, whole.begin + search.begin, false) < 0)
            return -1;
        if (take_part(split, whole.begin + search.begin, whole.begin + search.end, true) < 0)
            return -1;
        done = search.end;
    }
    if (found < 0 ||
        (done < search.size && take_part(split, whole.begin + done, whole.end, false) < 0))
        return -1;
    drop_empty(&pieces->next, split->first_made);
    return 0;
}

static int run_split(llm_pieces_t *pieces, const llm_step_t *step, fmq_error_t *err)
{
    pieces->next.size = 0;
    for (size_t i = 0; i < pieces->now.size; i++) {
        split_t split = {.pieces = pieces, .step = step, .whole = pieces->now.spans[i], .err = err};
        if (split.whole.begin < split.whole.end && split_span(&split) < 0)
            return -1;
    }
    /* Only the spans change; the buffer stays. */
    llm_text_t text = pieces->now.text;
    llm_pieces_commit(pieces);
    pieces->next.text = pieces->now.text;
    pieces->now.text = text;
    return 0;
}

static int run_unicode(llm_pieces_t *pieces, const llm_step_t *step, fmq_error_t *err)
{
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_span_t span = pieces->now.spans[i];
        size_t size = span.end - span.begin;
        llm_slice_t text = {size ? pieces->now.text.data + span.begin : "", size};
        if (llm_unicode_append(&pieces->next.text, &step->unicode, text, err) < 0 ||
            llm_pieces_close(pieces, span.first, err) < 0)
            return -1;
    }
    llm_pieces_commit(pieces);
    return 0;
}

int llm_steps_run(const llm_steps_t *steps, llm_pieces_t *pieces, fmq_error_t *err)
{
    for (size_t i = 0; i < steps->size; i++) {
        const llm_step_t *step = &steps->steps[i];
        int status = step->kind == LLM_STEP_REPLACE  ? llm_pieces_replace(pieces, step, err)
                     : step->kind == LLM_STEP_PREFIX ? run_prefix(pieces, step, err)
                     : step->kind == LLM_STEP_SPLIT  ? run_split(pieces, step, err)
                     : step->kind == LLM_STEP_BYTES  ? run_bytes(pieces, err)
                                                     : run_unicode(pieces, step, err);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* Bytes that GPT-2 lets stand for themselves: printable Latin-1. */
static bool stands_for_itself(uint32_t byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
}

/* The others, in order, are 0-32, 127-160 and 173: 256 and up. */
uint32_t llm_alphabet_point(unsigned char byte)
{
    if (stands_for_itself(byte))
        return byte;
    return byte <= 32 ? 256u + byte : byte == 173 ? 323u : 289u + byte - 127u;
}

int llm_alphabet_byte(uint32_t point)
{
    if (point < 256)
        return stands_for_itself(point) ? (int)point : -1;
    return point <= 288   ? (int)point - 256
           : point <= 322 ? (int)point - 289 + 127
           : point == 323 ? 173
                          : -1;
}
