/*
 * text.c - growing byte runs and UTF-8.  Knows nothing of tokens.
 */
#include "llm/tokenizer/text.h"

#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

int llm_text_nomem(fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory left for the tokenizer");
}

void *llm_text_grow(void *array, size_t used, size_t *capacity, size_t size, fmq_error_t *err)
{
    if (used < *capacity)
        return array;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *grown = wanted > SIZE_MAX / size ? NULL : realloc(array, wanted * size);
    if (!grown) {
        (void)llm_text_nomem(err);
        return NULL;
    }
    *capacity = wanted;
    return grown;
}

int llm_text_append(llm_text_t *text, const char *data, size_t size, fmq_error_t *err)
{
    if (size == 0)
        return 0;
    if (size > text->capacity - text->size) {
        size_t wanted = text->capacity ? text->capacity : 256;
        while (wanted - text->size < size) {
            if (wanted > SIZE_MAX / 2)
                return llm_text_nomem(err);
            wanted *= 2;
        }
        char *grown = realloc(text->data, wanted);
        if (!grown)
            return llm_text_nomem(err);
        text->data = grown;
        text->capacity = wanted;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    return 0;
}

int llm_text_terminate(llm_text_t *text, fmq_error_t *err)
{
    if (llm_text_append(text, "", 1, err) < 0)
        return -1;
    text->size--;
    return 0;
}

void llm_text_release(llm_text_t *text)
{
    free(text->data);
    *text = (llm_text_t){0};
}

/* Bytes of the sequence at p that belong together: a whole character (and
 * *valid), or the longest prefix of one.  Unicode 15, table 3-7. */
static size_t scan(const unsigned char *p, size_t left, bool *valid)
{
    unsigned char lead = p[0], low = 0x80, high = 0xbf;
    *valid = true;
    if (lead < 0x80)
        return 1;
    size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    *valid = false;
    if (lead < 0xc2 || lead > 0xf4)
        return 1;
    for (size_t i = 1; i < length; i++) {
        if (i >= left || p[i] < low || p[i] > high)
            return i;
        low = 0x80;
        high = 0xbf;
    }
    *valid = true;
    return length;
}

bool llm_utf8_valid(const char *data, size_t size)
{
    bool valid = true;
    for (size_t i = 0; i < size && valid;)
        i += scan((const unsigned char *)data + i, size - i, &valid);
    return valid;
}

int llm_utf8_repair(llm_text_t *text, const char *data, size_t size, fmq_error_t *err)
{
    for (size_t i = 0; i < size;) {
        bool valid;
        size_t length = scan((const unsigned char *)data + i, size - i, &valid);
        const char *part = valid ? data + i : REPLACEMENT;
        if (llm_text_append(text, part, valid ? length : sizeof REPLACEMENT - 1, err) < 0)
            return -1;
        i += length;
    }
    return 0;
}

size_t llm_utf8_length(const char *at)
{
    unsigned char lead = (unsigned char)*at;
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

uint32_t llm_utf8_decode(const char *at)
{
    static const uint32_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *p = (const unsigned char *)at;
    size_t length = llm_utf8_length(at);
    uint32_t point = p[0] & masks[length];
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (p[i] & 0x3fu);
    return point;
}

size_t llm_utf8_encode(uint32_t point, char out[2])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    out[0] = (char)(0xc0 | point >> 6);
    out[1] = (char)(0x80 | (point & 0x3f));
    return 2;
}

bool llm_utf8_is_space(uint32_t point)
{
    return (point >= 9 && point <= 13) || point == 32 || point == 0x85 || point == 0xa0 ||
           point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 ||
           point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}
