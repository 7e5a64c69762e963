/*
 * offsite_scene.c - see offsite_scene.h.
 */
#include "tests/bench/offsite_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/llm/data/byte_tokenizer.h"

#define WIDTH   768
#define FFN     2048
#define VOCAB   50257
#define TENSORS (SCENE_LAYERS * 9 + 2)

void scene_die(const char *what, const fmq_error_t *err)
{
    (void)fprintf(stderr, "bench_offsite_memory: %s: %s\n", what, err->text);
    exit(1);
}

llm_shape_t scene_shape(void)
{
    return (llm_shape_t){.arch = llm_arch_find("llama"),
                         .layers = SCENE_LAYERS,
                         .width = WIDTH,
                         .heads = 12,
                         .kv_heads = 12,
                         .head_width = 64,
                         .ffn = FFN,
                         .vocab = VOCAB,
                         .context = 1024,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000,
                         .tied = true,
                         .bos = BYTE_BOS,
                         .eos = BYTE_EOS,
                         .rope_factor = 1};
}

llm_adapter_spec_t scene_adapter(void)
{
    return (llm_adapter_spec_t){.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16};
}

llm_emulator_spec_t scene_emulator(const scene_geometry_t *geometry)
{
    return (llm_emulator_spec_t){.strategy = LLM_DROP_LAYER,
                                 .emu_r = (uint32_t)(SCENE_LAYERS - geometry->trained),
                                 .drop_ratio = geometry->dropout,
                                 .adapter = scene_adapter()};
}

/* Uniform of deviation 0.02, in F32 or cut to BF16. */
static void *draw(size_t count, fmq_dtype_t dtype, uint32_t seed)
{
    size_t size = fmq_dtype_size(dtype);
    char *out = malloc(count * size);
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 1, .purpose = FMQ_RNG_MODEL_INIT, .step = seed};
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; out && i < count; i++) {
        float value = (float)(0.07 * (fmq_rng_uniform(&rng) - 0.5));
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint16_t high = (uint16_t)(bits >> 16);
        memcpy(out + i * size, size == 2 ? (const void *)&high : (const void *)&bits, size);
    }
    if (!out)
        exit(1);
    return out;
}

typedef struct {
    llm_part_tensor_t tensor[TENSORS];
    char name[TENSORS][96];
    size_t size;
    fmq_dtype_t dtype;
} model_file_t;

/* in 0: a vector. */
static void add(model_file_t *self, const char *name, uint64_t out, uint64_t in)
{
    size_t i = self->size++, count = (size_t)(out * (in ? in : 1));
    (void)snprintf(self->name[i], sizeof self->name[i], "%s", name);
    self->tensor[i] = (llm_part_tensor_t){.name = self->name[i],
                                          .dtype = self->dtype == FMQ_BF16 ? "BF16" : "F32",
                                          .rank = in ? 2 : 1,
                                          .shape = {out, in ? in : 1, 1, 1},
                                          .data = draw(count, self->dtype, (uint32_t)i),
                                          .bytes = count * fmq_dtype_size(self->dtype)};
}

static void add_layer(model_file_t *self, int layer)
{
    static const struct {
        const char *name;
        uint64_t out, in;
    } tensors[] = {{"self_attn.q_proj", WIDTH, WIDTH},    {"self_attn.k_proj", WIDTH, WIDTH},
                   {"self_attn.v_proj", WIDTH, WIDTH},    {"self_attn.o_proj", WIDTH, WIDTH},
                   {"mlp.gate_proj", FFN, WIDTH},         {"mlp.up_proj", FFN, WIDTH},
                   {"mlp.down_proj", WIDTH, FFN},         {"input_layernorm", WIDTH, 0},
                   {"post_attention_layernorm", WIDTH, 0}};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[96];
        (void)snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, tensors[i].name);
        add(self, name, tensors[i].out, tensors[i].in);
    }
}

static void path_in(char path[SCENE_PATH_SIZE], const char *directory, const char *name)
{
    (void)snprintf(path, SCENE_PATH_SIZE, "%s/%s", directory, name);
}

void scene_write_model(const char *directory, fmq_dtype_t dtype)
{
    fmq_error_t err;
    char path[SCENE_PATH_SIZE];
    llm_shape_t shape = scene_shape();
    model_file_t *file = calloc(1, sizeof *file);
    if (!file)
        exit(1);
    file->dtype = dtype;
    add(file, "model.embed_tokens.weight", VOCAB, WIDTH);
    add(file, "model.norm.weight", WIDTH, 0);
    for (int l = 0; l < SCENE_LAYERS; l++)
        add_layer(file, l);
    path_in(path, directory, "config.json");
    if (llm_shape_save(&shape, path, &err) < 0)
        scene_die("config.json", &err);
    path_in(path, directory, "model.safetensors");
    if (llm_part_save(path, file->tensor, file->size, &err) < 0)
        scene_die("model.safetensors", &err);
    for (size_t i = 0; i < file->size; i++)
        free((void *)(uintptr_t)file->tensor[i].data);
    free(file);
}

static void part_path(char path[SCENE_PATH_SIZE], const char *directory, uint32_t part)
{
    char name[32] = "stem.part";
    if (part != LLM_PART_STEM)
        (void)snprintf(name, sizeof name, "%u.part", (unsigned)part);
    path_in(path, directory, name);
}

static void write_part(const llm_model_t *model, const char *directory, uint32_t part)
{
    fmq_error_t err;
    char path[SCENE_PATH_SIZE];
    part_path(path, directory, part);
    llm_part_image_t *image = llm_part_image_new(model, part, &err);
    FILE *file = image ? fopen(path, "wb") : NULL;
    if (!file)
        scene_die(path, &err);
    for (size_t i = 0; i < llm_part_image_size(image); i++) {
        const llm_segment_t *segment = llm_part_image_at(image, i);
        if (fwrite(segment->data, 1, (size_t)segment->bytes, file) != segment->bytes)
            exit(1);
    }
    if (fclose(file) != 0)
        exit(1);
    llm_part_image_destroy(&image);
}

void scene_write_parts(const char *directory)
{
    fmq_error_t err;
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    llm_model_t *model = be ? llm_model_open(directory, be, &err) : NULL;
    if (!model)
        scene_die("model", &err);
    write_part(model, directory, LLM_PART_STEM);
    for (uint32_t l = 0; l < SCENE_LAYERS; l++)
        write_part(model, directory, l);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

llm_emulator_t *scene_assemble(const char *directory, const scene_geometry_t *geometry,
                               llm_backend_t *be)
{
    fmq_error_t err;
    uint32_t source[SCENE_LAYERS], r = (uint32_t)(SCENE_LAYERS - geometry->trained);
    uint32_t behind = llm_drop_layer_kept(r, geometry->dropout, source), layers = behind;
    for (uint32_t l = r; l < SCENE_LAYERS; l++)
        source[layers++] = l;
    char paths[SCENE_LAYERS + 1][SCENE_PATH_SIZE];
    const char *parts[SCENE_LAYERS];
    for (uint32_t i = 0; i < layers; i++) {
        part_path(paths[i], directory, source[i]);
        parts[i] = paths[i];
    }
    part_path(paths[SCENE_LAYERS], directory, LLM_PART_STEM);
    llm_emulator_files_t files = {.full = scene_shape(),
                                  .r = r,
                                  .behind = behind,
                                  .source = source,
                                  .layers = layers,
                                  .stem = paths[SCENE_LAYERS],
                                  .parts = parts,
                                  .adapter = scene_adapter()};
    llm_emulator_t *emulator = llm_emulator_assemble(&files, be, &err);
    if (!emulator)
        scene_die("the client's model", &err);
    return emulator;
}

void scene_remove(const char *directory)
{
    char path[SCENE_PATH_SIZE];
    static const char *const names[] = {"config.json", "model.safetensors", "stem.part"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_in(path, directory, names[i]);
        (void)unlink(path);
    }
    for (uint32_t l = 0; l < SCENE_LAYERS; l++) {
        part_path(path, directory, l);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}
