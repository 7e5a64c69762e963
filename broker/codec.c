/*
 * codec.c - f32, f16 and bf16.
 *
 * Loops are plain and branch-free so that the compiler makes vectors of them;
 * only f16 has a second version, for processors that convert in hardware.
 */
#include "broker/codec.h"

#include <string.h>

#include "base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire is little-endian and these loops copy: add swapping before building here"
#endif

#define EXPONENT_F32 0x7f800000u
#define EXPONENT_F16 0x7c00u

static bool halves_are_finite(const uint8_t *in, size_t count)
{
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, in + 2 * i, sizeof half);
        found |= (half & EXPONENT_F16) == EXPONENT_F16;
    }
    return !found;
}

static bool floats_are_finite(const uint8_t *in, size_t count)
{
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, in + 4 * i, sizeof bits);
        found |= (bits & EXPONENT_F32) == EXPONENT_F32;
    }
    return !found;
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) static size_t halves_fast(uint8_t *out, const float *in,
                                                              size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 values = _mm256_loadu_ps(in + i);
        _mm_storeu_si128((__m128i_u *)(out + 2 * i),
                         _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    return i;
}

__attribute__((target("avx,f16c"))) static size_t of_halves_fast(float *out, const uint8_t *in,
                                                                 size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(out + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(in + 2 * i))));
    return i;
}

static bool converts_in_hardware(void)
{
    /* Every processor with AVX2 has F16C, which clang 14 cannot ask for. */
    return __builtin_cpu_supports("avx2");
}
#else
static size_t halves_fast(uint8_t *out, const float *in, size_t count)
{
    (void)out, (void)in, (void)count;
    return 0;
}

static size_t of_halves_fast(float *out, const uint8_t *in, size_t count)
{
    (void)out, (void)in, (void)count;
    return 0;
}

static bool converts_in_hardware(void)
{
    return false;
}
#endif

static bool encode_f16(void *place, const float *in, size_t count)
{
    uint8_t *out = place;
    size_t done = converts_in_hardware() ? halves_fast(out, in, count) : 0;
    for (size_t i = done; i < count; i++) {
        uint16_t half = fmq_f16_of_float(in[i]);
        memcpy(out + 2 * i, &half, sizeof half);
    }
    return halves_are_finite(out, count);
}

static bool decode_f16(float *out, const void *run, size_t size, size_t first, size_t count)
{
    const uint8_t *in = (const uint8_t *)run + 2 * first;
    (void)size;
    size_t done = converts_in_hardware() ? of_halves_fast(out, in, count) : 0;
    for (size_t i = done; i < count; i++) {
        uint16_t half;
        memcpy(&half, in + 2 * i, sizeof half);
        out[i] = fmq_float_of_f16(half);
    }
    return halves_are_finite(in, count);
}

/* What is not finite, or rounds up to infinity, has an exponent of all ones
 * after the addition too (or has wrapped round to a sign: hence both tests). */
static bool encode_bf16(void *place, const float *in, size_t count)
{
    uint8_t *out = place;
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = fmq_bits_of_float(in[i]);
        uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
        found |= (bits & EXPONENT_F32) == EXPONENT_F32;
        found |= (rounded & EXPONENT_F32) == EXPONENT_F32;
        uint16_t brief = (uint16_t)(rounded >> 16);
        memcpy(out + 2 * i, &brief, sizeof brief);
    }
    return !found;
}

static bool decode_bf16(float *out, const void *run, size_t size, size_t first, size_t count)
{
    const uint8_t *in = (const uint8_t *)run + 2 * first;
    (void)size;
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t brief;
        memcpy(&brief, in + 2 * i, sizeof brief);
        uint32_t bits = (uint32_t)brief << 16;
        found |= (bits & EXPONENT_F32) == EXPONENT_F32;
        memcpy(out + i, &bits, sizeof bits);
    }
    return !found;
}

static bool encode_f32(void *out, const float *in, size_t count)
{
    memcpy(out, in, count * sizeof *in);
    return floats_are_finite(out, count);
}

static bool decode_f32(float *out, const void *run, size_t size, size_t first, size_t count)
{
    const uint8_t *in = (const uint8_t *)run + sizeof *out * first;
    (void)size;
    memcpy(out, in, count * sizeof *out);
    return floats_are_finite(in, count);
}

static size_t four_each(size_t count)
{
    return 4 * count;
}

static size_t two_each(size_t count)
{
    return 2 * count;
}

static const fmq_codec_ops_t codecs[] = {
    [FMQ_CODEC_F32] = {"f32", "as they are: 4 bytes a number, nothing is lost", FMQ_CODEC_F32,
                       four_each, encode_f32, decode_f32},
    [FMQ_CODEC_F16] = {"f16", "IEEE 754 binary16: 2 bytes, 11 bits of precision, up to 65504",
                       FMQ_CODEC_F16, two_each, encode_f16, decode_f16},
    [FMQ_CODEC_BF16] = {"bf16", "bfloat16: 2 bytes, 8 bits of precision, the range of f32",
                        FMQ_CODEC_BF16, two_each, encode_bf16, decode_bf16},
};

const fmq_codec_ops_t *fmq_codec_of(const fmq_schema_t *schema, uint32_t number)
{
    const fmq_codec_ops_t *codec;
    if (number < sizeof codecs / sizeof *codecs)
        return &codecs[number];
    for (size_t i = 0; schema && (codec = fmq_schema_codec(schema, i)); i++)
        if (codec->number == number)
            return codec;
    return NULL;
}

const char *fmq_codec_at(size_t index, const char **help)
{
    if (index >= sizeof codecs / sizeof *codecs)
        return NULL;
    *help = codecs[index].help;
    return codecs[index].name;
}

int fmq_codec_find(const char *name)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (strcmp(codecs[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *fmq_codec_name(fmq_codec_t codec)
{
    return (unsigned)codec < sizeof codecs / sizeof *codecs ? codecs[codec].name : "unknown";
}
