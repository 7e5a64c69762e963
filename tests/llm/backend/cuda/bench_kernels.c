/*
 * bench_kernels.c - how fast the kernels are on this device: the ceiling of a
 * copy first, then attention in TFLOP/s, norms, LoRA's products and the products
 * of decoding as a share of the copy.
 *
 * usage: bench_kernels
 *
 * Each line is the median of samples after a warm-up, on random inputs that are
 * larger than the caches or rotate among several sets.  Attention counts the
 * products of a causal half, two forward and five backward, however many a
 * kernel computes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/half.h"
#include "fedmq/base/rng.h"
#include "llm/backend/cuda/runtime.h"

#define SAMPLES 9

static const llm_cuda_queue_t queue = {.bf16 = true};

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "bench_kernels: %s\n", why);
    exit(1);
}

static void *device_bytes(size_t bytes)
{
    void *memory = llm_cuda_alloc(bytes);
    if (!memory)
        give_up("out of device memory");
    return memory;
}

/* Random floats, or bf16, of a block that repeats: drawing 2^28 numbers on the
 * host would take longer than what is measured. */
static void *random_device(size_t count, bool bf16, float scale)
{
    enum { BLOCK = 1 << 20 };
    const size_t element = bf16 ? 2 : 4;
    char *memory = device_bytes(count * element), *host = malloc(BLOCK * element);
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = count, .purpose = FMQ_RNG_TEST});
    for (size_t i = 0; host && i < BLOCK; i++) {
        float value = scale * (float)(fmq_rng_uniform(&rng) * 2 - 1);
        if (bf16)
            ((uint16_t *)(void *)host)[i] = fmq_bf16_of_float(value);
        else
            ((float *)(void *)host)[i] = value;
    }
    for (size_t first = 0; host && first < count; first += BLOCK) {
        size_t some = count - first < BLOCK ? count - first : BLOCK;
        const char *wrong = llm_cuda_upload(memory + first * element, host, some * element);
        if (wrong)
            give_up(wrong);
    }
    free(host);
    return memory;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one call: the median of samples of so many calls. */
static double seconds(int calls, void (*work)(void *, int), void *argument)
{
    double samples[SAMPLES];
    if (llm_cuda_milliseconds(&queue, 3, work, argument) < 0)
        give_up(llm_cuda_synchronize());
    for (int i = 0; i < SAMPLES; i++)
        samples[i] = llm_cuda_milliseconds(&queue, calls, work, argument);
    qsort(samples, SAMPLES, sizeof *samples, by_size);
    const char *wrong = llm_cuda_synchronize();
    if (wrong)
        give_up(wrong);
    return samples[SAMPLES / 2] * 1e-3 / calls;
}

typedef struct {
    void *m[8];
    size_t T, C, out, rank;
    llm_cuda_attention_t shape;
    llm_cuda_lora_t lora[3];
    llm_cuda_lora_rows_t rows[3];
    uint8_t *mask;
    float *scratch;
    llm_cuda_few_t few;
} work_t;

static void copy_work(void *argument, int i)
{
    work_t *w = argument;
    llm_cuda_copy(&queue, w->m[i % 2], w->m[(i + 1) % 2], w->T);
}

static double copy_rate(void)
{
    work_t w = {.T = (size_t)1 << 30};
    w.m[0] = random_device(w.T / 4, false, 1);
    w.m[1] = device_bytes(w.T);
    double rate = 2 * (double)w.T / seconds(10, copy_work, &w);
    llm_cuda_release(w.m[0]);
    llm_cuda_release(w.m[1]);
    printf("%-46s %8.0f GB/s\n", "copy, bytes read and written", rate * 1e-9);
    return rate;
}

static void forward_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_attention_forward(&queue, w->m[4], w->m[5], w->m[0], w->m[1], w->m[2], &w->shape);
}

static void backward_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_attention_backward_t t = {w->m[6],
                                       (uint16_t *)w->m[6] + w->shape.H * w->shape.D,
                                       (uint16_t *)w->m[6] +
                                           (w->shape.H + w->shape.KV) * w->shape.D,
                                       w->m[3],
                                       w->m[4],
                                       w->m[0],
                                       w->m[1],
                                       w->m[2],
                                       w->m[5]};
    llm_cuda_attention_backward(&queue, &t, &w->shape, w->scratch);
}

static void bench_attention(size_t S, size_t length, size_t H, size_t KV, size_t D)
{
    size_t T = S * length, stride = (H + 2 * KV) * D;
    uint32_t *starts = malloc((S + 1) * sizeof *starts);
    for (size_t s = 0; s <= S; s++)
        starts[s] = (uint32_t)(s * length);
    work_t w = {0};
    uint16_t *qkv = random_device(T * stride, true, 1.5f);
    void *device_starts = device_bytes((S + 1) * sizeof *starts);
    llm_cuda_upload(device_starts, starts, (S + 1) * sizeof *starts);
    w.m[0] = qkv;
    w.m[1] = qkv + H * D;
    w.m[2] = qkv + (H + KV) * D;
    w.m[3] = random_device(T * H * D, true, 1);
    w.m[4] = device_bytes(T * H * D * 2);
    w.m[5] = device_bytes(T * H * 4);
    w.m[6] = device_bytes(T * stride * 2);
    w.shape = (llm_cuda_attention_t){.T = T,
                                     .S = S,
                                     .starts = device_starts,
                                     .longest = length,
                                     .H = H,
                                     .KV = KV,
                                     .D = D,
                                     .scale = 0.1f,
                                     .q_stride = stride,
                                     .k_stride = stride,
                                     .v_stride = stride,
                                     .out_stride = H * D};
    w.scratch = device_bytes(llm_cuda_attention_scratch(&w.shape) * 4);
    double flops = 2.0 * (double)S * (double)length * (double)length * (double)(H * D);
    char name[80];
    snprintf(name, sizeof name, "attention %zux%zu, H %zu, KV %zu, D %zu", S, length, H, KV, D);
    printf("%-46s %8.0f TFLOP/s forward", name, flops * 1e-12 / seconds(5, forward_work, &w));
    printf(" %6.0f backward\n", 2.5 * flops * 1e-12 / seconds(3, backward_work, &w));
    fflush(stdout);
    for (int i = 0; i < 7; i++)
        if (i != 1 && i != 2)
            llm_cuda_release(w.m[i]);
    llm_cuda_release(device_starts);
    llm_cuda_release(w.scratch);
    free(starts);
}

static void norm_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_add_rmsnorm_forward(&queue, w->m[0], w->m[1], w->m[2], w->m[1], w->m[3], w->m[4], w->T,
                                 w->C, 1e-5f);
}

static void norm_back_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_rmsnorm_backward(&queue, w->m[0], w->m[1], w->m[3], w->m[2], w->m[4], w->T, w->C,
                              true);
}

static void swiglu_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_glu_forward(&queue, w->m[0], w->m[1], w->m[3], w->T * w->C, LLM_ACTIVATION_SILU);
}

static void loss_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_cross_entropy(&queue, w->m[1], w->m[0], w->C, w->m[2], w->T, w->C, 1e-3f, 0);
}

static void line(const char *name, double bytes, double time, double copy)
{
    printf("%-46s %8.0f GB/s %5.0f %% of a copy, %7.1f us\n", name, bytes / time * 1e-9,
           100 * bytes / time / copy, time * 1e6);
    fflush(stdout);
}

static void bench_rows(double copy)
{
    const size_t T = 16384, C = 4096;
    work_t w = {.T = T, .C = C};
    double act = 2.0 * (double)(T * C);
    w.m[0] = random_device(T * C, true, 1);
    w.m[1] = random_device(T * C, true, 1);
    w.m[2] = random_device(2 * T, false, 1);
    w.m[3] = random_device(T * C, true, 1);
    w.m[4] = random_device(C, false, 1);
    line("add + rmsnorm forward, 16384 x 4096", 4 * act, seconds(20, norm_work, &w), copy);
    line("rmsnorm backward, 16384 x 4096", 4 * act, seconds(20, norm_back_work, &w), copy);
    line("swiglu, 16384 x 4096", 3 * act, seconds(20, swiglu_work, &w), copy);
    for (int i = 0; i < 5; i++)
        llm_cuda_release(w.m[i]);
    work_t l = {.T = 4096, .C = 50304};
    l.m[0] = random_device(l.T * l.C, true, 1);
    l.m[1] = device_bytes(l.T * 4);
    int32_t *targets = calloc(l.T, sizeof *targets);
    l.m[2] = device_bytes(l.T * sizeof *targets);
    llm_cuda_upload(l.m[2], targets, l.T * sizeof *targets);
    line("cross-entropy, 4096 x 50304", 3 * 2.0 * (double)(l.T * l.C), seconds(10, loss_work, &l),
         copy);
    for (int i = 0; i < 3; i++)
        llm_cuda_release(l.m[i]);
    free(targets);
}

static void down_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_lora_down(&queue, w->m[0], w->lora, w->rows, 3);
}

static void up_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_lora_up(&queue, w->m[1], w->out, w->rows[0].h, w->lora);
}

static void gradients_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_lora_gradients(&queue, w->m[2], w->m[3], w->m[4], w->m[1], w->out, w->m[0], w->rows,
                            w->lora, w->scratch);
}

static void input_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_lora_input_gradient(&queue, w->m[0], w->m[2], w->mask, w->lora);
}

static void mask_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_dropout_t stream = {.threshold = 429496729u, .keep = 1.1f, .key = {1, 2}};
    llm_cuda_dropout_mask(&queue, w->mask, w->T, w->C, &stream);
}

static void bench_lora(double copy)
{
    const size_t T = 16384, C = 4096, R = 8;
    work_t w = {.T = T, .C = C, .out = C, .rank = R};
    double act = 2.0 * (double)(T * C), bits = (double)(T * C) / 8;
    w.m[0] = random_device(T * C, true, 1);
    w.m[1] = random_device(T * C, true, 1);
    w.m[2] = random_device(T * R, false, 1);
    w.m[3] = random_device(R * C, false, 1);
    w.m[4] = random_device(R * C, false, 1);
    w.mask = device_bytes(T * C / 8);
    float *h = random_device(3 * T * R, false, 1);
    for (int i = 0; i < 3; i++) {
        w.lora[i] = (llm_cuda_lora_t){T, C, C, R, w.m[3], C, w.m[4], 2.0f, 1.1f};
        w.rows[i] = (llm_cuda_lora_rows_t){h + (size_t)i * T * R, w.mask};
    }
    w.scratch = device_bytes(llm_cuda_lora_scratch(w.lora) * 4);
    line("dropout mask, 16384 x 4096", bits, seconds(20, mask_work, &w), copy);
    line("lora down, 3 modules, rank 8, dropout", act + 3 * bits, seconds(20, down_work, &w), copy);
    line("lora up, rank 8", 2 * act, seconds(20, up_work, &w), copy);
    line("lora gradients, rank 8, dropout", 3 * act + bits, seconds(20, gradients_work, &w), copy);
    line("lora input gradient, rank 8, dropout", 2 * act + bits, seconds(20, input_work, &w), copy);
}

static void few_work(void *argument, int i)
{
    (void)i;
    work_t *w = argument;
    llm_cuda_few_forward(&queue, w->m[1], w->few.out, w->m[0], w->few.in, &w->few, NULL, w->T);
}

/* One row and four times a weight that no cache holds. */
static void bench_few(double copy)
{
    static const char *const names[] = {"int8", "int4", "nf4", "bf16", "bf16, by inputs"};
    const size_t in = 4096, out = 98304, scales = out * in / 64;
    work_t w = {.few = {.in = in, .out = out}};
    w.m[0] = random_device(4 * in, true, 1);
    w.m[1] = device_bytes(4 * out * 2);
    w.m[2] = random_device(out * in, true, 1);
    w.m[3] = random_device(scales, false, 1);
    for (int form = 0; form < 5; form++) {
        const bool codes = form < 3;
        const double bits = form == 0 ? 8 : codes ? 4 : 16;
        w.few.elements = codes ? NULL : w.m[2];
        w.few.stride = form == 4 ? out : in;
        w.few.input_major = form == 4;
        w.few.codes = (llm_cuda_quantized_t){w.m[2], w.m[3], out, in, 64, LLM_CUDA_INT8};
        if (codes)
            w.few.codes.form = (llm_cuda_codes_t)form;
        for (w.T = 1; w.T <= 4; w.T *= 4) {
            char name[80];
            double bytes = (double)(out * in) * bits / 8 + (codes ? 4.0 * (double)scales : 0.0);
            snprintf(name, sizeof name, "%zu row%s times %s, 98304 x 4096", w.T, w.T > 1 ? "s" : "",
                     names[form]);
            line(name, bytes, seconds(10, few_work, &w), copy);
        }
    }
    for (int i = 0; i < 4; i++)
        llm_cuda_release(w.m[i]);
}

int main(void)
{
    char text[200];
    if (llm_cuda_is_emulated())
        give_up("the emulation is no device");
    printf("%s\n", llm_cuda_describe(text, sizeof text));
    double copy = copy_rate();
    bench_rows(copy);
    bench_lora(copy);
    bench_few(copy);
    bench_attention(8, 2048, 16, 16, 128);
    bench_attention(4, 4096, 32, 8, 128);
    bench_attention(2, 8192, 16, 16, 128);
    bench_attention(16, 1024, 12, 12, 64);
    bench_attention(128, 128, 32, 32, 64);
    return 0;
}
