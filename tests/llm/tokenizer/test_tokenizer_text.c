/*
 * test_tokenizer_text.c - UTF-8 checked, repaired and taken apart; GPT-2's alphabet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/tokenizer/pieces.h"

#define BAD "\xef\xbf\xbd"

/* The UTF-8 of a code point, by the book. */
static size_t encode(uint32_t point, char *out)
{
    if (point < 0x800)
        return llm_utf8_encode(point, out);
    size_t length = point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(length == 3 ? 0xe0 | point : 0xf0 | point);
    return length;
}

static void every_code_point_is_valid_and_decodes_to_itself(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x110000; point++) {
        char text[4];
        size_t size = encode(point, text);
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        assert_int_equal(llm_utf8_valid(text, size), !surrogate);
        if (surrogate)
            continue;
        assert_int_equal(llm_utf8_length(text), size);
        assert_int_equal(llm_utf8_decode(text), point);
    }
}

static void invalid_bytes_become_one_mark_for_each_maximal_part(void **state)
{
    (void)state;
    /* The expected texts are Python's bytes.decode("utf-8", "replace"). */
    static const struct {
        const char *bytes, *repaired;
    } cases[] = {
        {"plain", "plain"},
        {"\xff", BAD},
        {"a\x80z", "a" BAD "z"},
        {"\xc3", BAD},
        {"\xc3(", BAD "("},
        {"\xc0\x80", BAD BAD},
        {"\xe2\x82", BAD},
        {"\xe2\x82z", BAD "z"},
        {"\xe2(\xa1", BAD "(" BAD},
        {"\xed\xa0\x80", BAD BAD BAD},
        {"\xf0\x9f\x98", BAD},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", BAD "\xf0\x9f\x98\x80"},
        {"\xf0\x80\x80\x80", BAD BAD BAD BAD},
        {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
        {"\xf8\x88\x80\x80\x80", BAD BAD BAD BAD BAD},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", BAD BAD BAD BAD "A"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_text_t text = {0};
        const char *bytes = cases[i].bytes;
        assert_int_equal(llm_utf8_repair(&text, bytes, strlen(bytes), NULL), 0);
        assert_int_equal(llm_text_terminate(&text, NULL), 0);
        assert_string_equal(text.data, cases[i].repaired);
        assert_true(llm_utf8_valid(text.data, text.size));
        assert_int_equal(llm_utf8_valid(bytes, strlen(bytes)), strcmp(bytes, text.data) == 0);
        llm_text_release(&text);
    }
}

static void two_bytes_of_any_kind_are_repaired_to_valid_text(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        const char bytes[2] = {(char)(pair >> 8), (char)pair};
        llm_text_t text = {0};
        assert_int_equal(llm_utf8_repair(&text, bytes, 2, NULL), 0);
        assert_true(llm_utf8_valid(text.data, text.size));
        llm_text_release(&text);
    }
}

static void white_space_is_unicodes(void **state)
{
    (void)state;
    size_t spaces = 0;
    for (uint32_t point = 0; point < 0x110000; point++)
        spaces += llm_utf8_is_space(point);
    assert_int_equal(spaces, 25); /* PropList.txt of Unicode 6.3 and later */
    assert_true(llm_utf8_is_space(0x3000) && llm_utf8_is_space(0x85));
    assert_false(llm_utf8_is_space(0x180e) || llm_utf8_is_space(0x200b));
}

static void the_alphabet_is_a_bijection_of_256_characters(void **state)
{
    (void)state;
    bool seen[0x180] = {false};
    for (int byte = 0; byte < 256; byte++) {
        uint32_t point = llm_alphabet_point((unsigned char)byte);
        assert_true(point < 0x180 && !seen[point]);
        seen[point] = true;
        assert_int_equal(llm_alphabet_byte(point), byte);
    }
    for (uint32_t point = 0; point < 0x180; point++)
        assert_int_equal(llm_alphabet_byte(point) >= 0, seen[point]);
    assert_int_equal(llm_alphabet_point(' '), 0x120);
    assert_int_equal(llm_alphabet_point('\n'), 0x10a);
    assert_int_equal(llm_alphabet_point(0xad), 0x143);
    assert_int_equal(llm_alphabet_byte(0x2581), -1);
}

static void texts_grow_and_keep_nul_bytes(void **state)
{
    (void)state;
    llm_text_t text = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(llm_text_append(&text, "a\0b", 3, NULL), 0);
    assert_int_equal(text.size, 3000);
    assert_memory_equal(text.data + 2997, "a\0b", 3);
    assert_int_equal(llm_text_terminate(&text, NULL), 0);
    assert_int_equal(text.size, 3000);
    assert_int_equal(text.data[3000], '\0');
    llm_text_release(&text);
    assert_null(text.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_valid_and_decodes_to_itself),
        cmocka_unit_test(invalid_bytes_become_one_mark_for_each_maximal_part),
        cmocka_unit_test(two_bytes_of_any_kind_are_repaired_to_valid_text),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(the_alphabet_is_a_bijection_of_256_characters),
        cmocka_unit_test(texts_grow_and_keep_nul_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
