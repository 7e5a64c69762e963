/*
 * check.c - arrays with guards, runs in several orders, comparisons.
 */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "fedmq/base/rng.h"
#include "llm/backend/cuda/runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#define GUARD_BYTES 256
#define GUARD       0xa5
#define POISON      0xff /* a NaN in every float */

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "check: %s\n", why);
    exit(3);
}

static void *memory_for(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        give_up("out of memory");
    return memory;
}

void *room(size_t count)
{
    return memory_for(count * sizeof(float));
}

void check_init(check_t *self, llm_backend_t *reference, bool bf16, unsigned orders)
{
    *self = (check_t){.queue = {.bf16 = bf16}, .reference = reference, .orders = orders};
}

void check_clear(check_t *self)
{
    for (size_t i = 0; i < self->size; i++) {
        array_t *array = self->arrays[i];
        llm_cuda_release(array->memory);
        free(array->floats);
        free(array->answer);
        free(array->block);
        free(array->before);
        free(array->after);
        free(array);
    }
    self->size = 0;
}

static bool is_bf16(const check_t *self, kind_t kind)
{
    return kind == BF16 || (kind == ACT && self->queue.bf16);
}

static size_t element_of(const check_t *self, kind_t kind)
{
    if (is_bf16(self, kind))
        return 2;
    return kind == F64 ? 8 : kind == BYTES ? 1 : 4;
}

float rounded(const check_t *self, float value)
{
    return self->queue.bf16 ? fmq_float_of_bf16(fmq_bf16_of_float(value)) : value;
}

static array_t *array_new(check_t *self, kind_t kind, size_t count, bool written)
{
    if (self->size == ARRAYS_MAX)
        give_up("too many arrays");
    array_t *array = memory_for(sizeof *array);
    size_t element = element_of(self, kind), bytes = count * element;
    size_t whole = bytes + self->shift * element + 2 * GUARD_BYTES;
    *array = (array_t){
        .kind = kind, .count = count, .element = element, .bytes = whole, .written = written};
    array->block = memory_for(whole);
    array->before = memory_for(whole);
    array->after = memory_for(whole);
    array->memory = llm_cuda_alloc(whole);
    if (!array->memory)
        give_up("out of device memory");
    memset(array->block, GUARD, whole);
    memset(array->block + GUARD_BYTES + self->shift * element, POISON, bytes);
    array->device = (char *)array->memory + GUARD_BYTES + self->shift * element;
    array->answer = memory_for(count * (element > 4 ? element : 4));
    self->arrays[self->size++] = array;
    return array;
}

static uint8_t *elements(const check_t *self, const array_t *array, uint8_t *image)
{
    return image + GUARD_BYTES + self->shift * array->element;
}

/* Floats into an array's first image; floats become what the device has. */
static void fill(check_t *self, array_t *array, float *floats)
{
    uint8_t *to = elements(self, array, array->block);
    for (size_t i = 0; i < array->count; i++) {
        uint16_t half = fmq_bf16_of_float(floats[i]);
        double value = (double)floats[i];
        if (is_bf16(self, array->kind)) {
            memcpy(to + 2 * i, &half, sizeof half);
            floats[i] = fmq_float_of_bf16(half);
        } else if (array->kind == F64) {
            memcpy(to + 8 * i, &value, sizeof value);
        } else {
            memcpy(to + 4 * i, &floats[i], sizeof(float));
        }
    }
    array->floats = floats;
}

static array_t *of_stream(check_t *self, kind_t kind, size_t count, uint64_t seed, bool written)
{
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed, .purpose = FMQ_RNG_TEST});
    float *floats = room(count);
    for (size_t i = 0; i < count; i++)
        floats[i] = (float)fmq_rng_normal(&rng);
    array_t *array = array_new(self, kind, count, written);
    fill(self, array, floats);
    return array;
}

array_t *reads(check_t *self, kind_t kind, size_t count, uint64_t seed)
{
    return of_stream(self, kind, count, seed, false);
}

array_t *changes(check_t *self, kind_t kind, size_t count, uint64_t seed)
{
    return of_stream(self, kind, count, seed, true);
}

array_t *writes(check_t *self, kind_t kind, size_t count)
{
    return array_new(self, kind, count, true);
}

array_t *zeroed(check_t *self, kind_t kind, size_t count)
{
    array_t *array = array_new(self, kind, count, true);
    array->floats = calloc(count + 1, sizeof(float));
    memset(elements(self, array, array->block), 0, count * array->element);
    return array;
}

array_t *reads_values(check_t *self, kind_t kind, size_t count, const void *values)
{
    array_t *array = array_new(self, kind, count, false);
    if (kind == I32 || kind == BYTES) {
        memcpy(elements(self, array, array->block), values, count * array->element);
        return array;
    }
    float *floats = room(count);
    memcpy(floats, values, count * sizeof(float));
    fill(self, array, floats);
    return array;
}

void *copy_of(const array_t *array)
{
    void *copy = room(array->count);
    memcpy(copy, array->floats, array->count * sizeof(float));
    return copy;
}

/* On the emulation AddressSanitizer watches the guards while a kernel runs. */
static void watch(const check_t *self, const array_t *array, bool on)
{
    (void)self;
    (void)array;
    (void)on;
#if defined(__SANITIZE_ADDRESS__)
    if (!llm_cuda_is_emulated())
        return;
    char *first = array->device, *last = first + array->count * array->element;
    char *end = (char *)array->memory + array->bytes;
    if (on) {
        ASAN_POISON_MEMORY_REGION(array->memory, (size_t)(first - (char *)array->memory));
        ASAN_POISON_MEMORY_REGION(last, (size_t)(end - last));
    } else {
        ASAN_UNPOISON_MEMORY_REGION(array->memory, array->bytes);
    }
#endif
}

static void collect(check_t *self)
{
    const char *wrong = llm_cuda_synchronize();
    if (wrong)
        mistake(self, "the device says: %s", wrong);
    for (size_t i = 0; i < self->size; i++) {
        array_t *array = self->arrays[i];
        uint8_t *image = array->after;
        watch(self, array, false);
        wrong = llm_cuda_download(image, array->memory, array->bytes);
        if (wrong)
            give_up(wrong);
        size_t first = (size_t)(elements(self, array, image) - image);
        size_t last = first + array->count * array->element;
        if (memcmp(image, array->block, first) ||
            memcmp(image + last, array->block + last, array->bytes - last))
            mistake(self, "array %zu: a store out of bounds", i);
        if (!array->written && memcmp(image, array->block, array->bytes))
            mistake(self, "array %zu: changed, and is only to be read", i);
        if (self->run > 1 && memcmp(image, array->before, array->bytes))
            mistake(self, "array %zu: run %u gave other bytes than the first", i, self->run);
        if (self->run == 1)
            memcpy(array->before, image, array->bytes);
    }
}

static void answers(check_t *self)
{
    for (size_t i = 0; i < self->size; i++) {
        array_t *array = self->arrays[i];
        const uint8_t *from = elements(self, array, array->after);
        float *floats = array->answer;
        for (size_t j = 0; j < array->count && is_bf16(self, array->kind); j++) {
            uint16_t half;
            memcpy(&half, from + 2 * j, sizeof half);
            floats[j] = fmq_float_of_bf16(half);
        }
        if (!is_bf16(self, array->kind))
            memcpy(array->answer, from, array->count * array->element);
    }
}

void runs(check_t *self)
{
    self->run = 0;
}

bool next_run(check_t *self)
{
    unsigned times = llm_cuda_is_emulated() ? self->orders : 2;
    if (self->run)
        collect(self);
    if (self->run == times) {
        answers(self);
        return false;
    }
    llm_cuda_emulated_order(self->run < 2 ? self->run : self->run + 1);
    self->run++;
    for (size_t i = 0; i < self->size; i++) {
        array_t *array = self->arrays[i];
        const char *wrong = llm_cuda_upload(array->memory, array->block, array->bytes);
        if (wrong)
            give_up(wrong);
        watch(self, array, true);
    }
    return true;
}

static void report(check_t *self, const char *format, va_list arguments)
{
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    if (self->failed++ < 20)
        printf("  wrong: %s, %s: %s\n", self->family, self->queue.bf16 ? "bf16" : "float", text);
}

void mistake(check_t *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(self, format, arguments);
    va_end(arguments);
}

/* sum (answer - want)^2 / sum want^2; NaN where either is; of zeros, the sum. */
static double error_of(const float *answer, const float *want, size_t count)
{
    double errors = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)answer[i] - (double)want[i];
        errors += difference * difference;
        squares += (double)want[i] * (double)want[i];
    }
    return squares > 0 ? errors / squares : errors;
}

static bool same_bits(const check_t *self, const array_t *array, const float *want)
{
    const float *answer = array->answer;
    for (size_t i = 0; i < array->count; i++) {
        float expected = array->kind == ACT ? rounded(self, want[i]) : want[i];
        if (memcmp(&answer[i], &expected, sizeof expected) &&
            !(isnan(answer[i]) && isnan(expected)))
            return false;
    }
    return true;
}

void expect(check_t *self, array_t *array, void *want, double tolerance, const char *format, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    self->compared++;
    if (tolerance > 0) {
        /* One rounding to bf16 is off by up to 2^-8; many of them by 1e-3 on average. */
        if (is_bf16(self, array->kind) && array->count < 64)
            tolerance = fmax(tolerance, 0x1p-16);
        double error = error_of(array->answer, want, array->count);
        self->worst = fmax(self->worst, error / tolerance);
        if (!(error <= tolerance))
            mistake(self, "%s: error %.3g, allowed is %.3g", text, error, tolerance);
    } else if (!same_bits(self, array, want)) {
        mistake(self, "%s: not the same bits (error %.3g)", text,
                error_of(array->answer, want, array->count));
    }
    free(want);
}

void expect_integers(check_t *self, array_t *array, const int32_t *want, const char *format, ...)
{
    self->compared++;
    if (!memcmp(array->answer, want, array->count * sizeof *want))
        return;
    va_list arguments;
    va_start(arguments, format);
    report(self, format, arguments);
    va_end(arguments);
}
