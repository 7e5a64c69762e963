/*
 * test_workspace.c - what passes promise beside their numbers: packing changes
 * nothing, nothing is allocated, broken batches are refused, frozen layers cost
 * no memory, threads change no byte.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/pass/counted_malloc.h"
#include "tests/llm/pass/tiny.h"

static const char gpt2_all[] = "c_attn c_proj c_fc";
static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

static llm_backend_t *reference(void)
{
    return llm_backend_reference_new(NULL);
}

/* Gradient of the batch from zero, the caller's; the loss in *loss. */
static float *gradient(tiny_t *tiny, const llm_batch_t *batch, double *loss)
{
    fmq_error_t err;
    size_t bytes = tiny->elements * sizeof(float);
    float *out = malloc(bytes);
    tiny->be->ops->zero(tiny->be, llm_workspace_grads(tiny->ws), bytes);
    if (llm_workspace_train(tiny->ws, batch, 1.0f, NULL, loss, &err) < 0)
        fail_msg("%s", err.text);
    tiny->be->ops->download(tiny->be, out, llm_workspace_grads(tiny->ws), bytes);
    return out;
}

/* Sequence s of a batch as a batch of its own; rows is room for its rows. */
static llm_batch_t alone(const llm_batch_t *batch, size_t s, uint32_t starts[2], int32_t *rows)
{
    int32_t from = (int32_t)batch->starts[s], to = (int32_t)batch->starts[s + 1];
    starts[0] = 0;
    starts[1] = (uint32_t)(to - from);
    llm_batch_t out = {.sequences = 1, .starts = starts, .ids = batch->ids + from, .rows = rows};
    for (size_t i = 0; i < batch->supervised; i++) {
        if (batch->rows[i] < from || batch->rows[i] >= to)
            continue;
        if (!out.supervised)
            out.targets = batch->targets + i;
        rows[out.supervised++] = batch->rows[i] - from;
    }
    return out;
}

static void check_packing(const llm_shape_t *shape, const llm_adapter_spec_t *spec)
{
    tiny_t tiny;
    tiny_batch_t batch = {0};
    tiny_batch_init(&batch);
    tiny_init(&tiny, shape, spec, reference());
    double packed_loss = 0.0, loss = 0.0;
    float *packed = gradient(&tiny, &batch.batch, &packed_loss);
    float *sum = calloc(tiny.elements, sizeof *sum);
    for (size_t s = 0; s < batch.batch.sequences; s++) {
        uint32_t starts[2];
        int32_t rows[TINY_TOKENS];
        double part = 0.0;
        llm_batch_t one = alone(&batch.batch, s, starts, rows);
        float *grads = gradient(&tiny, &one, &part);
        loss += part;
        for (uint64_t i = 0; i < tiny.elements; i++)
            sum[i] += grads[i];
        free(grads);
    }
    assert_true(fabs(loss - packed_loss) <= 1e-6 * loss);
    for (uint64_t i = 0; i < tiny.elements; i++)
        assert_true(fabsf(sum[i] - packed[i]) <= 1e-5f * (1.0f + fabsf(sum[i])));
    free(sum);
    free(packed);
    tiny_release(&tiny);
}

static void a_packed_batch_is_the_sum_of_its_sequences(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama();
    llm_adapter_spec_t lora_gpt2 = tiny_lora(gpt2_all, 0.0f);
    llm_adapter_spec_t lora_llama = tiny_lora(llama_all, 0.0f);
    llm_adapter_spec_t full = tiny_full();
    check_packing(&gpt2, &lora_gpt2);
    check_packing(&llama, &lora_llama);
    check_packing(&gpt2, &full);
    check_packing(&llama, &full);
}

static void check_allocations(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                              llm_backend_t *be)
{
    tiny_t tiny;
    tiny_batch_t batch = {0};
    fmq_error_t err;
    double loss = 0.0;
    fmq_rng_name_t dropout = {.seed = 1, .purpose = FMQ_RNG_DROPOUT};
    tiny_batch_init(&batch);
    tiny_init(&tiny, shape, spec, be);
    float logits[2 * TINY_VOCAB];
    const int32_t rows[] = {3, 0};
    size_t before = counted_malloc_calls();
    for (uint32_t step = 0; step < 3; step++) {
        dropout.step = step;
        assert_int_equal(llm_workspace_train(tiny.ws, &batch.batch, 1.0f, &dropout, &loss, &err),
                         0);
        assert_int_equal(llm_workspace_loss(tiny.ws, &batch.batch, &loss, &err), 0);
        assert_int_equal(llm_workspace_logits(tiny.ws, &batch.batch, rows, 2, logits, &err), 0);
    }
    assert_int_equal(counted_malloc_calls(), before);
    assert_true(before > 0);
    tiny_release(&tiny);
}

static void passes_allocate_nothing(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama_biased();
    llm_adapter_spec_t lora = tiny_lora(gpt2_all, 0.1f), full = tiny_full();
    check_allocations(&gpt2, &lora, reference());
    check_allocations(&gpt2, &full, reference());
    check_allocations(&llama, &full, reference());
    check_allocations(&gpt2, &lora, llm_backend_cpu_new(2, NULL));
    check_allocations(&llama, &full, llm_backend_cpu_new(2, NULL));
}

/* Expects code from both passes and an untouched result. */
static void refuse(tiny_t *tiny, const llm_batch_t *batch, fmq_error_code_t code)
{
    fmq_error_t err = {0};
    double loss = -7.0;
    assert_int_equal(llm_workspace_loss(tiny->ws, batch, &loss, &err), -1);
    assert_int_equal(err.code, code);
    assert_int_equal(llm_workspace_train(tiny->ws, batch, 1.0f, NULL, &loss, &err), -1);
    assert_int_equal(err.code, code);
    assert_true(loss == -7.0);
}

static void batches_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t tokens = {0};
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    tiny_batch_init(&tokens);
    tiny_init(&tiny, &shape, &spec, reference());

    llm_batch_t batch = tokens.batch;
    const uint32_t late[] = {1, 7, 8, 12}, empty[] = {0, 7, 7, 12}, back[] = {0, 7, 3, 12},
                   many[] = {0, 7, 8, 13}, wide[] = {0, 9, 10, 12};
    batch.starts = late;
    refuse(&tiny, &batch, FMQ_ERR_FORMAT);
    batch.starts = empty;
    refuse(&tiny, &batch, FMQ_ERR_FORMAT);
    batch.starts = back;
    refuse(&tiny, &batch, FMQ_ERR_FORMAT);
    batch.starts = many;
    refuse(&tiny, &batch, FMQ_ERR_LIMIT);
    batch.starts = wide; /* nine tokens, the context is eight */
    refuse(&tiny, &batch, FMQ_ERR_LIMIT);
    batch = tokens.batch;
    batch.sequences = 0;
    refuse(&tiny, &batch, FMQ_ERR_FORMAT);
    batch.sequences = SIZE_MAX;
    refuse(&tiny, &batch, FMQ_ERR_LIMIT);
    batch = tokens.batch;
    batch.supervised = TINY_TOKENS + 1;
    refuse(&tiny, &batch, FMQ_ERR_LIMIT);
    tiny_release(&tiny);
}

static double loss_with_window(uint32_t window, uint32_t windowed_layers)
{
    tiny_t tiny;
    tiny_batch_t tokens = {0};
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    fmq_error_t err;
    double loss = 0.0;
    shape.window = window;
    for (uint32_t l = 0; l < windowed_layers; l++)
        llm_layer_bit_set(&shape.windowed, l, true);
    tiny_batch_init(&tokens);
    tiny_init(&tiny, &shape, &spec, reference());
    assert_int_equal(llm_workspace_loss(tiny.ws, &tokens.batch, &loss, &err), 0);
    tiny_release(&tiny);
    return loss;
}

/* The longest sequence of the batch has seven tokens. */
static void a_window_counts_in_the_layers_that_have_one(void **state)
{
    (void)state;
    double whole = loss_with_window(0, 0);
    assert_true(loss_with_window(7, 2) == whole);
    assert_true(loss_with_window(3, 0) == whole);
    assert_true(loss_with_window(3, 1) != whole);
    assert_true(loss_with_window(3, 1) != loss_with_window(3, 2));
}

static void ids_rows_and_targets_outside_their_range_are_refused(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t tokens = {0};
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    tiny_init(&tiny, &shape, &spec, reference());
    static const int32_t strange[] = {-1, TINY_VOCAB, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        tiny_batch_init(&tokens);
        tokens.ids[5] = strange[i];
        refuse(&tiny, &tokens.batch, FMQ_ERR_FORMAT);
        tiny_batch_init(&tokens);
        tokens.targets[2] = strange[i];
        refuse(&tiny, &tokens.batch, FMQ_ERR_FORMAT);
        tiny_batch_init(&tokens);
        tokens.rows[tokens.batch.supervised - 1] = strange[i];
        refuse(&tiny, &tokens.batch, FMQ_ERR_FORMAT);
    }
    tiny_batch_init(&tokens);
    tokens.rows[1] = tokens.rows[0];
    refuse(&tiny, &tokens.batch, FMQ_ERR_FORMAT);

    fmq_error_t err;
    float logits[TINY_VOCAB];
    const int32_t row = TINY_TOKENS;
    tiny_batch_init(&tokens);
    assert_int_equal(llm_workspace_logits(tiny.ws, &tokens.batch, &row, 1, logits, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    tiny_release(&tiny);
}

static void a_batch_without_targets_has_no_loss_and_no_gradient(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t tokens = {0};
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_full();
    tiny_batch_init(&tokens);
    tiny_init(&tiny, &shape, &spec, reference());
    tokens.batch.supervised = 0;
    double loss = 1.0;
    float *grads = gradient(&tiny, &tokens.batch, &loss);
    assert_true(loss == 0.0);
    for (uint64_t i = 0; i < tiny.elements; i++)
        assert_true(grads[i] == 0.0f);
    free(grads);
    tiny_release(&tiny);
}

static void a_nan_is_a_loss_and_leaves_the_gradient_alone(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t tokens = {0};
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    tiny_batch_init(&tokens);
    tiny_init(&tiny, &shape, &spec, reference());
    tiny.vector[tiny.elements - 1] = NAN;
    assert_int_equal(llm_workspace_set_params(tiny.ws, tiny.vector, &err), 0);
    double loss = 0.0;
    float *grads = gradient(&tiny, &tokens.batch, &loss);
    assert_true(isnan(loss));
    for (uint64_t i = 0; i < tiny.elements; i++)
        assert_true(grads[i] == 0.0f);
    free(grads);
    tiny_release(&tiny);
}

/* A longer context, so that the head works in several blocks of rows. */
#define LONG 300

static void the_head_in_blocks_gives_the_loss_of_whole_logits(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_llama();
    shape.context = LONG;
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_limits_t limits = {.tokens_max = LONG};
    llm_backend_t *be = reference();
    llm_model_t *model = llm_model_new_random(&shape, 5, be, &err);
    llm_adapter_t *adapter = llm_adapter_new(&shape, &none, &err);
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    assert_non_null(ws);
    int32_t ids[LONG + 1], rows[LONG];
    uint32_t starts[] = {0, LONG};
    for (int32_t t = 0; t <= LONG; t++) {
        ids[t] = (t * 7 + t / 5) % TINY_VOCAB;
        if (t < LONG)
            rows[t] = t;
    }
    llm_batch_t batch = {.sequences = 1,
                         .starts = starts,
                         .ids = ids,
                         .supervised = LONG,
                         .rows = rows,
                         .targets = ids + 1};
    double loss = 0.0, whole = 0.0;
    assert_int_equal(llm_workspace_loss(ws, &batch, &loss, &err), 0);
    float *logits = malloc(LONG * TINY_VOCAB * sizeof *logits);
    assert_int_equal(llm_workspace_logits(ws, &batch, rows, LONG, logits, &err), 0);
    for (size_t t = 0; t < LONG; t++) {
        double sum = 0.0;
        for (size_t v = 0; v < TINY_VOCAB; v++)
            sum += exp((double)logits[t * TINY_VOCAB + v]);
        whole += log(sum) - (double)logits[t * TINY_VOCAB + (size_t)ids[t + 1]];
    }
    assert_true(fabs(loss - whole) <= 1e-5 * whole);
    free(logits);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void tokens_do_not_depend_on_what_is_packed_beside_them(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama()};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        tiny_t tiny;
        tiny_batch_t batch = {0};
        llm_adapter_spec_t spec = tiny_lora("", 0.0f);
        tiny_batch_init(&batch);
        tiny_init(&tiny, &shapes[i], &spec, llm_backend_cpu_new(2, &err));
        float packed[TINY_TOKENS * TINY_VOCAB], single[TINY_TOKENS * TINY_VOCAB];
        int32_t rows[TINY_TOKENS], unused[TINY_TOKENS];
        for (int32_t t = 0; t < TINY_TOKENS; t++)
            rows[t] = t;
        assert_int_equal(
            llm_workspace_logits(tiny.ws, &batch.batch, rows, TINY_TOKENS, packed, &err), 0);
        for (size_t s = 0; s < batch.batch.sequences; s++) {
            uint32_t starts[2];
            llm_batch_t one = alone(&batch.batch, s, starts, unused);
            assert_int_equal(llm_workspace_logits(tiny.ws, &one, rows, starts[1], single, &err), 0);
            assert_memory_equal(single, packed + batch.starts[s] * TINY_VOCAB,
                                starts[1] * TINY_VOCAB * sizeof *single);
        }
        tiny_release(&tiny);
    }
}

static void check_prefix(const llm_shape_t *shape, const char *targets)
{
    fmq_error_t err;
    tiny_t tiny;
    tiny_batch_t batch = {0};
    llm_adapter_spec_t spec = tiny_lora(targets, 0.0f);
    tiny_batch_init(&batch);
    tiny_init(&tiny, shape, &spec, llm_backend_cpu_new(2, &err));
    size_t width = llm_workspace_prefix_bytes(tiny.ws) / sizeof(float);
    assert_int_equal(width, shape->width);
    double loss = 0.0, kept_loss = 0.0, evaluated = 0.0;
    float *grads = gradient(&tiny, &batch.batch, &loss);
    /* Kept sequence by sequence, in another order than they are used in. */
    float *prefix = malloc(TINY_TOKENS * width * sizeof *prefix);
    for (size_t s = batch.batch.sequences; s-- > 0;) {
        uint32_t starts[2];
        int32_t rows[TINY_TOKENS];
        llm_batch_t one = alone(&batch.batch, s, starts, rows);
        one.prefix_out = prefix + batch.starts[s] * width;
        assert_int_equal(llm_workspace_loss(tiny.ws, &one, &evaluated, &err), 0);
    }
    batch.batch.prefix = prefix;
    float *from_kept = gradient(&tiny, &batch.batch, &kept_loss);
    assert_true(loss == kept_loss);
    assert_memory_equal(grads, from_kept, tiny.elements * sizeof *grads);
    /* It is really used: another prefix gives another loss. */
    prefix[3] += 1.0f;
    assert_int_equal(llm_workspace_loss(tiny.ws, &batch.batch, &evaluated, &err), 0);
    assert_true(evaluated != loss);
    free(from_kept);
    free(prefix);
    free(grads);
    tiny_release(&tiny);
}

static void a_kept_prefix_gives_the_same_bytes(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama();
    check_prefix(&gpt2, "1.attn.c_attn 1.mlp.c_fc");
    check_prefix(&gpt2, "1.mlp.c_proj");
    check_prefix(&llama, "1.self_attn.q_proj 1.self_attn.v_proj");
}

static void there_is_no_prefix_below_the_first_layer(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch = {0};
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("0.mlp.c_fc", 0.0f);
    tiny_batch_init(&batch);
    tiny_init(&tiny, &shape, &spec, reference());
    assert_int_equal(llm_workspace_prefix_bytes(tiny.ws) / sizeof(float), 0);
    float nothing = 5.0f;
    double loss = 0.0, ignored = 0.0;
    free(gradient(&tiny, &batch.batch, &loss));
    batch.batch.prefix = &nothing;
    batch.batch.prefix_out = &nothing;
    free(gradient(&tiny, &batch.batch, &ignored));
    assert_true(loss == ignored && nothing == 5.0f);
    tiny_release(&tiny);
}

static size_t bytes_with(const char *targets, bool training)
{
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    shape.layers = 8;
    llm_adapter_spec_t spec = tiny_lora(targets, 0.0f);
    llm_limits_t limits = {.tokens_max = 64, .training = training};
    llm_backend_t *be = reference();
    llm_model_t *model = llm_model_new_random(&shape, 5, be, &err);
    llm_adapter_t *adapter = llm_adapter_new(&shape, &spec, &err);
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    assert_non_null(ws);
    size_t bytes = llm_workspace_bytes(ws);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
    return bytes;
}

static void only_layers_from_the_lowest_trainable_on_keep_activations(void **state)
{
    (void)state;
    size_t all = bytes_with("c_attn", true), top = bytes_with("7.attn.c_attn", true);
    size_t frozen = bytes_with("c_attn", false);
    assert_true(top < all / 2);
    assert_true(frozen < top);
}

static void limits_beyond_reason_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    tiny_t tiny;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    tiny_init(&tiny, &shape, &spec, reference());
    llm_limits_t limits = {.tokens_max = 0};
    assert_null(llm_workspace_new(tiny.model, tiny.adapter, &limits, tiny.be, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    limits.tokens_max = SIZE_MAX;
    assert_null(llm_workspace_new(tiny.model, tiny.adapter, &limits, tiny.be, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);

    llm_shape_t other = tiny_gpt2();
    other.layers = 3;
    llm_adapter_t *adapter = llm_adapter_new(&other, &spec, &err);
    limits.tokens_max = 4;
    assert_null(llm_workspace_new(tiny.model, adapter, &limits, tiny.be, &err));
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    llm_adapter_destroy(&adapter);
    tiny_release(&tiny);
}

/* Gradient and loss with this many threads, the caller's. */
static float *with_threads(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                           unsigned threads, double *loss, uint64_t *elements)
{
    tiny_t tiny;
    tiny_batch_t batch = {0};
    tiny_batch_init(&batch);
    tiny_init(&tiny, shape, spec, llm_backend_cpu_new(threads, NULL));
    float *grads = gradient(&tiny, &batch.batch, loss);
    *elements = tiny.elements;
    tiny_release(&tiny);
    return grads;
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    /* The wide one is large enough that a backend does share its work out. */
    llm_shape_t wide = tiny_gpt2();
    wide.width = 192;
    wide.head_width = 48;
    wide.ffn = 500;
    wide.vocab = 3001;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), wide};
    llm_adapter_spec_t specs[] = {tiny_lora(gpt2_all, 0.0f), tiny_lora(llama_all, 0.0f),
                                  tiny_lora(gpt2_all, 0.0f)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int full = 0; full < 2; full++) {
            llm_adapter_spec_t spec = full ? tiny_full() : specs[i];
            double first = 0.0, loss = 0.0;
            uint64_t elements = 0;
            float *one = with_threads(&shapes[i], &spec, 1, &first, &elements);
            for (unsigned threads = 2; threads <= 3; threads++) {
                float *more = with_threads(&shapes[i], &spec, threads, &loss, &elements);
                assert_true(loss == first);
                assert_memory_equal(one, more, elements * sizeof *one);
                free(more);
            }
            free(one);
        }
    }
}

static void a_workspace_serves_those_who_would_get_the_same_from_their_own(void **state)
{
    (void)state;
    fmq_error_t err;
    tiny_t tiny;
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora(llama_all, 0.0f);
    tiny_init(&tiny, &shape, &spec, reference());
    llm_stack_t stack = {.model = tiny.model, .adapter = tiny.adapter}, other = stack;
    other.fixed = tiny.adapter;
    const llm_limits_t made = {.tokens_max = 4000, .supervised_max = 3000, .training = true};
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &made, tiny.be, &err);
    assert_non_null(ws);
    const struct {
        llm_limits_t limits;
        bool served;
    } rows[] = {
        {made, true},
        {{.tokens_max = 2900, .training = true}, true},
        {{.tokens_max = 3900, .supervised_max = 2000, .training = true}, true},
        {{.tokens_max = 4001, .supervised_max = 3000, .training = true}, false},
        {{.tokens_max = 4000, .supervised_max = 3001, .training = true}, false},
        {{.tokens_max = 4000, .training = true}, false},
        {{.tokens_max = 1, .training = true}, false}, /* its head would be cut otherwise */
        {{.tokens_max = 4000, .supervised_max = 1, .training = true}, false},
        {{.tokens_max = 2900}, false},
        {{.tokens_max = 2900, .training = true, .bytes_wanted = 1}, false},
        {{.tokens_max = 2900, .training = true, .behind = 1}, false},
        {{.tokens_max = 2900, .training = true, .recompute = LLM_RECOMPUTE_LAYERS}, false},
        {{.tokens_max = 2900, .training = true, .sharers = 2}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (llm_workspace_serves(ws, &stack, &rows[i].limits) != rows[i].served)
            fail_msg("row %zu", i);
    assert_false(llm_workspace_serves(ws, &other, &made));
    llm_workspace_destroy(&ws);
    tiny_release(&tiny);
}

static void parameters_are_set_in_ranges_and_outlive_what_passes_need(void **state)
{
    (void)state;
    fmq_error_t err;
    tiny_t tiny;
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t full = tiny_full();
    tiny_init(&tiny, &shape, &full, reference());
    uint64_t half = tiny.elements / 2;
    float *set = malloc(tiny.elements * sizeof *set), *got = malloc(tiny.elements * sizeof *got);
    for (uint64_t i = 0; i < tiny.elements; i++)
        set[i] = (float)i;
    assert_int_equal(llm_workspace_set_range(tiny.ws, half, tiny.elements - half, set + half, &err),
                     0);
    assert_int_equal(llm_workspace_set_range(tiny.ws, 0, half, set, &err), 0);
    assert_int_equal(llm_workspace_set_range(tiny.ws, tiny.elements, 1, set, &err), -1);
    assert_int_equal(llm_workspace_set_range(tiny.ws, 1, UINT64_MAX, set, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    size_t whole = llm_workspace_bytes(tiny.ws);
    llm_workspace_strip(tiny.ws);
    llm_workspace_strip(tiny.ws);
    assert_true(llm_workspace_bytes(tiny.ws) == tiny.elements * sizeof *set);
    assert_true(whole > 2 * tiny.elements * sizeof *set);
    assert_null(llm_workspace_grads(tiny.ws));
    llm_workspace_get_params(tiny.ws, got);
    assert_memory_equal(got, set, tiny.elements * sizeof *set);
    free(set);
    free(got);
    tiny_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_batch_is_the_sum_of_its_sequences),
        cmocka_unit_test(passes_allocate_nothing),
        cmocka_unit_test(batches_that_do_not_fit_are_refused),
        cmocka_unit_test(a_window_counts_in_the_layers_that_have_one),
        cmocka_unit_test(ids_rows_and_targets_outside_their_range_are_refused),
        cmocka_unit_test(a_batch_without_targets_has_no_loss_and_no_gradient),
        cmocka_unit_test(a_nan_is_a_loss_and_leaves_the_gradient_alone),
        cmocka_unit_test(the_head_in_blocks_gives_the_loss_of_whole_logits),
        cmocka_unit_test(tokens_do_not_depend_on_what_is_packed_beside_them),
        cmocka_unit_test(a_kept_prefix_gives_the_same_bytes),
        cmocka_unit_test(there_is_no_prefix_below_the_first_layer),
        cmocka_unit_test(only_layers_from_the_lowest_trainable_on_keep_activations),
        cmocka_unit_test(limits_beyond_reason_are_refused),
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(a_workspace_serves_those_who_would_get_the_same_from_their_own),
        cmocka_unit_test(parameters_are_set_in_ranges_and_outlive_what_passes_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
