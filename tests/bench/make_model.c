/*
 * make_model.c - writes a model directory of given proportions with random
 * weights, tensor by tensor, so that a model larger than memory can be made.
 *
 * Values are normal of deviation 0.02 from a pool of about a million draws,
 * which every tensor enters at another place; norms are 1, biases 0.  There is
 * no tokenizer: benchmarks read ids.
 *
 * Usage: make_model --shape NAME --out DIR [--dtype f32|bf16|f16] [--layers N]
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fedmq/base/rng.h"
#include "llm/hub/half.h"
#include "llm/hub/safetensors.h"
#include "llm/weights/parameter.h"
#include "tests/bench/flags.h"
#include "tests/bench/shapes.h"

#define POOL  1048573 /* a prime: rows of no width repeat soon */
#define BLOCK 8192

typedef struct {
    llm_shape_t shape;
    llm_parameters_t parameters;
    fmq_dtype_t dtype;
    float *pool; /* [POOL + BLOCK], the beginning again at the end */
} maker_t;

static void die(const char *what, const fmq_error_t *err)
{
    (void)fprintf(stderr, "make_model: %s: %s\n", what, err->text);
    exit(1);
}

static float *draw_pool(void)
{
    float *pool = malloc((POOL + BLOCK) * sizeof *pool);
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 1, .purpose = FMQ_RNG_MODEL_INIT};
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; pool && i < POOL; i++) {
        double radius = sqrt(-2.0 * log(1.0 - fmq_rng_uniform(&rng)));
        pool[i] = (float)(0.02 * radius * cos(6.283185307179586 * fmq_rng_uniform(&rng)));
    }
    if (!pool)
        exit(1);
    memcpy(pool + POOL, pool, BLOCK * sizeof *pool);
    return pool;
}

static bool is_norm(const llm_parameter_t *parameter)
{
    return parameter->role == LLM_ROLE_NORM || parameter->role == LLM_ROLE_NORM_FINAL;
}

/* Values of a block of a tensor: from the pool, or all the same. */
static const float *values(const maker_t *self, const llm_parameter_t *parameter, uint64_t from,
                           float constant[BLOCK])
{
    if (parameter->rank > 1)
        return self->pool + from % POOL;
    for (size_t i = 0; i < BLOCK; i++)
        constant[i] = is_norm(parameter) && !parameter->bias ? 1.0f : 0.0f;
    return constant;
}

static int write_tensor(void *argument, size_t index, FILE *stream)
{
    const maker_t *self = argument;
    const llm_parameter_t *parameter = &self->parameters.items[index];
    size_t size = fmq_dtype_size(self->dtype);
    float constant[BLOCK];
    unsigned char narrow[2 * BLOCK];
    for (uint64_t done = 0; done < parameter->count; done += BLOCK) {
        size_t count = parameter->count - done < BLOCK ? (size_t)(parameter->count - done) : BLOCK;
        const float *block = values(self, parameter, done + index * 7919, constant);
        if (self->dtype == FMQ_BF16)
            llm_half_to_bf16(block, count, narrow);
        else if (self->dtype == FMQ_F16)
            llm_half_to_f16(block, count, narrow);
        const void *bytes = self->dtype == FMQ_F32 ? (const void *)block : narrow;
        if (fwrite(bytes, size, count, stream) != count)
            return -1;
    }
    return 0;
}

static void write_weights(maker_t *self, const char *path)
{
    fmq_error_t err;
    size_t count = self->parameters.size;
    llm_safetensors_entry_t *entries = calloc(count, sizeof *entries);
    char(*names)[FMQ_SCHEMA_NAME_MAX] = calloc(count, sizeof *names);
    if (!entries || !names)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        const llm_parameter_t *parameter = &self->parameters.items[i];
        llm_parameter_name(&self->shape, parameter, names[i]);
        entries[i] =
            (llm_safetensors_entry_t){.name = names[i],
                                      .dtype = self->dtype == FMQ_BF16  ? "BF16"
                                               : self->dtype == FMQ_F16 ? "F16"
                                                                        : "F32",
                                      .rank = parameter->rank,
                                      .shape = parameter->shape,
                                      .bytes = parameter->count * fmq_dtype_size(self->dtype)};
    }
    llm_safetensors_content_t content = {entries, count, write_tensor, self};
    if (llm_safetensors_write(path, &content, &err) < 0)
        die(path, &err);
    free(entries);
    free(names);
}

int main(int argc, char **argv)
{
    const char *shape = NULL, *out = NULL, *dtype = "bf16";
    int layers = 0;
    const bench_flag_t flags[] = {
        bench_text("--shape", &shape, BENCH_SHAPES), bench_text("--out", &out, "DIR"),
        bench_text("--dtype", &dtype, "f32|bf16|f16"), bench_number("--layers", &layers, 1, 96)};
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
    fmq_error_t err;
    maker_t maker = {.dtype = dtype[0] == 'b' ? FMQ_BF16 : dtype[1] == '1' ? FMQ_F16 : FMQ_F32};
    char path[4096];
    if (!shape || !out || !bench_shape_find(shape, &maker.shape) || strlen(out) > 4000)
        bench_usage(flags, sizeof flags / sizeof *flags, argv[0]);
    if (layers)
        maker.shape.layers = (uint32_t)layers;
    if (llm_parameters_init(&maker.parameters, &maker.shape, &err) < 0)
        die("parameters", &err);
    if (mkdir(out, 0777) < 0 && errno != EEXIST) {
        (void)fprintf(stderr, "make_model: cannot make '%s': %s\n", out, strerror(errno));
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/config.json", out);
    if (llm_shape_save(&maker.shape, path, &err) < 0)
        die(path, &err);
    maker.pool = draw_pool();
    (void)snprintf(path, sizeof path, "%s/model.safetensors", out);
    write_weights(&maker, path);
    printf("%s: %s, %u layers, %llu parameters, %s\n", out, shape, (unsigned)maker.shape.layers,
           (unsigned long long)llm_shape_parameters(&maker.shape), dtype);
    llm_parameters_release(&maker.parameters);
    free(maker.pool);
    return 0;
}
