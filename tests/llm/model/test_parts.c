/*
 * test_parts.c - part files: images of parts written and composed again, the
 * forms a weight may have, and what is refused in a stranger's file.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/parts.h"
#include "tests/llm/model/tiny.h"

#define LAYERS 2

/* A random model, a directory for its parts, and where they would lie. */
typedef struct {
    char directory[64], paths[LAYERS + 1][96]; /* layers, then the stem */
    llm_backend_t *be;
    llm_shape_t shape;
    llm_model_t *model;
} scene_t;

static void scene_init(scene_t *self, const llm_shape_t *shape)
{
    fmq_error_t err = {0};
    (void)snprintf(self->directory, sizeof self->directory, "/tmp/fedmq-parts-XXXXXX");
    assert_non_null(mkdtemp(self->directory));
    for (int i = 0; i <= LAYERS; i++)
        (void)snprintf(self->paths[i], sizeof self->paths[i], "%s/%d.part", self->directory, i);
    self->be = llm_backend_cpu_new(2, &err);
    self->shape = *shape;
    self->model = llm_model_new_random(shape, 3, self->be, &err);
    assert_non_null(self->model);
}

static void scene_release(scene_t *self)
{
    for (int i = 0; i <= LAYERS; i++)
        (void)unlink(self->paths[i]);
    assert_int_equal(rmdir(self->directory), 0);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

/* All bytes of an image, the caller's. */
static char *image_bytes(const llm_model_t *model, uint32_t part, size_t *size)
{
    fmq_error_t err = {0};
    llm_part_image_t *image = llm_part_image_new(model, part, &err);
    if (!image)
        fail_msg("%s", err.text);
    char *bytes = malloc((size_t)llm_part_image_bytes(image));
    *size = 0;
    for (size_t i = 0; i < llm_part_image_size(image); i++) {
        const llm_segment_t *segment = llm_part_image_at(image, i);
        memcpy(bytes + *size, segment->data, (size_t)segment->bytes);
        *size += (size_t)segment->bytes;
    }
    assert_int_equal(*size, llm_part_image_bytes(image));
    assert_null(llm_part_image_at(image, llm_part_image_size(image)));
    llm_part_image_destroy(&image);
    return bytes;
}

/* A new file: the old one may be mapped by a model. */
static void write_file(const char *path, const void *bytes, size_t size)
{
    (void)unlink(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_parts(scene_t *self)
{
    for (uint32_t i = 0; i <= LAYERS; i++) {
        size_t size = 0;
        char *bytes = image_bytes(self->model, i < LAYERS ? i : LLM_PART_STEM, &size);
        write_file(self->paths[i], bytes, size);
        free(bytes);
    }
}

static llm_model_t *compose_files(const scene_t *self, fmq_error_t *err)
{
    llm_part_origin_t layers[LAYERS], stem = {.path = self->paths[LAYERS]};
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (llm_part_origin_t){.path = self->paths[i]};
    return llm_model_compose(&self->shape, &stem, layers, self->be, err);
}

static llm_model_t *composed(const scene_t *self)
{
    fmq_error_t err = {0};
    llm_model_t *model = compose_files(self, &err);
    if (!model)
        fail_msg("%s", err.text);
    return model;
}

static void images_become_files_that_compose_to_the_same_model(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        scene_t scene;
        scene_init(&scene, &shapes[i]);
        write_parts(&scene);
        llm_model_t *model = composed(&scene);
        fmq_digest_t mine = llm_model_digest(model), its = llm_model_digest(scene.model);
        assert_true(fmq_digest_equal(&mine, &its));
        assert_int_equal(llm_model_bytes(model), llm_model_bytes(scene.model));
        float left[TINY_LOGITS], right[TINY_LOGITS];
        tiny_logits(model, scene.be, left);
        tiny_logits(scene.model, scene.be, right);
        assert_memory_equal(left, right, sizeof left);
        llm_model_destroy(&model);
        scene_release(&scene);
    }
}

static void a_layer_has_the_same_bytes_wherever_it_stands(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    scene_t scene;
    llm_shape_t shape = tiny_llama();
    scene_init(&scene, &shape);
    write_parts(&scene);
    llm_part_origin_t stem = {.path = scene.paths[LAYERS]};
    llm_part_origin_t layers[] = {{.model = scene.model, .layer = 1}, {.path = scene.paths[0]}};
    llm_model_t *turned = llm_model_compose(&shape, &stem, layers, scene.be, &err);
    assert_non_null(turned);
    const uint32_t pairs[][2] = {{0, 1}, {1, 0}, {LLM_PART_STEM, LLM_PART_STEM}};
    for (size_t i = 0; i < 3; i++) {
        size_t size = 0, other_size = 0;
        char *bytes = image_bytes(scene.model, pairs[i][0], &size);
        char *other = image_bytes(turned, pairs[i][1], &other_size);
        assert_int_equal(size, other_size);
        assert_memory_equal(bytes, other, size);
        free(bytes);
        free(other);
    }
    assert_null(llm_part_image_new(turned, 2, &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    llm_model_destroy(&turned);
    scene_release(&scene);
}

static void parts_keep_the_dtype_of_the_files(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    char directory[] = "/tmp/fedmq-parts-bf16-XXXXXX", path[2][64];
    llm_shape_t shape = tiny_llama_biased();
    scene_t scene;
    scene_init(&scene, &shape);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(llm_model_export(scene.model, NULL, 0, NULL, FMQ_BF16, directory, &err), 0);
    llm_model_destroy(&scene.model);
    scene.model = llm_model_open(directory, scene.be, &err);
    assert_non_null(scene.model);
    write_parts(&scene);
    llm_model_t *model = composed(&scene);
    fmq_digest_t mine = llm_model_digest(model), its = llm_model_digest(scene.model);
    assert_true(fmq_digest_equal(&mine, &its));
    uint64_t bytes = 0;
    for (uint32_t part = 0; part <= LAYERS; part++) {
        llm_part_image_t *image =
            llm_part_image_new(model, part < LAYERS ? part : LLM_PART_STEM, &err);
        bytes += llm_part_image_bytes(image) - llm_part_image_at(image, 0)->bytes;
        llm_part_image_destroy(&image);
    }
    assert_int_equal(bytes, 2 * llm_shape_parameters(&shape));
    llm_model_destroy(&model);
    (void)snprintf(path[0], sizeof path[0], "%s/config.json", directory);
    (void)snprintf(path[1], sizeof path[1], "%s/model.safetensors", directory);
    assert_int_equal(unlink(path[0]) + unlink(path[1]) + rmdir(directory), 0);
    scene_release(&scene);
}

/* The tensors of a layer's part file as they stand, for tests to change. */
typedef struct {
    llm_weights_t *weights;
    llm_part_tensor_t tensors[40];
    size_t size;
    const char *path;
} draft_t;

static void draft_init(draft_t *self, const char *path)
{
    fmq_error_t err = {0};
    *self = (draft_t){.weights = llm_weights_open(path, &err), .path = path};
    assert_non_null(self->weights);
    for (size_t i = 0; i < llm_weights_size(self->weights); i++) {
        const llm_tensor_view_t *view = llm_weights_at(self->weights, i);
        self->tensors[self->size] = (llm_part_tensor_t){.name = view->name,
                                                        .dtype = view->dtype_text,
                                                        .rank = view->rank,
                                                        .data = view->data,
                                                        .bytes = view->bytes};
        memcpy(self->tensors[self->size++].shape, view->shape, sizeof view->shape);
    }
}

static llm_part_tensor_t *draft_at(draft_t *self, const char *name)
{
    for (size_t i = 0; i < self->size; i++)
        if (strcmp(self->tensors[i].name, name) == 0)
            return &self->tensors[i];
    fail_msg("no tensor '%s'", name);
    return NULL;
}

static void draft_add(draft_t *self, const llm_part_tensor_t *tensor)
{
    self->tensors[self->size++] = *tensor;
}

static void draft_remove(draft_t *self, const char *name)
{
    llm_part_tensor_t *gone = draft_at(self, name);
    *gone = self->tensors[--self->size];
}

/* Replaces the file, or leaves it when compose is to be refused anyway. */
static void draft_save(draft_t *self)
{
    fmq_error_t err = {0};
    if (llm_part_save(self->path, self->tensors, self->size, &err) < 0)
        fail_msg("%s", err.text);
    llm_weights_close(&self->weights);
}

#define QUANTIZED "mlp.gate_proj.weight" /* [20][16] */

/* Puts codes and scales in the place of the gate's weight. */
static void quantize(draft_t *draft, uint32_t bits, uint64_t group, uint8_t *codes, float *scales)
{
    draft_remove(draft, QUANTIZED);
    uint64_t width = 16 * bits / 8, groups = (16 + group - 1) / group;
    for (size_t i = 0; i < 20 * width; i++)
        codes[i] = (uint8_t)(37 * i + 11);
    tiny_normal(scales, 20 * groups, 0.01, 5);
    draft_add(draft,
              &(llm_part_tensor_t){QUANTIZED ".codes", "U8", 2, {20, width}, codes, 20 * width});
    draft_add(draft, &(llm_part_tensor_t){
                         QUANTIZED ".scales", "F32", 2, {20, groups}, scales, 80 * groups});
}

static void quantized_weights_are_what_their_codes_say(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits;
        uint64_t group;
    } cases[] = {{8, 4}, {4, 4}, {8, 8}, {4, 16}, {8, 1}};
    llm_shape_t shape = tiny_llama();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        scene_t scene;
        draft_t draft;
        uint8_t codes[20 * 16];
        float scales[20 * 16], read[20 * 16];
        fmq_error_t err = {0};
        scene_init(&scene, &shape);
        write_parts(&scene);
        draft_init(&draft, scene.paths[1]);
        quantize(&draft, cases[c].bits, cases[c].group, codes, scales);
        draft_save(&draft);
        llm_model_t *model = composed(&scene);
        assert_int_equal(llm_model_read(model, "model.layers.1." QUANTIZED, read, &err), 0);
        for (size_t i = 0; i < 20 * 16; i++) {
            int code = cases[c].bits == 8 ? codes[i] - 128
                                          : (i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15) - 8;
            size_t groups = (16 + cases[c].group - 1) / cases[c].group;
            float scale = scales[i / 16 * groups + i % 16 / cases[c].group];
            assert_true(read[i] == (float)code * scale);
        }
        /* Its image is the file, and its digest is its own. */
        size_t size = 0;
        char *bytes = image_bytes(model, 1, &size);
        write_file(scene.paths[1], bytes, size);
        free(bytes);
        llm_model_t *again = composed(&scene);
        fmq_digest_t a = llm_model_digest(model), b = llm_model_digest(again),
                     other = llm_model_digest(scene.model);
        assert_true(fmq_digest_equal(&a, &b));
        assert_false(fmq_digest_equal(&a, &other));
        llm_model_destroy(&again);
        llm_model_destroy(&model);
        scene_release(&scene);
    }
}

#define SPARSE "self_attn.q_proj.weight" /* [24][16] */

/* Every third weight stays; the others become zero. */
static size_t sparsify(draft_t *draft, uint8_t mask[48], float *values)
{
    llm_part_tensor_t *dense = draft_at(draft, SPARSE);
    size_t kept = 0;
    memset(mask, 0, 48);
    for (size_t i = 0; i < 24 * 16; i += 3) {
        mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << i % 8);
        memcpy(&values[kept++], (const char *)dense->data + 4 * i, sizeof *values);
    }
    draft_remove(draft, SPARSE);
    draft_add(draft, &(llm_part_tensor_t){SPARSE ".mask", "U8", 1, {48}, mask, 48});
    draft_add(draft, &(llm_part_tensor_t){SPARSE ".values", "F32", 1, {kept}, values, 4 * kept});
    return kept;
}

static void sparse_weights_are_zero_where_no_bit_is_set(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    scene_t scene;
    draft_t draft;
    llm_shape_t shape = tiny_llama();
    uint8_t mask[48];
    float values[24 * 16], read[24 * 16], was[24 * 16];
    scene_init(&scene, &shape);
    write_parts(&scene);
    draft_init(&draft, scene.paths[0]);
    (void)sparsify(&draft, mask, values);
    draft_save(&draft);
    llm_model_t *model = composed(&scene);
    assert_int_equal(llm_model_read(model, "model.layers.0." SPARSE, read, &err), 0);
    assert_int_equal(llm_model_read(scene.model, "model.layers.0." SPARSE, was, &err), 0);
    for (size_t i = 0; i < 24 * 16; i++)
        assert_true(read[i] == (i % 3 ? 0.0f : was[i]));
    size_t size = 0, file_size = 0;
    char *bytes = image_bytes(model, 0, &size);
    llm_model_destroy(&model);
    write_file(scene.paths[0], bytes, size);
    model = composed(&scene);
    char *file = image_bytes(model, 0, &file_size);
    assert_int_equal(size, file_size);
    assert_memory_equal(bytes, file, size);
    free(bytes);
    free(file);
    llm_model_destroy(&model);
    scene_release(&scene);
}

/* The channels that are cut off are read as zeros; and a model that has these
 * zeros computes the same. */
static void a_layer_of_fewer_channels_is_one_with_zeros(void **state)
{
    (void)state;
    static const char *const padded[] = {"transformer.h.1.mlp.c_fc.weight",
                                         "transformer.h.1.mlp.c_fc.bias",
                                         "transformer.h.1.mlp.c_proj.weight"};
    fmq_error_t err = {0};
    llm_shape_t shape = tiny_gpt2();
    const uint32_t ffn[] = {shape.ffn, 9};
    scene_t scene;
    scene_init(&scene, &shape);
    llm_model_t *narrow = tiny_narrow(scene.model, ffn, scene.be);
    write_parts(&scene);
    draft_t draft;
    draft_init(&draft, scene.paths[1]);
    float values[3][16 * 24];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(llm_model_read(narrow, padded[i], values[i], &err), 0);
        llm_part_tensor_t *tensor = draft_at(&draft, strstr(padded[i], "mlp"));
        size_t columns = i == 0 ? 24 : i == 1 ? 24 : 16;
        for (size_t k = 0; k < tensor->bytes / 4; k++) {
            bool cut = (i == 2 ? k / columns : k % columns) >= 9;
            assert_true(values[i][k] == (cut ? 0.0f : ((const float *)tensor->data)[k]));
        }
        tensor->data = values[i];
    }
    draft_save(&draft);
    llm_model_t *zeros = composed(&scene);
    float left[TINY_LOGITS], right[TINY_LOGITS];
    tiny_logits(narrow, scene.be, left);
    tiny_logits(zeros, scene.be, right);
    for (size_t i = 0; i < TINY_LOGITS; i++)
        assert_true(fabsf(left[i] - right[i]) <= 1e-6f);
    fmq_digest_t a = llm_model_digest(narrow), b = llm_model_digest(zeros);
    assert_false(fmq_digest_equal(&a, &b));
    assert_true(llm_model_bytes(narrow) < llm_model_bytes(zeros));
    llm_model_destroy(&zeros);
    llm_model_destroy(&narrow);
    scene_release(&scene);
}

/* One way to spoil a layer's part file. */
typedef void(spoil_fn)(draft_t *draft, uint8_t *codes, float *floats);

static void leave_one_out(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)codes;
    (void)floats;
    draft_remove(draft, "self_attn.k_proj.weight");
}

static void add_one(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)floats;
    draft_add(draft, &(llm_part_tensor_t){"self_attn.spy", "U8", 1, {4}, codes, 4});
}

static void turn_one(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)codes;
    (void)floats;
    llm_part_tensor_t *tensor = draft_at(draft, "self_attn.k_proj.weight");
    uint64_t rows = tensor->shape[0];
    tensor->shape[0] = tensor->shape[1];
    tensor->shape[1] = rows;
}

static void leave_no_channel(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)codes;
    (void)floats;
    llm_part_tensor_t *tensor = draft_at(draft, "mlp.up_proj.weight");
    tensor->shape[0] = tensor->bytes = 0;
}

static void widen_up(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)codes;
    *draft_at(draft, "mlp.up_proj.weight") =
        (llm_part_tensor_t){"mlp.up_proj.weight", "F32", 2, {21, 16}, floats, 21 * 16 * 4};
}

static void narrow_up_alone(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)codes;
    *draft_at(draft, "mlp.up_proj.weight") =
        (llm_part_tensor_t){"mlp.up_proj.weight", "F32", 2, {19, 16}, floats, 19 * 16 * 4};
}

static void forget_the_scales(draft_t *draft, uint8_t *codes, float *floats)
{
    quantize(draft, 8, 4, codes, floats);
    draft_remove(draft, QUANTIZED ".scales");
}

static void group_by_five(draft_t *draft, uint8_t *codes, float *floats)
{
    quantize(draft, 8, 4, codes, floats);
    *draft_at(draft, QUANTIZED ".scales") =
        (llm_part_tensor_t){QUANTIZED ".scales", "F32", 2, {20, 3}, floats, 240};
}

static void store_six_bits(draft_t *draft, uint8_t *codes, float *floats)
{
    quantize(draft, 8, 4, codes, floats);
    *draft_at(draft, QUANTIZED ".codes") =
        (llm_part_tensor_t){QUANTIZED ".codes", "U8", 2, {20, 12}, codes, 240};
}

static void store_twice(draft_t *draft, uint8_t *codes, float *floats)
{
    llm_part_tensor_t dense = *draft_at(draft, QUANTIZED);
    quantize(draft, 8, 4, codes, floats);
    draft_add(draft, &dense);
}

static void quantize_a_norm(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)floats;
    draft_add(draft,
              &(llm_part_tensor_t){"input_layernorm.weight.codes", "U8", 2, {1, 16}, codes, 16});
}

static void set_a_bit_too_many(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)sparsify(draft, codes, floats);
    codes[0] |= 2;
}

static void store_integers(draft_t *draft, uint8_t *codes, float *floats)
{
    (void)codes;
    (void)floats;
    draft_at(draft, "self_attn.k_proj.weight")->dtype = "I32";
}

static void part_files_that_do_not_fit_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        spoil_fn *spoil;
        const char *subject;
        fmq_error_code_t code;
    } cases[] = {
        {leave_one_out, "self_attn.k_proj.weight", FMQ_ERR_MISMATCH},
        {add_one, "1 tensors", FMQ_ERR_MISMATCH},
        {turn_one, "self_attn.k_proj.weight", FMQ_ERR_MISMATCH},
        {leave_no_channel, "0 channels", FMQ_ERR_MISMATCH},
        {widen_up, "21 channels", FMQ_ERR_MISMATCH},
        {narrow_up_alone, "mlp.gate_proj.weight", FMQ_ERR_MISMATCH},
        {forget_the_scales, QUANTIZED, FMQ_ERR_MISMATCH},
        {group_by_five, QUANTIZED ".scales", FMQ_ERR_MISMATCH},
        {store_six_bits, QUANTIZED ".codes", FMQ_ERR_MISMATCH},
        {store_twice, QUANTIZED, FMQ_ERR_MISMATCH},
        {quantize_a_norm, "1 tensors", FMQ_ERR_MISMATCH},
        {set_a_bit_too_many, SPARSE ".values", FMQ_ERR_MISMATCH},
        {store_integers, "self_attn.k_proj.weight", FMQ_ERR_UNSUPPORTED},
    };
    llm_shape_t shape = tiny_llama();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        scene_t scene;
        draft_t draft;
        uint8_t codes[24 * 16];
        float floats[24 * 16] = {0};
        fmq_error_t err = {0};
        scene_init(&scene, &shape);
        write_parts(&scene);
        draft_init(&draft, scene.paths[1]);
        cases[c].spoil(&draft, codes, floats);
        draft_save(&draft);
        assert_null(compose_files(&scene, &err));
        assert_int_equal(err.code, cases[c].code);
        if (!strstr(err.text, cases[c].subject) || !strstr(err.text, scene.paths[1]))
            fail_msg("case %zu: the error says '%s'", c, err.text);
        scene_release(&scene);
    }
}

static void a_file_cut_short_and_one_that_is_not_there_are_refused(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    scene_t scene;
    llm_shape_t shape = tiny_gpt2();
    scene_init(&scene, &shape);
    write_parts(&scene);
    size_t size = 0;
    char *bytes = image_bytes(scene.model, 0, &size);
    write_file(scene.paths[0], bytes, size - 4);
    free(bytes);
    assert_null(compose_files(&scene, &err));
    assert_non_null(strstr(err.text, scene.paths[0]));
    assert_int_equal(unlink(scene.paths[0]), 0);
    assert_null(compose_files(&scene, &err));
    assert_non_null(strstr(err.text, scene.paths[0]));
    scene_release(&scene);
}

/* Damage of the header's text, of its length, of a mask or of the file's size
 * is refused or composes; it never does anything else. */
static void damaged_files_are_refused_or_compose(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    scene_t scene;
    draft_t draft;
    llm_shape_t shape = tiny_llama();
    uint8_t mask[48], codes[20 * 16];
    float values[24 * 16], scales[20 * 16];
    scene_init(&scene, &shape);
    write_parts(&scene);
    draft_init(&draft, scene.paths[0]);
    (void)sparsify(&draft, mask, values);
    quantize(&draft, 4, 4, codes, scales);
    draft_save(&draft);
    llm_model_t *model = composed(&scene);
    size_t size = 0, refused = 0;
    char *bytes = image_bytes(model, 0, &size);
    llm_model_destroy(&model);
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 17, .purpose = FMQ_RNG_TEST};
    fmq_rng_init(&rng, &name);
    for (int i = 0; i < 400; i++) {
        size_t at = (size_t)fmq_rng_below(&rng, i % 4 ? 1200 : (uint32_t)size);
        char was = bytes[at];
        bytes[at] = (char)(was ^ 1 << fmq_rng_below(&rng, 8));
        write_file(scene.paths[0], bytes, i % 10 ? size : (size_t)fmq_rng_below(&rng, 2000));
        bytes[at] = was;
        model = compose_files(&scene, &err);
        refused += !model;
        llm_model_destroy(&model);
    }
    assert_true(refused > 100);
    free(bytes);
    scene_release(&scene);
}

static void a_part_that_cannot_be_written_says_why(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    float data[4] = {0};
    llm_part_tensor_t tensor = {"a", "F32", 1, {4}, data, 16};
    assert_int_equal(llm_part_save("/nowhere/at/all", &tensor, 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    tensor.bytes = 12;
    assert_int_equal(llm_part_save("/tmp/never", &tensor, 1, &err), -1);
    tensor.bytes = 16;
    tensor.dtype = "F31";
    assert_int_equal(llm_part_save("/tmp/never", &tensor, 1, &err), -1);
    llm_part_tensor_t twice[] = {{"a", "F32", 1, {4}, data, 16}, {"a", "F32", 1, {4}, data, 16}};
    assert_int_equal(llm_part_save("/tmp/never", twice, 2, &err), -1);
    assert_int_equal(access("/tmp/never", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_become_files_that_compose_to_the_same_model),
        cmocka_unit_test(a_layer_has_the_same_bytes_wherever_it_stands),
        cmocka_unit_test(parts_keep_the_dtype_of_the_files),
        cmocka_unit_test(quantized_weights_are_what_their_codes_say),
        cmocka_unit_test(sparse_weights_are_zero_where_no_bit_is_set),
        cmocka_unit_test(a_layer_of_fewer_channels_is_one_with_zeros),
        cmocka_unit_test(part_files_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(a_file_cut_short_and_one_that_is_not_there_are_refused),
        cmocka_unit_test(damaged_files_are_refused_or_compose),
        cmocka_unit_test(a_part_that_cannot_be_written_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
