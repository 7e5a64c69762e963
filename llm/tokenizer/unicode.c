/*
 * unicode.c - NFC and its kin, lower case, accents, white space at the ends, and what
 * BERT cleans.
 */
#include "llm/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int put_point(llm_text_t *out, int32_t point, fmq_error_t *err)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t size = utf8proc_encode_char(point, bytes);
    return llm_text_append(out, (const char *)bytes, (size_t)size, err);
}

/* Rust's char::to_lowercase, which knows one character that becomes two. */
static int put_lower(llm_text_t *out, int32_t point, fmq_error_t *err)
{
    if (point == 0x130)
        return llm_text_append(out, "i\xcc\x87", 3, err);
    return put_point(out, utf8proc_tolower(point), err);
}

static bool is_mark(int32_t point)
{
    utf8proc_category_t category = utf8proc_category(point);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
           category == UTF8PROC_CATEGORY_ME;
}

/* Since the tables that BERT's are two Mongolian letters have become marks that take no
 * room, and a sign of Hanunoo's one that does. */
static bool is_accent(int32_t point)
{
    if (point == 0x1885 || point == 0x1886 || point == 0x1734)
        return point == 0x1734;
    return utf8proc_category(point) == UTF8PROC_CATEGORY_MN;
}

/* What BERT throws away: NUL, U+FFFD, controls but for three, formats, private use. */
static bool is_rubbish(int32_t point)
{
    utf8proc_category_t category = utf8proc_category(point);
    if (point == '\t' || point == '\n' || point == '\r')
        return false;
    return point == 0 || point == 0xfffd || category == UTF8PROC_CATEGORY_CC ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
}

/* BERT's Chinese characters: the CJK ideographs' blocks. */
static bool is_ideograph(int32_t point)
{
    static const int32_t blocks[][2] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df},
                                        {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf},
                                        {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (point >= blocks[i][0] && point <= blocks[i][1])
            return true;
    return false;
}

/* One character of a text. */
static int put_character(llm_text_t *out, llm_unicode_kind_t kind, int32_t point, fmq_error_t *err)
{
    switch (kind) {
    case LLM_UNICODE_LOWER:
        return put_lower(out, point, err);
    case LLM_UNICODE_DROP_MARKS:
        return is_mark(point) ? 0 : put_point(out, point, err);
    case LLM_UNICODE_DROP_ACCENTS:
        return is_accent(point) ? 0 : put_point(out, point, err);
    case LLM_UNICODE_CLEAN:
        if (is_rubbish(point))
            return 0;
        return put_point(out, llm_utf8_is_space((uint32_t)point) ? ' ' : point, err);
    default: /* LLM_UNICODE_IDEOGRAPHS */
        if (!is_ideograph(point))
            return put_point(out, point, err);
        return llm_text_append(out, " ", 1, err) < 0 || put_point(out, point, err) < 0
                   ? -1
                   : llm_text_append(out, " ", 1, err);
    }
}

static int put_characters(llm_text_t *out, llm_unicode_kind_t kind, llm_slice_t text,
                          fmq_error_t *err)
{
    for (size_t at = 0; at < text.size; at += llm_utf8_length(text.data + at))
        if (put_character(out, kind, (int32_t)llm_utf8_decode(text.data + at), err) < 0)
            return -1;
    return 0;
}

static int put_form(llm_text_t *out, llm_form_t form, llm_slice_t text, fmq_error_t *err)
{
    static const int options[] = {
        [LLM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [LLM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [LLM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [LLM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t size =
        utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size, &made,
                     (utf8proc_option_t)options[form]);
    if (size < 0)
        return size == UTF8PROC_ERROR_NOMEM
                   ? llm_text_nomem(err)
                   : fmq_error_set(err, FMQ_ERR_LIMIT, "a text cannot be normalized: %s",
                                   utf8proc_errmsg(size));
    int status = llm_text_append(out, (const char *)made, (size_t)size, err);
    free(made);
    return status;
}

/* Without the white space at its ends that the step takes away. */
static llm_slice_t stripped(const llm_unicode_t *how, llm_slice_t text)
{
    while (how->left && text.size > 0 && llm_utf8_is_space(llm_utf8_decode(text.data))) {
        size_t length = llm_utf8_length(text.data);
        text.data += length;
        text.size -= length;
    }
    while (how->right && text.size > 0) {
        size_t last = text.size - 1;
        while (last > 0 && ((unsigned char)text.data[last] & 0xc0) == 0x80)
            last--;
        if (!llm_utf8_is_space(llm_utf8_decode(text.data + last)))
            break;
        text.size = last;
    }
    return text;
}

int llm_unicode_append(llm_text_t *out, const llm_unicode_t *how, llm_slice_t text,
                       fmq_error_t *err)
{
    if (how->kind == LLM_UNICODE_FORM)
        return put_form(out, how->form, text, err);
    if (how->kind != LLM_UNICODE_STRIP)
        return put_characters(out, how->kind, text, err);
    text = stripped(how, text);
    return llm_text_append(out, text.data, text.size, err);
}
