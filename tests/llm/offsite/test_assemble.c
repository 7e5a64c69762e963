/*
 * test_assemble.c - the client's end: a model put together from the bytes that
 * the server publishes, and strangers' bytes that do not fit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/offsite/workshop.h"

#define LAYERS_MAX 8
#define PATH       160

/* What a client was told and has fetched. */
typedef struct {
    workshop_t shop;
    llm_emulator_t *server; /* owned */
    char paths[LAYERS_MAX + 1][PATH];
    const char *parts[LAYERS_MAX];
    uint32_t source[LAYERS_MAX];
    llm_emulator_files_t files;
} delivery_t;

static void write_part(const llm_model_t *model, uint32_t part, const char *path)
{
    fmq_error_t err;
    llm_part_image_t *image = llm_part_image_new(model, part, &err);
    if (!image)
        fail_msg("%s", err.text);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < llm_part_image_size(image); i++) {
        const llm_segment_t *segment = llm_part_image_at(image, i);
        if (segment->bytes)
            assert_int_equal(fwrite(segment->data, (size_t)segment->bytes, 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
    llm_part_image_destroy(&image);
}

static void deliver(delivery_t *self, const char *family, const llm_emulator_spec_t *spec)
{
    memset(self, 0, sizeof *self);
    workshop_open(&self->shop, family, 6, NULL);
    self->server = small_emulator(&self->shop.small, spec, &self->shop.how);
    const llm_offsite_t *offsite = llm_emulator_offsite(self->server);
    uint32_t layers = llm_model_shape(offsite->student)->layers;
    for (uint32_t i = 0; i <= layers; i++) {
        bool stem = i == layers;
        (void)snprintf(self->paths[i], PATH, "/tmp/fedmq-delivery-%s-%u", self->shop.folder + 21,
                       i);
        write_part(offsite->student, stem ? LLM_PART_STEM : i, self->paths[i]);
        if (stem)
            continue;
        self->parts[i] = self->paths[i];
        self->source[i] = offsite->source[i];
    }
    self->files = (llm_emulator_files_t){.full = *offsite->full,
                                         .l = offsite->l,
                                         .r = offsite->r,
                                         .behind = offsite->behind,
                                         .source = self->source,
                                         .layers = layers,
                                         .stem = self->paths[layers],
                                         .parts = self->parts,
                                         .adapter = spec->adapter};
}

static void clean(delivery_t *self)
{
    llm_emulator_destroy(&self->server);
    for (size_t i = 0; i <= LAYERS_MAX; i++)
        if (self->paths[i][0])
            (void)remove(self->paths[i]);
    workshop_close(&self->shop);
}

static void check_same_vectors(const llm_adapter_t *a, const llm_adapter_t *b)
{
    fmq_digest_t one = fmq_schema_digest(llm_adapter_schema(a));
    fmq_digest_t other = fmq_schema_digest(llm_adapter_schema(b));
    assert_true(fmq_digest_equal(&one, &other));
}

static void check_assembled(const char *family, const llm_emulator_spec_t *spec)
{
    fmq_error_t err = {0};
    delivery_t delivery;
    deliver(&delivery, family, spec);
    const llm_offsite_t *server = llm_emulator_offsite(delivery.server);
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    llm_emulator_t *client = llm_emulator_assemble(&delivery.files, be, &err);
    if (!client)
        fail_msg("%s", err.text);
    const llm_offsite_t *offsite = llm_emulator_offsite(client);
    assert_null(offsite->teacher);
    assert_int_equal(offsite->full->layers, 6);
    assert_int_equal(offsite->behind, server->behind);
    assert_memory_equal(offsite->source, server->source,
                        delivery.files.layers * sizeof *offsite->source);
    small_assert_same_digest(offsite->student, server->student);
    check_same_vectors(offsite->plugged, server->plugged);
    check_same_vectors(offsite->adapter, server->adapter);
    check_same_vectors(offsite->state, server->state);
    assert_true(llm_model_bytes(offsite->student) > 0);
    assert_true(small_model_loss(offsite->student, be) ==
                small_model_loss(server->student, delivery.shop.small.be));
    llm_emulator_destroy(&client);
    llm_backend_destroy(&be);
    clean(&delivery);
}

static void a_client_has_the_servers_model_to_the_bit_whatever_the_strategy(void **state)
{
    (void)state;
    const char *const families[] = {"llama", "gpt2"};
    for (size_t f = 0; f < 2; f++) {
        llm_emulator_spec_t spec = small_spec(1, 5, 0.5);
        check_assembled(families[f], &spec);
        spec.adapter.kind = LLM_ADAPTER_FULL;
        check_assembled(families[f], &spec);
        spec.adapter = small_lora();
        spec.strategy = LLM_QUANTIZATION;
        spec.bits = 4;
        check_assembled(families[f], &spec);
        spec.strategy = LLM_PRUNING;
        spec.prune_ratio = 0.4;
        check_assembled(families[f], &spec);
        spec.structured = true;
        (void)snprintf(spec.adapter.target[0], sizeof spec.adapter.target[0], "%s",
                       f ? "c_proj" : "o_proj");
        (void)snprintf(spec.adapter.target[1], sizeof spec.adapter.target[1], "%s",
                       f ? "c_fc" : "up_proj");
        spec.adapter.targets = 2;
        check_assembled(families[f], &spec);
    }
}

static void check_refused(const llm_emulator_files_t *files, llm_backend_t *be, const char *word)
{
    fmq_error_t err = {0};
    assert_null(llm_emulator_assemble(files, be, &err));
    assert_int_not_equal(err.code, FMQ_OK);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
}

static void layers_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    delivery_t delivery;
    llm_emulator_spec_t spec = small_spec(1, 5, 0.5);
    deliver(&delivery, "llama", &spec); /* 0 | 1 4 | 5 */
    llm_backend_t *be = delivery.shop.small.be;
    llm_emulator_files_t files = delivery.files;
    files.layers = 5;
    check_refused(&files, be, "5 layers");
    files = delivery.files;
    files.r = 9;
    check_refused(&files, be, "[1, 9)");
    files.r = 1;
    check_refused(&files, be, "[1, 1)");
    files = delivery.files;
    files.behind = 1;
    check_refused(&files, be, "[1, 1)");
    files.behind = UINT32_MAX;
    check_refused(&files, be, "4294967295");
    files = delivery.files;
    files.full.layers = 0;
    check_refused(&files, be, "of 0");
    files.full.layers = LLM_LAYERS_MAX + 1;
    check_refused(&files, be, "1025");
    clean(&delivery);
}

static void a_source_that_is_out_of_order_is_refused(void **state)
{
    (void)state;
    delivery_t delivery;
    llm_emulator_spec_t spec = small_spec(1, 5, 0.5);
    deliver(&delivery, "llama", &spec);
    const uint32_t wrong[][4] = {{1, 1, 4, 5}, {0, 4, 1, 5}, {0, 1, 1, 5},         {0, 1, 5, 5},
                                 {0, 0, 4, 5}, {0, 1, 4, 4}, {0, 1, UINT32_MAX, 5}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        delivery.files.source = wrong[i];
        check_refused(&delivery.files, delivery.shop.small.be, "stands for layer");
    }
    clean(&delivery);
}

static void a_part_that_does_not_fit_is_named(void **state)
{
    (void)state;
    delivery_t delivery;
    llm_emulator_spec_t spec = small_spec(1, 5, 0.5);
    deliver(&delivery, "llama", &spec);
    llm_backend_t *be = delivery.shop.small.be;
    delivery.parts[2] = delivery.files.stem;
    check_refused(&delivery.files, be, delivery.files.stem);
    delivery.parts[2] = "/nonexistent/part";
    check_refused(&delivery.files, be, "/nonexistent/part");
    delivery.parts[2] = delivery.paths[2];
    delivery.files.full.width = 32;
    check_refused(&delivery.files, be, "260 x 32");
    clean(&delivery);
}

static size_t read_whole(const char *path, uint8_t **bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(size);
    assert_int_equal(fread(*bytes, 1, size, file), size);
    (void)fclose(file);
    return size;
}

static void write_whole(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* One to four bytes of the header become others, or the file is cut. */
static size_t damage(fmq_rng_t *rng, uint8_t *bytes, size_t size)
{
    uint32_t reach = (uint32_t)(size < 1600 ? size : 1600); /* header, and a few weights */
    for (uint32_t i = fmq_rng_below(rng, 4) + 1; i > 0; i--)
        bytes[fmq_rng_below(rng, reach)] ^= (uint8_t)(1u << fmq_rng_below(rng, 8));
    return fmq_rng_below(rng, 8) ? size : fmq_rng_below(rng, (uint32_t)size);
}

static void damaged_bytes_give_an_error_or_a_model_but_no_crash(void **state)
{
    (void)state;
    llm_emulator_spec_t spec = small_spec(1, 5, 0.5);
    const llm_emulator_strategy_t strategies[] = {LLM_DROP_LAYER, LLM_QUANTIZATION, LLM_PRUNING};
    spec.bits = 4;
    spec.prune_ratio = 0.5;
    size_t refused = 0;
    for (size_t s = 0; s < 3; s++) {
        delivery_t delivery;
        fmq_rng_t rng;
        fmq_rng_name_t name = {.seed = 6, .purpose = FMQ_RNG_TEST, .step = (uint32_t)s};
        fmq_rng_init(&rng, &name);
        spec.strategy = strategies[s];
        deliver(&delivery, s == 1 ? "gpt2" : "llama", &spec);
        uint8_t *good = NULL;
        size_t size = read_whole(delivery.paths[1], &good);
        uint8_t *bad = malloc(size);
        for (int i = 0; i < 120; i++) {
            fmq_error_t err = {0};
            memcpy(bad, good, size);
            write_whole(delivery.paths[1], bad, damage(&rng, bad, size));
            llm_emulator_t *client =
                llm_emulator_assemble(&delivery.files, delivery.shop.small.be, &err);
            assert_int_equal(client == NULL, err.code != FMQ_OK);
            refused += client == NULL;
            if (client)
                (void)small_model_loss(llm_emulator_offsite(client)->student,
                                       delivery.shop.small.be);
            llm_emulator_destroy(&client);
        }
        free(good);
        free(bad);
        clean(&delivery);
    }
    assert_true(refused > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_has_the_servers_model_to_the_bit_whatever_the_strategy),
        cmocka_unit_test(layers_that_do_not_add_up_are_refused),
        cmocka_unit_test(a_source_that_is_out_of_order_is_refused),
        cmocka_unit_test(a_part_that_does_not_fit_is_named),
        cmocka_unit_test(damaged_bytes_give_an_error_or_a_model_but_no_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
