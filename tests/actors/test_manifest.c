/*
 * test_manifest.c - manifests survive their encoding, and what makes no
 * sense is refused.
 */
#include "actors_test.h"
#include "transfer_stage.h"

static size_t encode(const fmq_manifest_t *manifest, uint8_t *out)
{
    size_t size = fmq_manifest_encode(manifest, out, FMQ_MANIFEST_MAX, NULL);
    assert_true(size > 0);
    return size;
}

static void a_manifest_survives_its_encoding_and_no_cut_of_it_does(void **state)
{
    (void)state;
    static uint8_t bytes[FMQ_MANIFEST_MAX];
    fmq_manifest_t *manifest = stage_manifest(1, NULL), *back = calloc(1, sizeof *back);
    size_t size = encode(manifest, bytes);
    assert_int_equal(fmq_manifest_decode(back, bytes, size, NULL), 0);
    assert_memory_equal(back, manifest, sizeof *back);
    for (size_t cut = 0; cut < size; cut++) {
        fmq_error_t err;
        assert_int_equal(fmq_manifest_decode(back, bytes, cut, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
    }
    assert_memory_equal(back, manifest, sizeof *back);
    free(manifest);
    free(back);
}

static void the_largest_manifest_fits_its_limit(void **state)
{
    (void)state;
    static uint8_t bytes[FMQ_MANIFEST_MAX];
    fmq_manifest_t *manifest = stage_manifest(1, NULL), *back = calloc(1, sizeof *back);
    memset(manifest->config, 'x', sizeof manifest->config - 1);
    manifest->l = 0;
    manifest->r = manifest->behind = manifest->layers = LLM_LAYERS_MAX;
    for (uint32_t i = 0; i < LLM_LAYERS_MAX; i++) {
        manifest->source[i] = i;
        manifest->parts[i] = (fmq_blob_t){.bytes = UINT64_C(1) << 38};
    }
    assert_int_equal(fmq_manifest_decode(back, bytes, encode(manifest, bytes), NULL), 0);
    assert_memory_equal(back, manifest, sizeof *back);
    free(manifest);
    free(back);
}

/* Encodes what change makes of a good manifest; whether it is then taken. */
static bool taken(void (*change)(fmq_manifest_t *manifest))
{
    static uint8_t bytes[FMQ_MANIFEST_MAX];
    fmq_manifest_t *manifest = stage_manifest(1, NULL), *back = calloc(1, sizeof *back);
    fmq_error_t err;
    change(manifest);
    int rc = fmq_manifest_decode(back, bytes, encode(manifest, bytes), &err);
    if (rc < 0)
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
    free(manifest);
    free(back);
    return rc == 0;
}

static void nothing(fmq_manifest_t *manifest)
{
    (void)manifest;
}
static void path_as_name(fmq_manifest_t *manifest)
{
    strcpy(manifest->file[0].name, "../../.bashrc");
}
static void unknown_name(fmq_manifest_t *manifest)
{
    strcpy(manifest->file[0].name, "pickle.bin");
}
static void same_name_twice(fmq_manifest_t *manifest)
{
    strcpy(manifest->file[1].name, manifest->file[0].name);
}
static void no_bytes(fmq_manifest_t *manifest)
{
    manifest->parts[1].bytes = 0;
}
static void huge_part(fmq_manifest_t *manifest)
{
    manifest->parts[1].bytes = (UINT64_C(1) << 38) + 1;
}
static void huge_file(fmq_manifest_t *manifest)
{
    manifest->file[1].part.bytes = LLM_TOKENIZER_FILE_MAX + 1;
}
static void no_layers(fmq_manifest_t *manifest)
{
    manifest->layers = 0;
}
static void empty_range(fmq_manifest_t *manifest)
{
    manifest->r = manifest->l;
}
static void more_emulating_than_emulated(fmq_manifest_t *manifest)
{
    manifest->r = 2;
}
static void behind_too_far(fmq_manifest_t *manifest)
{
    manifest->behind = 5;
}
static void adapter_from_elsewhere(fmq_manifest_t *manifest)
{
    manifest->source[3] = 6;
}
static void not_in_order(fmq_manifest_t *manifest)
{
    manifest->source[1] = 4;
    manifest->source[2] = 1;
}
static void outside_the_range(fmq_manifest_t *manifest)
{
    manifest->source[2] = 5;
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static void (*const changes[])(fmq_manifest_t *) = {path_as_name,
                                                        unknown_name,
                                                        same_name_twice,
                                                        no_bytes,
                                                        huge_part,
                                                        huge_file,
                                                        no_layers,
                                                        empty_range,
                                                        behind_too_far,
                                                        not_in_order,
                                                        outside_the_range,
                                                        adapter_from_elsewhere,
                                                        more_emulating_than_emulated};
    assert_true(taken(nothing));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (taken(changes[i]))
            fail_msg("change %zu was taken", i);
}

static void the_shape_is_checked_against_parts_and_their_sizes(void **state)
{
    (void)state;
    fmq_manifest_t *manifest = stage_manifest(1, NULL);
    llm_shape_t shape;
    fmq_error_t err;
    assert_int_equal(fmq_manifest_shape(manifest, &shape, &err), 0);
    assert_int_equal(shape.layers, 6);
    manifest->parts[0].bytes = UINT64_C(1) << 21;
    assert_int_equal(fmq_manifest_shape(manifest, &shape, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    manifest->parts[0].bytes = 1000;
    manifest->r = 6;
    assert_int_equal(fmq_manifest_shape(manifest, &shape, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    strcpy(manifest->config, "[1]");
    assert_int_equal(fmq_manifest_shape(manifest, &shape, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    free(manifest);
}

static void a_part_that_occurs_twice_counts_once(void **state)
{
    (void)state;
    fmq_manifest_t *manifest = stage_manifest(1, NULL);
    uint64_t sum = 0;
    for (size_t i = 0; i < STAGE_PARTS; i++) {
        assert_int_equal(fmq_manifest_repeats(manifest, i), i == 4);
        if (i != 4)
            sum += fmq_manifest_at(manifest, i)->bytes;
    }
    assert_null(fmq_manifest_at(manifest, STAGE_PARTS));
    assert_true(fmq_manifest_bytes(manifest) == sum);
    free(manifest);
}

/* The example of docs/protocol.md. */
static void the_page_about_the_protocol_has_a_manifest_byte_for_byte(void **state)
{
    (void)state;
    static uint8_t bytes[FMQ_MANIFEST_MAX];
    static char line[4096] = "\nmanifest  ";
    fmq_manifest_t *manifest = calloc(1, sizeof *manifest);
    fmq_blob_t part = {.bytes = 300};
    for (size_t i = 0; i < FMQ_DIGEST_SIZE; i++)
        part.digest.bytes[i] = (uint8_t)i;
    strcpy(manifest->config, "{}");
    manifest->r = manifest->layers = 2;
    manifest->behind = manifest->files = 1;
    manifest->source[0] = 1;
    manifest->source[1] = 2;
    manifest->stem = manifest->parts[0] = manifest->parts[1] = manifest->file[0].part = part;
    manifest->stem.bytes = 600;
    manifest->file[0].part.bytes = 100;
    strcpy(manifest->file[0].name, "merges.txt");
    size_t size = encode(manifest, bytes), length, used = strlen(line);
    for (size_t i = 0; i < size; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, "%02x", bytes[i]);
    char *page = stage_read(FEDMQ_SOURCE_DIR "/docs/protocol.md", &length);
    assert_non_null(page);
    page[length] = '\0';
    if (!strstr(page, line))
        fail_msg("docs/protocol.md lacks: %s", line);
    free(page);
    free(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_survives_its_encoding_and_no_cut_of_it_does),
        cmocka_unit_test(the_largest_manifest_fits_its_limit),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(the_shape_is_checked_against_parts_and_their_sizes),
        cmocka_unit_test(a_part_that_occurs_twice_counts_once),
        cmocka_unit_test(the_page_about_the_protocol_has_a_manifest_byte_for_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
