/*
 * test_generate.c - text from a model: the cache gives what whole passes give,
 * and generation stops where it should.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "tests/llm/pass/tiny.h"

static const char gpt2_all[] = "c_attn c_proj c_fc";
static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

typedef struct {
    tiny_t tiny;
    llm_generator_t *generator;
    llm_ids_t out;
} writer_t;

static void writer_init(writer_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                        llm_backend_t *be)
{
    fmq_error_t err;
    memset(self, 0, sizeof *self);
    tiny_init(&self->tiny, shape, spec, be);
    self->generator =
        llm_generator_new(self->tiny.model, self->tiny.adapter, TINY_CONTEXT, be, &err);
    if (!self->generator)
        fail_msg("%s", err.text);
    assert_int_equal(llm_generator_set_params(self->generator, self->tiny.vector, &err), 0);
}

static void writer_release(writer_t *self)
{
    llm_ids_release(&self->out);
    llm_generator_destroy(&self->generator);
    tiny_release(&self->tiny);
}

static void write_text(writer_t *self, const int32_t *prompt, size_t count,
                       const llm_sampling_t *how)
{
    fmq_error_t err;
    self->out.size = 0;
    if (llm_generator_run(self->generator, prompt, count, how, &self->out, &err) < 0)
        fail_msg("%s", err.text);
}

/* Logits of the next token by a whole pass of the workspace over all tokens so
 * far; returns the best. */
static int32_t next_by_pass(tiny_t *tiny, const int32_t *ids, size_t count,
                            float logits[TINY_VOCAB])
{
    fmq_error_t err;
    uint32_t starts[] = {0, (uint32_t)count};
    const int32_t last = (int32_t)count - 1;
    llm_batch_t batch = {.sequences = 1, .starts = starts, .ids = ids};
    assert_int_equal(llm_workspace_logits(tiny->ws, &batch, &last, 1, logits, &err), 0);
    int32_t best = 0;
    for (int32_t i = 1; i < TINY_VOCAB; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static const llm_sampling_t greedy = {.new_tokens_max = 100, .top_p = 1.0};

static void check_greedy(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                         llm_backend_t *be)
{
    writer_t writer;
    writer_init(&writer, shape, spec, be);
    int32_t ids[TINY_CONTEXT] = {4, 19, 7};
    for (size_t prompt = 1; prompt <= 3; prompt++) {
        write_text(&writer, ids, prompt, &greedy);
        assert_int_equal(writer.out.size, TINY_CONTEXT - prompt);
        int32_t whole[TINY_CONTEXT];
        float logits[TINY_VOCAB];
        memcpy(whole, ids, prompt * sizeof *ids);
        for (size_t i = prompt; i < TINY_CONTEXT; i++) {
            whole[i] = next_by_pass(&writer.tiny, whole, i, logits);
            assert_int_equal(writer.out.ids[i - prompt], whole[i]);
        }
    }
    writer_release(&writer);
}

static void the_cache_gives_the_tokens_of_whole_passes(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        llm_adapter_spec_t lora = tiny_lora(i ? llama_all : gpt2_all, 0.1f), full = tiny_full();
        check_greedy(&shapes[i], &lora, llm_backend_reference_new(NULL));
        check_greedy(&shapes[i], &full, llm_backend_reference_new(NULL));
        check_greedy(&shapes[i], &lora, llm_backend_cpu_new(2, NULL));
        check_greedy(&shapes[i], &full, llm_backend_cpu_new(2, NULL));
    }
}

/* With BF16, a cached pass and a whole one round probabilities of attention in
 * different places: the token chosen is among the best but for that. */
static void the_cache_follows_whole_passes_in_bf16(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    size_t same = 0, all = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        llm_adapter_spec_t lora = tiny_lora(s ? llama_all : gpt2_all, 0.1f);
        writer_t writer;
        writer_init(&writer, &shapes[s], &lora, llm_backend_cpu_new_half(2, NULL));
        int32_t ids[TINY_CONTEXT] = {4, 19, 7};
        write_text(&writer, ids, 3, &greedy);
        assert_int_equal(writer.out.size, TINY_CONTEXT - 3);
        for (size_t i = 3; i < TINY_CONTEXT; i++) {
            float logits[TINY_VOCAB];
            int32_t best = next_by_pass(&writer.tiny, ids, i, logits);
            ids[i] = writer.out.ids[i - 3];
            same += ids[i] == best;
            all++;
            assert_true(logits[ids[i]] >= logits[best] - 0x1p-5f * fabsf(logits[best]));
        }
        writer_release(&writer);
    }
    assert_true(10 * same >= 9 * all);
}

/* A writer over the tiny LLaMA with LoRA. */
static void llama_writer(writer_t *self)
{
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora(llama_all, 0.0f);
    writer_init(self, &shape, &spec, llm_backend_reference_new(NULL));
}

static void generation_stops_at_its_three_ends(void **state)
{
    (void)state;
    writer_t writer;
    llama_writer(&writer);
    const int32_t prompt[TINY_CONTEXT] = {4, 19};
    write_text(&writer, prompt, 2, &greedy);
    assert_int_equal(writer.out.size, TINY_CONTEXT - 2); /* the context's end */
    int32_t third = writer.out.ids[2];

    llm_sampling_t how = greedy;
    how.new_tokens_max = 3;
    write_text(&writer, prompt, 2, &how);
    assert_int_equal(writer.out.size, 3);
    assert_int_equal(writer.out.ids[2], third);

    how = greedy;
    const int32_t ends[] = {TINY_VOCAB + 7, third};
    how.ends = ends;
    how.ends_size = 2;
    write_text(&writer, prompt, 2, &how);
    assert_true(writer.out.size <= 2); /* the end itself is not appended */
    for (size_t i = 0; i < writer.out.size; i++)
        assert_int_not_equal(writer.out.ids[i], third);

    write_text(&writer, prompt, TINY_CONTEXT, &greedy);
    assert_int_equal(writer.out.size, 0);
    how.new_tokens_max = 0;
    write_text(&writer, prompt, 1, &how);
    assert_int_equal(writer.out.size, 0);
    writer_release(&writer);
}

static void new_tokens_are_appended(void **state)
{
    (void)state;
    fmq_error_t err;
    writer_t writer;
    llama_writer(&writer);
    const int32_t prompt[] = {4};
    assert_int_equal(llm_ids_append(&writer.out, 12345, &err), 0);
    llm_sampling_t how = greedy;
    how.new_tokens_max = 2;
    assert_int_equal(llm_generator_run(writer.generator, prompt, 1, &how, &writer.out, &err), 0);
    assert_int_equal(writer.out.size, 3);
    assert_int_equal(writer.out.ids[0], 12345);
    writer_release(&writer);
}

static void sampled_text_depends_on_the_seed_alone(void **state)
{
    (void)state;
    writer_t writer;
    llama_writer(&writer);
    const int32_t prompt[] = {4, 19};
    int32_t first[TINY_CONTEXT];
    llm_sampling_t how = {.new_tokens_max = 6, .temperature = 2.0, .top_p = 1.0, .seed = 1};
    write_text(&writer, prompt, 2, &how);
    memcpy(first, writer.out.ids, 6 * sizeof *first);
    write_text(&writer, prompt, 2, &how);
    assert_memory_equal(writer.out.ids, first, 6 * sizeof *first);
    how.seed = 2;
    write_text(&writer, prompt, 2, &how);
    assert_memory_not_equal(writer.out.ids, first, 6 * sizeof *first);

    write_text(&writer, prompt, 2, &greedy);
    memcpy(first, writer.out.ids, 6 * sizeof *first);
    how.top_k = 1; /* the best only */
    write_text(&writer, prompt, 2, &how);
    assert_memory_equal(writer.out.ids, first, 6 * sizeof *first);
    writer_release(&writer);
}

static void refuse(writer_t *writer, const int32_t *prompt, size_t count, const llm_sampling_t *how,
                   fmq_error_code_t code)
{
    fmq_error_t err = {0};
    assert_int_equal(llm_generator_run(writer->generator, prompt, count, how, &writer->out, &err),
                     -1);
    assert_int_equal(err.code, code);
    assert_int_equal(writer->out.size, 0);
}

static void prompts_and_settings_out_of_range_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    writer_t writer;
    llama_writer(&writer);
    const int32_t prompt[TINY_CONTEXT + 1] = {1}, strange[] = {1, TINY_VOCAB};
    refuse(&writer, prompt, 0, &greedy, FMQ_ERR_LIMIT);
    refuse(&writer, prompt, TINY_CONTEXT + 1, &greedy, FMQ_ERR_LIMIT);
    refuse(&writer, strange, 2, &greedy, FMQ_ERR_FORMAT);
    llm_sampling_t how = greedy;
    how.temperature = -1.0;
    refuse(&writer, prompt, 1, &how, FMQ_ERR_CONFIG);
    how = greedy;
    how.top_p = 0.0;
    refuse(&writer, prompt, 1, &how, FMQ_ERR_CONFIG);
    const tiny_t *tiny = &writer.tiny;
    assert_null(llm_generator_new(tiny->model, tiny->adapter, TINY_CONTEXT + 1, tiny->be, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_null(llm_generator_new(tiny->model, tiny->adapter, 0, tiny->be, &err));
    writer_release(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_gives_the_tokens_of_whole_passes),
        cmocka_unit_test(the_cache_follows_whole_passes_in_bf16),
        cmocka_unit_test(generation_stops_at_its_three_ends),
        cmocka_unit_test(new_tokens_are_appended),
        cmocka_unit_test(sampled_text_depends_on_the_seed_alone),
        cmocka_unit_test(prompts_and_settings_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
