/*
 * open.c - makes and destroys a CPU backend: chooses the kernels, starts the
 * pool, puts the table together.
 */
#include "llm/backend/cpu/cpu.h"
#include "llm/backend/cpu/half.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_ROWS  128 /* enough for a product to reach its speed */
#define HEAD_BYTES ((size_t)32 << 20)

static bool machine_has(const char *variant)
{
#ifdef LLM_CPU_X86
    __builtin_cpu_init();
    if (strcmp(variant, "avx512bf16") == 0)
        return machine_has("avx512") && __builtin_cpu_supports("avx512bf16");
    if (strcmp(variant, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(variant, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return strcmp(variant, "portable") == 0;
}

/* The kernels of F32 and of BF16 activations that go together. */
typedef struct {
    const char *name;
    const llm_cpu_kernels_t *kernels;
    const llm_cpu_half_kernels_t *half;
    const llm_cpu_pairs_t *pairs;
} variant_t;

/* The best kernels of the machine, or those that FEDMQ_CPU names. */
static const variant_t *choose(fmq_error_t *err)
{
    static const variant_t known[] = {
#ifdef LLM_CPU_X86
        {"avx512bf16", &llm_cpu_avx512, &llm_cpu_half_avx512bf16, &llm_cpu_avx512bf16},
        {"avx512", &llm_cpu_avx512, &llm_cpu_half_avx512, NULL},
        {"avx2", &llm_cpu_avx2, &llm_cpu_half_avx2, NULL},
#endif
        {"portable", &llm_cpu_portable, &llm_cpu_half_portable, NULL},
    };
    const char *wanted = getenv("FEDMQ_CPU");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if ((!wanted || !*wanted || strcmp(wanted, known[i].name) == 0) &&
            machine_has(known[i].name))
            return &known[i];
    fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                  "FEDMQ_CPU='%s' is not a variant that this machine can run: use avx512bf16, "
                  "avx512, avx2 or portable, or leave it unset",
                  wanted ? wanted : "");
    return NULL;
}

static void free_all(llm_cpu_t *self)
{
    llm_pool_destroy(&self->pool);
    free(self->packed);
    free(self->small);
    free(self->rooms);
    free(self->dropped);
    free(self->half_rooms);
    free(self->half_wide);
    free(self);
}

static void destroy(llm_backend_t *be)
{
    free_all(llm_cpu(be));
}

static llm_backend_t *another(const llm_backend_t *be, unsigned threads, fmq_error_t *err)
{
    return be->ops->act == FMQ_BF16 ? llm_backend_cpu_new_half(threads, err)
                                    : llm_backend_cpu_new(threads, err);
}

static void fill_table(llm_ops_t *ops)
{
    ops->name = "cpu";
    ops->act = FMQ_F32;
    ops->head_rows = HEAD_ROWS;
    ops->head_bytes = HEAD_BYTES;
    ops->synchronize = llm_instance_synchronize;
    ops->destroy = destroy;
    ops->another = another;
    llm_cpu_memory(ops);
    llm_cpu_matrix(ops);
    llm_cpu_codes(ops);
    llm_cpu_linear(ops);
    llm_cpu_gemm(ops);
    llm_cpu_dense(ops);
    llm_cpu_lora(ops);
    llm_cpu_scales(ops);
    llm_cpu_rows(ops);
    llm_cpu_elements(ops);
    llm_cpu_optimizers(ops);
    llm_cpu_attention(ops);
    llm_cpu_decode(ops);
}

/* The table of BF16 activations, where it differs. */
static void fill_half_table(llm_cpu_t *self)
{
    llm_ops_t *ops = &self->instance.ops;
    self->wide = *ops;
    ops->name = "cpu:bf16";
    ops->act = FMQ_BF16;
    llm_cpu_half_elements(ops);
    llm_cpu_half_rows(ops);
    llm_cpu_half_losses(ops);
    llm_cpu_half_attention(ops);
    llm_cpu_half_decode(ops);
    llm_cpu_half_products(ops);
    llm_cpu_half_lora(ops);
}

static llm_cpu_t *cpu_new(unsigned threads, fmq_error_t *err)
{
    const variant_t *variant = choose(err);
    if (!variant)
        return NULL;
    llm_cpu_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the cpu backend");
        return NULL;
    }
    self->kernels = variant->kernels;
    self->half = variant->half;
    self->pairs = variant->pairs;
    self->packed = llm_cpu_allocate(LLM_CPU_PACKED * sizeof(float));
    self->small = llm_cpu_allocate(LLM_CPU_SMALL * sizeof(float));
    if (!self->packed || !self->small) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the cpu backend's packed operands");
        goto fail;
    }
    self->pool = llm_pool_new(threads, err);
    if (!self->pool)
        goto fail;
    self->rooms = llm_cpu_allocate(threads * LLM_CPU_ROOM * sizeof(float));
    self->dropped = llm_cpu_allocate(LLM_CPU_DROPPED * sizeof(float));
    if (!self->rooms || !self->dropped) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the cpu backend's packed operands");
        goto fail;
    }
    fill_table(&self->instance.ops);
    self->instance.variant = variant->name;
    self->instance.backend.ops = &self->instance.ops;
    self->instance.backend.context = self;
    return self;
fail:
    free_all(self);
    return NULL;
}

llm_backend_t *llm_backend_cpu_new(unsigned threads, fmq_error_t *err)
{
    llm_cpu_t *self = cpu_new(threads, err);
    return self ? &self->instance.backend : NULL;
}

llm_backend_t *llm_backend_cpu_new_half(unsigned threads, fmq_error_t *err)
{
    llm_cpu_t *self = cpu_new(threads, err);
    if (!self)
        return NULL;
    fill_half_table(self);
    self->instance.variant = self->half->name;
    return &self->instance.backend;
}
