/*
 * test_state.c - states as objects and back, for every codec; and strangers'
 * chunks.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "broker/codec.h"
#include "fedmq/broker/pack.h"
#include "fedmq/broker/state.h"
#include "tests/broker/mutation.h"

static fmq_schema_t *schema_of(size_t tensors, const uint64_t *counts)
{
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    for (size_t i = 0; i < tensors; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "layer.%zu", i);
        assert_int_equal(fmq_schema_add(schema, name, 1, &counts[i], NULL), 0);
    }
    return schema;
}

static float *vector_of(uint64_t elements)
{
    float *vector = malloc(elements * sizeof *vector);
    mutation_t random = {.state = elements};
    for (uint64_t i = 0; i < elements; i++)
        vector[i] = (float)((double)(int64_t)mutation_random(&random) * 0x1p-60);
    return vector;
}

static const uint64_t several[] = {1, 100000, 3, FMQ_STATE_RANGE_MAX, 7, 30000};

static void check_round_trip(const fmq_schema_t *schema, const float *vector, fmq_codec_t codec,
                             float tolerance)
{
    fmq_error_t err;
    fmq_object_t *object = fmq_state_encode(schema, vector, codec, &err);
    assert_non_null(object);
    assert_int_equal(fmq_object_chunks(object), fmq_state_chunks(schema));
    uint64_t expected = 0;
    float *out = malloc(FMQ_STATE_RANGE_MAX * sizeof *out);
    for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
        uint64_t first, count;
        size_t size;
        fmq_state_range(schema, i, &first, &count);
        assert_true(first == expected);
        expected += count;
        const void *data = fmq_object_chunk(object, i, &size);
        assert_int_equal(fmq_state_decode(schema, i, data, size, out, &err), 0);
        for (uint64_t k = 0; k < count; k++)
            assert_true(fabsf(out[k] - vector[first + k]) <= tolerance * fabsf(vector[first + k]));
    }
    assert_true(expected == fmq_schema_elements(schema));
    free(out);
    fmq_object_drop(&object);
}

static void states_come_back_for_every_codec(void **state)
{
    (void)state;
    fmq_schema_t *schema = schema_of(6, several);
    float *vector = vector_of(fmq_schema_elements(schema));
    check_round_trip(schema, vector, FMQ_CODEC_F32, 0.0f);
    check_round_trip(schema, vector, FMQ_CODEC_F16, 0x1p-11f);
    check_round_trip(schema, vector, FMQ_CODEC_BF16, 0x1p-8f);
    free(vector);
    fmq_schema_destroy(&schema);
}

/* Parts that begin and end within tensors, at their borders and at those of the
 * chunk; what lies behind a part is not written to. */
static void a_part_of_a_chunk_is_what_the_whole_has_there(void **state)
{
    (void)state;
    fmq_schema_t *schema = schema_of(6, several);
    float *vector = vector_of(fmq_schema_elements(schema));
    float *whole = malloc(FMQ_STATE_RANGE_MAX * sizeof *whole);
    float *out = malloc((FMQ_STATE_RANGE_MAX + 1) * sizeof *out);
    for (int codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        fmq_object_t *object = fmq_state_encode(schema, vector, (fmq_codec_t)codec, NULL);
        for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
            uint64_t first, count;
            size_t size;
            const void *data = fmq_object_chunk(object, i, &size);
            fmq_state_range(schema, i, &first, &count);
            assert_int_equal(fmq_state_decode(schema, i, data, size, whole, NULL), 0);
            const uint64_t begins[] = {0, 1, 2, count / 2, 38560, 38564, count - 1};
            for (size_t k = 0; k < 2 * sizeof begins / sizeof *begins; k++) {
                uint64_t begin = begins[k / 2] < count ? begins[k / 2] : 0;
                uint64_t size_of_part = k % 2 ? count - begin : (count - begin + 1) / 2;
                const fmq_state_part_t part = {first + begin, size_of_part};
                out[size_of_part] = 123.0f;
                assert_int_equal(fmq_state_decode_part(schema, &part, data, size, out, NULL), 0);
                assert_memory_equal(out, whole + begin, size_of_part * sizeof *out);
                assert_true(out[size_of_part] == 123.0f);
            }
        }
        fmq_object_drop(&object);
    }
    free(out);
    free(whole);
    free(vector);
    fmq_schema_destroy(&schema);
}

static void ranges_do_not_depend_on_the_codec(void **state)
{
    (void)state;
    fmq_schema_t *schema = schema_of(6, several);
    float *vector = vector_of(fmq_schema_elements(schema));
    for (fmq_codec_t codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        fmq_object_t *object = fmq_state_encode(schema, vector, codec, NULL);
        assert_int_equal(fmq_object_chunks(object), 4);
        fmq_object_drop(&object);
    }
    uint64_t first, count;
    fmq_state_range(schema, 3, &first, &count);
    assert_true(first == 3 * (uint64_t)FMQ_STATE_RANGE_MAX);
    assert_true(count == fmq_schema_elements(schema) - first);
    fmq_state_range(schema, 4, &first, &count);
    assert_true(count == 0);
    free(vector);
    fmq_schema_destroy(&schema);
}

static void framing_is_below_a_thousandth(void **state)
{
    (void)state;
    const uint64_t large[] = {768 * 768, 768 * 3072, 768};
    fmq_schema_t *schema = schema_of(3, large);
    float *vector = vector_of(fmq_schema_elements(schema));
    for (fmq_codec_t codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        fmq_object_t *object = fmq_state_encode(schema, vector, codec, NULL);
        uint64_t bytes = fmq_codec_of(NULL, codec)->bytes((size_t)fmq_schema_elements(schema));
        assert_true(fmq_object_bytes(object) > bytes);
        assert_true(fmq_object_bytes(object) - bytes <= bytes / 1000);
        fmq_object_drop(&object);
    }
    free(vector);
    fmq_schema_destroy(&schema);
}

static void a_state_with_too_many_tiny_tensors_is_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    const uint64_t two = 2;
    for (int i = 0; i < 20000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(fmq_schema_add(schema, name, 1, &two, NULL), 0);
    }
    float *vector = vector_of(40000);
    assert_null(fmq_state_encode(schema, vector, FMQ_CODEC_F32, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_non_null(strstr(err.text, "too many small ones"));
    free(vector);
    fmq_schema_destroy(&schema);
}

static void values_that_a_codec_cannot_hold_are_named(void **state)
{
    (void)state;
    fmq_error_t err;
    const uint64_t counts[] = {3, 5};
    fmq_schema_t *schema = schema_of(2, counts);
    float vector[8] = {0};
    vector[4] = 65520.0f;
    assert_null(fmq_state_encode(schema, vector, FMQ_CODEC_F16, &err));
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "'layer.1': element 1"));
    vector[4] = 65519.0f;
    fmq_object_t *object = fmq_state_encode(schema, vector, FMQ_CODEC_F16, &err);
    assert_non_null(object);
    fmq_object_drop(&object);
    vector[7] = NAN;
    for (fmq_codec_t codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        assert_null(fmq_state_encode(schema, vector, codec, &err));
        assert_non_null(strstr(err.text, "'layer.1': element 4"));
    }
    vector[7] = 3.4e38f;
    assert_null(fmq_state_encode(schema, vector, FMQ_CODEC_BF16, &err));
    fmq_schema_destroy(&schema);
}

static void hardware_and_portable_halves_agree(void **state)
{
    (void)state;
    const fmq_codec_ops_t *f16 = fmq_codec_of(NULL, FMQ_CODEC_F16);
    for (uint32_t half = 0; half < 65536; half++) {
        if ((half & 0x7c00u) == 0x7c00u)
            continue;
        uint16_t in[8];
        float out[8];
        for (int i = 0; i < 8; i++)
            in[i] = (uint16_t)half;
        assert_true(f16->decode(out, in, 8, 0, 8));
        float portable = fmq_float_of_f16((uint16_t)half);
        assert_memory_equal(&out[7], &portable, sizeof portable);
        assert_int_equal(fmq_f16_of_float(portable), half);
    }
    mutation_t random = {.state = 5};
    for (int i = 0; i < 300000; i++) {
        uint32_t bits = (uint32_t)mutation_random(&random);
        if (i % 2) /* around the range of halves, where rounding happens */
            bits = (bits & 0x8fffffffu) | 0x30000000u;
        float value, eight[8];
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        for (int k = 0; k < 8; k++)
            eight[k] = value;
        uint16_t fast[8];
        (void)f16->encode(fast, eight, 8);
        assert_int_equal(fast[0], fmq_f16_of_float(value));
    }
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        uint32_t in;
        uint16_t out;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
                 {0x3f808001, 0x3f81}, {0xbf817fff, 0xbf81}, {0x00000001, 0x0000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float value;
        uint16_t out;
        memcpy(&value, &cases[i].in, sizeof value);
        assert_true(fmq_codec_of(NULL, FMQ_CODEC_BF16)->encode(&out, &value, 1));
        assert_int_equal(out, cases[i].out);
    }
}

/* A chunk of one tensor of four elements, with every field as given. */
static size_t chunk_of(uint8_t *out, uint64_t tensor, uint64_t offset, uint64_t count,
                       uint64_t codec)
{
    static const float ones[4] = {1, 1, 1, 1};
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, 64);
    fmq_pack_array(&packer, 1);
    fmq_pack_array(&packer, 5);
    fmq_pack_uint(&packer, tensor);
    fmq_pack_uint(&packer, offset);
    fmq_pack_uint(&packer, count);
    fmq_pack_uint(&packer, codec);
    fmq_pack_bin(&packer, ones, sizeof ones);
    return fmq_packer_end(&packer, NULL);
}

static void chunks_that_do_not_fit_the_schema_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    const uint64_t four = 4;
    fmq_schema_t *schema = schema_of(1, &four);
    uint8_t bytes[64];
    float out[4] = {9, 9, 9, 9};
    size_t size = chunk_of(bytes, 0, 0, 4, FMQ_CODEC_F32);
    static const uint64_t wrong[][4] = {{1, 0, 4, 0}, {0, 1, 4, 0}, {0, 0, 3, 0},
                                        {0, 0, 5, 0}, {0, 0, 4, 1}, {0, 0, 4, 9}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t damaged[64];
        size_t left = chunk_of(damaged, wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3]);
        assert_int_equal(fmq_state_decode(schema, 0, damaged, left, out, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        assert_true(out[0] == 9);
    }
    assert_int_equal(fmq_state_decode(schema, 1, bytes, size, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(fmq_state_decode(schema, 0, bytes, cut, out, &err), -1);
    assert_int_equal(fmq_state_decode(schema, 0, bytes, size + 1, out, &err), -1);
    assert_int_equal(fmq_state_decode(schema, 0, bytes, size, out, &err), 0);
    assert_true(out[3] == 1);
    memset(bytes + size - 4, 0xff, 4);
    assert_int_equal(fmq_state_decode(schema, 0, bytes, size, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    fmq_schema_destroy(&schema);
}

static void damaged_chunks_never_reach_beyond_their_bytes(void **state)
{
    (void)state;
    const uint64_t counts[] = {5, 1, 9, 2};
    fmq_schema_t *schema = schema_of(4, counts);
    float *vector = vector_of(17);
    mutation_t mutation = {.state = 3};
    for (fmq_codec_t codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        fmq_object_t *object = fmq_state_encode(schema, vector, codec, NULL);
        size_t size;
        const uint8_t *chunk = fmq_object_chunk(object, 0, &size);
        for (int i = 0; i < 100000; i++) {
            uint8_t damaged[256];
            float out[17];
            size_t left = mutation_apply(&mutation, damaged, sizeof damaged, chunk, size);
            uint8_t *exact = mutation_exact(damaged, left);
            (void)fmq_state_decode(schema, 0, exact, left, out, NULL);
            free(exact);
        }
        fmq_object_drop(&object);
    }
    free(vector);
    fmq_schema_destroy(&schema);
}

static void codecs_are_found_by_name(void **state)
{
    (void)state;
    assert_int_equal(fmq_codec_find("f32"), FMQ_CODEC_F32);
    assert_int_equal(fmq_codec_find("bf16"), FMQ_CODEC_BF16);
    assert_int_equal(fmq_codec_find("f8"), -1);
    assert_string_equal(fmq_codec_name(FMQ_CODEC_F16), "f16");
    assert_string_equal(fmq_codec_name((fmq_codec_t)77), "unknown");
}

static void the_protocol_document_shows_a_chunk(void **state)
{
    (void)state;
    const uint64_t two = 2;
    const float vector[] = {1.0f, -2.0f};
    fmq_schema_t *schema = schema_of(1, &two);
    fmq_object_t *object = fmq_state_encode(schema, vector, FMQ_CODEC_F32, NULL);
    size_t size;
    const uint8_t *chunk = fmq_object_chunk(object, 0, &size);
    char line[128] = "state     ";
    for (size_t i = 0; i < size; i++)
        (void)snprintf(line + 10 + 2 * i, 3, "%02x", chunk[i]);
    static char document[1 << 16];
    FILE *file = fopen(FEDMQ_SOURCE_DIR "/docs/protocol.md", "rb");
    assert_non_null(file);
    assert_true(fread(document, 1, sizeof document - 1, file) > 0);
    (void)fclose(file);
    assert_non_null(strstr(document, line));
    fmq_object_drop(&object);
    fmq_schema_destroy(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_come_back_for_every_codec),
        cmocka_unit_test(a_part_of_a_chunk_is_what_the_whole_has_there),
        cmocka_unit_test(ranges_do_not_depend_on_the_codec),
        cmocka_unit_test(framing_is_below_a_thousandth),
        cmocka_unit_test(a_state_with_too_many_tiny_tensors_is_refused),
        cmocka_unit_test(values_that_a_codec_cannot_hold_are_named),
        cmocka_unit_test(hardware_and_portable_halves_agree),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(chunks_that_do_not_fit_the_schema_are_refused),
        cmocka_unit_test(damaged_chunks_never_reach_beyond_their_bytes),
        cmocka_unit_test(the_protocol_document_shows_a_chunk),
        cmocka_unit_test(codecs_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
