/*
 * test_parts.c - part files: images of parts written and composed again, and
 * the forms a weight may have.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/llm/weights/part_files.h"

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
    sparsify(&draft, mask, values);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_become_files_that_compose_to_the_same_model),
        cmocka_unit_test(a_layer_has_the_same_bytes_wherever_it_stands),
        cmocka_unit_test(parts_keep_the_dtype_of_the_files),
        cmocka_unit_test(quantized_weights_are_what_their_codes_say),
        cmocka_unit_test(sparse_weights_are_zero_where_no_bit_is_set),
        cmocka_unit_test(a_layer_of_fewer_channels_is_one_with_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
