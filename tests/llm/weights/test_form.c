/*
 * test_form.c - what frozen weights are kept as: how much memory each form
 * takes, how far it computes from F32, and what is left alone.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/parts.h"
#include "llm/weights/placement.h"
#include "tests/llm/weights/part_files.h"

static const char *const names[] = {"f32", "bf16", "int8", "int4", "nf4"};
enum { FORMS = sizeof names / sizeof *names };

static llm_form_choice_t form(const char *name)
{
    llm_form_choice_t choice;
    assert_int_equal(llm_form_choice_parse(name, &choice, NULL), 0);
    return choice;
}

/* Wide enough for two groups of codes in a row. */
static llm_shape_t wide(llm_shape_t shape)
{
    shape.width = 128;
    shape.heads = 8;
    shape.kv_heads = shape.kv_heads < 8 ? 4 : 8;
    shape.head_width = 16;
    shape.ffn = 192;
    return shape;
}

static llm_model_t *model_in(llm_shape_t shape, const char *name)
{
    fmq_error_t err = {0};
    llm_form_choice_t choice = form(name);
    llm_model_t *model = llm_model_new_random(&shape, 5, NULL, &err);
    assert_non_null(model);
    assert_int_equal(llm_model_set_form(model, &choice, &err), 0);
    return model;
}

static double away(const float *x, const float *from)
{
    double apart = 0.0, size = 0.0;
    for (size_t i = 0; i < TINY_LOGITS; i++) {
        apart += (x[i] - from[i]) * (x[i] - from[i]);
        size += from[i] * from[i];
    }
    return sqrt(apart / size);
}

static void a_narrower_form_takes_less_and_is_farther_away(void **state)
{
    (void)state;
    static const double most[FORMS] = {0.0, 5e-3, 2e-2, 0.25, 0.25};
    llm_shape_t shapes[] = {wide(tiny_gpt2()), wide(tiny_llama_biased())};
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    for (size_t s = 0; s < 2; s++) {
        float exact[TINY_LOGITS], logits[TINY_LOGITS];
        size_t before = SIZE_MAX;
        for (size_t f = 0; f < FORMS; f++) {
            llm_model_t *model = model_in(shapes[s], names[f]);
            tiny_logits(model, be, f == 0 ? exact : logits);
            size_t bytes = llm_model_bytes(model);
            assert_true(f == 4 ? bytes == before : bytes < before);
            before = bytes;
            if (f > 0 && (away(logits, exact) > most[f] || away(logits, exact) == 0.0))
                fail_msg("%s is %g away", names[f], away(logits, exact));
            llm_model_destroy(&model);
        }
    }
    llm_backend_destroy(&be);
}

static size_t stem_bytes(const char *name)
{
    fmq_error_t err = {0};
    bool stem[3] = {false, false, true};
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    llm_model_t *model = model_in(wide(tiny_llama_biased()), name);
    assert_non_null(llm_model_placed(model, be, stem, &err));
    size_t bytes = llm_model_bytes(model);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
    return bytes;
}

static void tokens_and_head_are_kept_at_16_bits_or_more(void **state)
{
    (void)state;
    assert_true(stem_bytes("bf16") < stem_bytes("f32"));
    assert_int_equal(stem_bytes("int8"), stem_bytes("bf16"));
    assert_int_equal(stem_bytes("int4"), stem_bytes("bf16"));
    assert_int_equal(stem_bytes("nf4"), stem_bytes("bf16"));
}

/* Takes be. */
static void logits_on(llm_backend_t *be, const char *name, float out[TINY_LOGITS])
{
    llm_model_t *model = model_in(wide(tiny_llama()), name);
    tiny_logits(model, be, out);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void without_a_choice_weights_are_as_wide_as_activations(void **state)
{
    (void)state;
    static const fmq_dtype_t acts[] = {FMQ_F32, FMQ_BF16};
    float chosen[TINY_LOGITS], same[TINY_LOGITS], other[TINY_LOGITS];
    for (size_t i = 0; i < 2; i++) {
        logits_on(llm_backend_reference_act_new(acts[i], NULL), "auto", chosen);
        logits_on(llm_backend_reference_act_new(acts[i], NULL), i ? "bf16" : "f32", same);
        logits_on(llm_backend_reference_act_new(acts[i], NULL), i ? "f32" : "bf16", other);
        assert_memory_equal(chosen, same, sizeof same);
        assert_memory_not_equal(chosen, other, sizeof other);
    }
}

/* The digest and the bytes of parts: what is made and sent is made of the files. */
static void what_a_model_says_and_lends_is_that_of_its_files(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    llm_model_t *plain = model_in(wide(tiny_llama()), "f32");
    llm_model_t *narrow = model_in(wide(tiny_llama()), "nf4");
    assert_int_equal(llm_model_place(narrow, be, &err), 0);
    fmq_digest_t a = llm_model_digest(plain), b = llm_model_digest(narrow);
    assert_true(fmq_digest_equal(&a, &b));
    size_t sizes[2] = {0};
    char *one = image_bytes(plain, 1, &sizes[0]), *other = image_bytes(narrow, 1, &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(one, other, sizes[0]);
    free(one);
    free(other);
    llm_model_destroy(&plain);
    llm_model_destroy(&narrow);
    llm_backend_destroy(&be);
}

static void a_form_is_chosen_before_anything_is_placed(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    llm_model_t *model = model_in(tiny_llama(), "int8");
    assert_int_equal(llm_model_place(model, be, &err), 0);
    llm_form_choice_t other = form("nf4"), kept;
    assert_int_equal(llm_model_set_form(model, &other, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    kept = llm_model_form(model);
    assert_string_equal(llm_form_choice_name(&kept), "int8");
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void forms_have_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "fp4", "F32", "int", "bf16 ", "f16"};
    fmq_error_t err = {0};
    llm_form_choice_t choice = form("auto");
    assert_string_equal(llm_form_choice_name(&choice), "auto");
    for (size_t f = 0; f < FORMS; f++) {
        choice = form(names[f]);
        assert_string_equal(llm_form_choice_name(&choice), names[f]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(llm_form_choice_parse(wrong[i], &choice, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
        assert_non_null(strstr(err.text, "auto, f32, bf16, int8, int4 or nf4"));
    }
    assert_string_equal(llm_form_choice_name(&choice), "nf4");
}

/* Parts out of files follow the model that they belong to; but what is stored
 * as small integers stays what it is. */
static void part_files_follow_the_choice_and_codes_stay_codes(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    static const char *const chosen[] = {"f32", "bf16"};
    size_t bytes[2], quantized[2];
    for (size_t i = 0; i < 2; i++) {
        scene_t scene;
        llm_shape_t shape = tiny_llama();
        llm_form_choice_t choice = form(chosen[i]);
        scene_init(&scene, &shape);
        write_parts(&scene);
        llm_backend_t *be = scene.be;
        for (size_t q = 0; q < 2; q++) {
            if (q) {
                uint8_t codes[20 * 16];
                float scales[20];
                draft_t draft;
                draft_init(&draft, scene.paths[0]);
                quantize(&draft, 8, 16, codes, scales);
                draft_save(&draft);
            }
            scene.be = NULL;
            llm_model_t *model = composed(&scene);
            scene.be = be;
            bool first[3] = {true, false, false};
            assert_int_equal(llm_model_set_form(model, &choice, &err), 0);
            assert_non_null(llm_model_placed(model, be, first, &err));
            *(q ? &quantized[i] : &bytes[i]) = llm_model_bytes(model);
            llm_model_destroy(&model);
        }
        scene_release(&scene);
    }
    assert_true(bytes[1] < bytes[0]);
    assert_true(quantized[0] < bytes[0] && quantized[1] < bytes[1]);
    /* The gate is codes in both: what the choice saves is saved on the others. */
    assert_true(bytes[0] - bytes[1] > quantized[0] - quantized[1]);
}

static void lent_parts_are_as_their_lender_says(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    llm_shape_t shape = wide(tiny_llama());
    llm_model_t *lender = model_in(shape, "int4");
    llm_part_origin_t stem = {.model = lender};
    llm_part_origin_t layers[] = {{.model = lender}, {.model = lender, .layer = 1}};
    llm_form_choice_t plain = form("f32");
    llm_model_t *student = llm_model_compose(&shape, &stem, layers, NULL, &err);
    float lent[TINY_LOGITS], own[TINY_LOGITS];
    assert_int_equal(llm_model_set_form(student, &plain, &err), 0);
    tiny_logits(student, be, lent);
    tiny_logits(lender, be, own);
    assert_memory_equal(lent, own, sizeof own);
    assert_int_equal(llm_model_bytes(student), 0);
    llm_model_destroy(&student);
    llm_model_destroy(&lender);
    llm_backend_destroy(&be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_narrower_form_takes_less_and_is_farther_away),
        cmocka_unit_test(tokens_and_head_are_kept_at_16_bits_or_more),
        cmocka_unit_test(without_a_choice_weights_are_as_wide_as_activations),
        cmocka_unit_test(what_a_model_says_and_lends_is_that_of_its_files),
        cmocka_unit_test(a_form_is_chosen_before_anything_is_placed),
        cmocka_unit_test(forms_have_names),
        cmocka_unit_test(part_files_follow_the_choice_and_codes_stay_codes),
        cmocka_unit_test(lent_parts_are_as_their_lender_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
