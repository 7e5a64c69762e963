/*
 * utf8.c - the table of well-formed UTF-8 (Unicode 15, table 3-7) as code.
 */
#include "llm/data/utf8.h"

#include <string.h>

/* Length of a sequence by its first byte, and the range of the second byte;
 * 0 when no sequence begins so. */
static size_t lead(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    if (first < 0xE0)
        return 2;
    if (first == 0xE0)
        *low = 0xA0; /* no overlong forms */
    if (first == 0xED)
        *high = 0x9F; /* no surrogates */
    if (first == 0xF0)
        *low = 0x90;
    if (first == 0xF4)
        *high = 0x8F; /* nothing above U+10FFFF */
    return first < 0xF0 ? 3 : 4;
}

size_t llm_utf8_step(const char *text, size_t size, bool *valid)
{
    unsigned char low, high;
    size_t wanted = lead((unsigned char)text[0], &low, &high);
    *valid = false;
    if (wanted == 0)
        return 1;
    size_t got = 1;
    for (; got < wanted && got < size; got++) {
        unsigned char byte = (unsigned char)text[got];
        if (byte < low || byte > high)
            return got;
        low = 0x80;
        high = 0xBF;
    }
    *valid = got == wanted;
    return got;
}

size_t llm_utf8_mend(const char *text, size_t size, char *out)
{
    size_t written = 0;
    for (size_t at = 0; at < size;) {
        bool valid;
        size_t length = llm_utf8_step(text + at, size - at, &valid);
        const char *piece = valid ? text + at : "\xEF\xBF\xBD";
        size_t bytes = valid ? length : 3;
        if (out)
            memcpy(out + written, piece, bytes);
        written += bytes;
        at += length;
    }
    return written;
}
