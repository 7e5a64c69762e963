/*
 * bench_ops.c - time of every op of the CPU backend beside the large products,
 * at the shapes of a GPT-2 124M step over 512 tokens.
 *
 * Prints the best of repeated calls, with GFLOP/s where arithmetic bounds the
 * op and GB/s where memory does (bytes that must move at least once).
 *
 * Usage: bench_ops [THREADS] [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fedmq/llm/backend.h"
#include "tests/llm/backend/acts.h"

enum {
    T = 512,
    C = 768,
    H = 12,
    D = 64,
    FF = 3072,
    V = 50257,
    RANK = 8,
    ROWS = 64,
    SHORT = 64,
    WINDOW = 64
};

typedef struct {
    llm_backend_t *be;
    const llm_ops_t *ops;
    llm_matrix_t *fc, *head;
    float *a, *b, *c, *d, *e, *weight, *logits, *scratch, *lse;
    int32_t *ids;
    uint8_t *mask;
    llm_attention_t attention;
    int rounds;
} bench_t;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void linear_one_row(bench_t *b)
{
    b->ops->linear_forward(b->be, act(b->b), FF, const_act(b->a), C, b->fc, NULL, 1);
}

static void head_one_row(bench_t *b)
{
    b->ops->linear_forward(b->be, act(b->logits), V, const_act(b->a), C, b->head, NULL, 1);
}

static void linear_one_row_back(bench_t *b)
{
    b->ops->linear_backward(b->be, act(b->a), C, const_act(b->b), FF, b->fc, 1, false);
}

static void head_rows(bench_t *b)
{
    b->ops->linear_forward_rows(b->be, act(b->logits), 4096, const_act(b->a), C, b->head, 8192,
                                4096, ROWS);
}

static void head_rows_back(bench_t *b)
{
    b->ops->linear_backward_rows(b->be, act(b->a), C, const_act(b->logits), 4096, b->head, 8192,
                                 4096, ROWS, true);
}

static void gather_embedding(bench_t *b)
{
    b->ops->matrix_gather(b->be, act(b->a), b->head, b->ids, T);
}

static llm_lora_t lora_of(const bench_t *b, float p, const fmq_rng_name_t *stream)
{
    return (llm_lora_t){.M = T,
                        .in = C,
                        .out = 3 * C,
                        .rank = RANK,
                        .a = b->weight,
                        .a_stride = C,
                        .b = b->weight,
                        .scaling = 2,
                        .p = p,
                        .stream = stream};
}

static void lora_down(bench_t *b)
{
    llm_lora_t how = lora_of(b, 0, NULL);
    b->ops->lora_down(b->be, b->lse, NULL, const_act(b->a), &how);
}

static void lora_down_dropping(bench_t *b)
{
    fmq_rng_name_t stream = {.seed = 1};
    llm_lora_t how = lora_of(b, 0.1f, &stream);
    b->ops->lora_down(b->be, b->lse, b->mask, const_act(b->a), &how);
}

static void lora_up(bench_t *b)
{
    llm_lora_t how = lora_of(b, 0, NULL);
    b->ops->lora_up(b->be, act(b->c), 3 * C, b->lse, &how);
}

static void lora_gradients(bench_t *b)
{
    llm_lora_t how = lora_of(b, 0, NULL);
    b->ops->lora_gradients(b->be, b->lse, b->e, b->d, const_act(b->c), 3 * C, const_act(b->a),
                           b->lse + T * RANK, NULL, &how);
}

static void lora_gradients_dropping(bench_t *b)
{
    llm_lora_t how = lora_of(b, 0.1f, NULL);
    b->ops->lora_gradients(b->be, b->lse, b->e, b->d, const_act(b->c), 3 * C, const_act(b->a),
                           b->lse + T * RANK, b->mask, &how);
}

static void lora_input_gradient(bench_t *b)
{
    llm_lora_t how = lora_of(b, 0, NULL);
    b->ops->lora_input_gradient(b->be, act(b->a), b->lse, NULL, &how);
}

static void lora_input_gradient_dropping(bench_t *b)
{
    llm_lora_t how = lora_of(b, 0.1f, NULL);
    b->ops->lora_input_gradient(b->be, act(b->a), b->lse, b->mask, &how);
}

static void forward_of(bench_t *b, const llm_attention_t *shape)
{
    b->ops->attention_forward(b->be, act(b->b), b->lse, const_act(b->a), const_act(b->a + C),
                              const_act(b->a + 2 * C), shape, b->scratch);
}

static void backward_of(bench_t *b, const llm_attention_t *shape)
{
    b->ops->attention_backward(b->be, act(b->c), act(b->c + C), act(b->c + 2 * C), const_act(b->d),
                               const_act(b->b), b->lse, const_act(b->a), const_act(b->a + C),
                               const_act(b->a + 2 * C), shape, b->scratch);
}

static void attention_forward(bench_t *b)
{
    forward_of(b, &b->attention);
}

static void attention_backward(bench_t *b)
{
    backward_of(b, &b->attention);
}

/* All heads share one of keys and values. */
static void shared_forward(bench_t *b)
{
    llm_attention_t shape = b->attention;
    shape.KV = 1;
    forward_of(b, &shape);
}

static void shared_backward(bench_t *b)
{
    llm_attention_t shape = b->attention;
    shape.KV = 1;
    backward_of(b, &shape);
}

/* Queries see no more than WINDOW keys. */
static void window_forward(bench_t *b)
{
    llm_attention_t shape = b->attention;
    shape.window = WINDOW;
    forward_of(b, &shape);
}

static void window_backward(bench_t *b)
{
    llm_attention_t shape = b->attention;
    shape.window = WINDOW;
    backward_of(b, &shape);
}

static void capped_forward(bench_t *b)
{
    llm_attention_t shape = b->attention;
    shape.softcap = 50;
    forward_of(b, &shape);
}

static void capped_backward(bench_t *b)
{
    llm_attention_t shape = b->attention;
    shape.softcap = 50;
    backward_of(b, &shape);
}

/* Sequences of SHORT tokens. */
static llm_attention_t short_of(const bench_t *b, uint32_t starts[T / SHORT + 1])
{
    llm_attention_t shape = b->attention;
    shape.S = T / SHORT;
    for (uint32_t s = 0; s <= T / SHORT; s++)
        starts[s] = s * SHORT;
    shape.starts = starts;
    shape.longest = SHORT;
    return shape;
}

static void short_forward(bench_t *b)
{
    uint32_t starts[T / SHORT + 1];
    llm_attention_t shape = short_of(b, starts);
    forward_of(b, &shape);
}

static void short_backward(bench_t *b)
{
    uint32_t starts[T / SHORT + 1];
    llm_attention_t shape = short_of(b, starts);
    backward_of(b, &shape);
}

static void decode(bench_t *b)
{
    const llm_decode_t how = {.length = T, .H = H, .KV = H, .D = D, .scale = 0.125f};
    b->ops->attention_decode(b->be, act(b->b), const_act(b->a), const_act(b->c), const_act(b->d),
                             &how, b->scratch);
}

static void layernorm_forward(bench_t *b)
{
    b->ops->layernorm_forward(b->be, act(b->b), b->lse, const_act(b->a), b->weight, b->weight, T, C,
                              1e-5f);
}

static void layernorm_backward(bench_t *b)
{
    b->ops->layernorm_backward(b->be, act(b->c), b->weight, b->weight, const_act(b->d),
                               const_act(b->a), b->lse, b->weight, T, C, true);
}

static void gelu_forward(bench_t *b)
{
    b->ops->activation_forward(b->be, act(b->b), const_act(b->a), T * FF, LLM_ACTIVATION_GELU_TANH);
}

static void gelu_exact(bench_t *b)
{
    b->ops->activation_forward(b->be, act(b->b), const_act(b->a), T * FF, LLM_ACTIVATION_GELU);
}

static void gelu_backward(bench_t *b)
{
    b->ops->activation_backward(b->be, act(b->c), const_act(b->d), const_act(b->a), T * FF,
                                LLM_ACTIVATION_GELU_TANH);
}

static void swiglu_forward(bench_t *b)
{
    b->ops->glu_forward(b->be, act(b->c), const_act(b->a), const_act(b->b), T * FF,
                        LLM_ACTIVATION_SILU);
}

static void swiglu_backward(bench_t *b)
{
    b->ops->glu_backward(b->be, act(b->c), act(b->d), const_act(b->e), const_act(b->a),
                         const_act(b->b), T * FF, LLM_ACTIVATION_SILU);
}

static void add(bench_t *b)
{
    b->ops->add_act(b->be, act(b->c), const_act(b->a), T * FF);
}

static void bias_backward(bench_t *b)
{
    b->ops->bias_backward(b->be, b->weight, const_act(b->a), FF, T, FF);
}

static void cross_entropy(bench_t *b)
{
    b->ops->cross_entropy(b->be, b->lse, act(b->logits), b->ids, ROWS, V,
                          &(llm_cross_entropy_t){.scale = 1e-3f});
}

static void adam(bench_t *b)
{
    llm_adam_t how = {1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, true, 3};
    b->ops->adam_step(b->be, b->c, b->d, b->e, NULL, b->a, T * FF, &how);
}

static void sum_squares(bench_t *b)
{
    b->lse[0] = (float)b->ops->sum_squares(b->be, b->a, T * FF);
}

static void rope(bench_t *b)
{
    b->ops->rope(b->be, act(b->a), b->ids, b->d,
                 &(llm_rope_t){.T = T, .heads = H, .D = D, .stride = C, .rotary = D}, false);
}

typedef struct {
    const char *name;
    void (*run)(bench_t *bench);
    double mega_flops, mega_bytes;
} op_t;

#define MFLOP(m, n, k) (2e-6 * (m) * (n) * (k))
#define MBYTE(floats)  (4e-6 * (floats))

static const op_t ops[] = {
    {"linear 768->3072, one row", linear_one_row, 0, MBYTE(1.0 * C * FF)},
    {"head 768->50257, one row", head_one_row, 0, MBYTE(1.0 * C * V)},
    {"linear backward, one row", linear_one_row_back, 0, MBYTE(1.0 * C * FF)},
    {"head, 4096 rows of W, M 64", head_rows, MFLOP(64.0, 4096, C), 0},
    {"head backward, the same", head_rows_back, MFLOP(64.0, 4096, C), 0},
    {"embedding from the head", gather_embedding, 0, MBYTE(2.0 * T * C)},
    {"lora down", lora_down, MFLOP(1.0 * T, RANK, C), 0},
    {"lora down, dropping", lora_down_dropping, MFLOP(1.0 * T, RANK, C), 0},
    {"lora up", lora_up, MFLOP(1.0 * T, RANK, 3 * C), 0},
    {"lora gradients", lora_gradients, MFLOP(1.0 * T, RANK, 7 * C), 0},
    {"lora gradients, dropping", lora_gradients_dropping, MFLOP(1.0 * T, RANK, 7 * C), 0},
    {"lora dx", lora_input_gradient, MFLOP(1.0 * T, RANK, C), 0},
    {"lora dx, dropping", lora_input_gradient_dropping, MFLOP(1.0 * T, RANK, C), 0},
    {"attention forward", attention_forward, MFLOP(2.0 * H * D, T, T / 2), 0},
    {"attention backward", attention_backward, MFLOP(5.0 * H * D, T, T / 2), 0},
    {"attention forward, one kv head", shared_forward, MFLOP(2.0 * H * D, T, T / 2), 0},
    {"attention backward, one kv head", shared_backward, MFLOP(5.0 * H * D, T, T / 2), 0},
    {"attention forward, window 64", window_forward, MFLOP(2.0 * H * D, T, WINDOW), 0},
    {"attention backward, window 64", window_backward, MFLOP(5.0 * H * D, T, WINDOW), 0},
    {"attention forward, soft cap", capped_forward, MFLOP(2.0 * H * D, T, T / 2), 0},
    {"attention backward, soft cap", capped_backward, MFLOP(5.0 * H * D, T, T / 2), 0},
    {"attention forward, 64 tokens", short_forward, MFLOP(2.0 * H * D, T, SHORT / 2), 0},
    {"attention backward, 64 tokens", short_backward, MFLOP(5.0 * H * D, T, SHORT / 2), 0},
    {"attention of one token", decode, 0, MBYTE(2.0 * T * C)},
    {"layernorm forward", layernorm_forward, 0, MBYTE(2.0 * T * C)},
    {"layernorm backward", layernorm_backward, 0, MBYTE(6.0 * T * C)},
    {"gelu forward", gelu_forward, 0, MBYTE(2.0 * T * FF)},
    {"gelu forward, exact", gelu_exact, 0, MBYTE(2.0 * T * FF)},
    {"gelu backward", gelu_backward, 0, MBYTE(3.0 * T * FF)},
    {"swiglu forward", swiglu_forward, 0, MBYTE(3.0 * T * FF)},
    {"swiglu backward", swiglu_backward, 0, MBYTE(5.0 * T * FF)},
    {"add", add, 0, MBYTE(3.0 * T * FF)},
    {"bias backward", bias_backward, 0, MBYTE(1.0 * T * FF)},
    {"rope", rope, 0, MBYTE(2.0 * T * C)},
    {"cross-entropy, 64 rows", cross_entropy, 0, MBYTE(2.0 * ROWS * V)},
    {"adam", adam, 0, MBYTE(7.0 * T * FF)},
    {"sum of squares", sum_squares, 0, MBYTE(1.0 * T * FF)},
};

static void measure(bench_t *bench, const op_t *op)
{
    double best = 1e9;
    for (int round = 0; round < bench->rounds; round++) {
        double start = now();
        op->run(bench);
        double spent = now() - start;
        best = spent < best ? spent : best;
    }
    printf("%-28s %9.1f us", op->name, best * 1e6);
    if (op->mega_flops > 0)
        printf("  %7.1f GFLOP/s\n", op->mega_flops * 1e-3 / best);
    else
        printf("  %7.1f GB/s\n", op->mega_bytes * 1e-3 / best);
}

static float *filled(bench_t *bench, size_t n)
{
    float *memory = bench->ops->alloc(bench->be, n * sizeof(float));
    if (!memory)
        exit(1);
    for (size_t i = 0; i < n; i++)
        memory[i] = 0.01f * (float)(i % 97) - 0.4f;
    return memory;
}

static void fill(bench_t *b)
{
    static const uint32_t starts[] = {0, T};
    b->a = filled(b, T * FF);
    b->b = filled(b, T * FF);
    b->c = filled(b, T * FF);
    b->d = filled(b, T * FF);
    b->e = filled(b, T * FF);
    b->weight = filled(b, 3 * C * RANK);
    b->lse = filled(b, 2 * T * H);
    b->logits = filled(b, (size_t)V * C);
    b->fc = b->ops->matrix_new(b->be, b->logits, FMQ_F32, FF, C, false);
    b->head = b->ops->matrix_new(b->be, b->logits, FMQ_F32, V, C, false);
    b->ids = b->ops->alloc(b->be, T * sizeof(int32_t));
    for (int i = 0; i < T; i++)
        b->ids[i] = i * 97 % T;
    b->attention = (llm_attention_t){.T = T, .S = 1, .starts = starts, .H = H, .KV = H, .D = D};
    b->mask = b->ops->alloc(b->be, llm_lora_mask_bytes(T, C));
    b->attention.longest = T;
    b->attention.scale = 0.125f;
    b->attention.q_stride = b->attention.k_stride = b->attention.v_stride = 3 * C;
    b->attention.out_stride = C;
    b->scratch = filled(b, b->ops->attention_scratch(b->be, &b->attention));
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    fmq_error_t err;
    bench_t bench = {.rounds = argc > 2 ? atoi(argv[2]) : 20};
    bench.be = threads > 0 ? llm_backend_cpu_new((unsigned)threads, &err) : NULL;
    if (!bench.be) {
        fprintf(stderr, "cannot start a backend with %d threads\n", threads);
        return 1;
    }
    bench.ops = bench.be->ops;
    fill(&bench);
    printf("%s, %d threads, best of %d\n", llm_backend_variant(bench.be), threads, bench.rounds);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        measure(&bench, &ops[i]);
    return 0;
}
