/*
 * test_part_damage.c - part files that do not fit, are cut short or were
 * damaged: refused by name, and never anything worse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/llm/weights/part_files.h"

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
    sparsify(draft, codes, floats);
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
    sparsify(&draft, mask, values);
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
        cmocka_unit_test(part_files_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(a_file_cut_short_and_one_that_is_not_there_are_refused),
        cmocka_unit_test(damaged_files_are_refused_or_compose),
        cmocka_unit_test(a_part_that_cannot_be_written_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
