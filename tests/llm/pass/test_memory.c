/*
 * test_memory.c - a model that is opened from files holds one copy of its
 * weights: what the files' pages took is given back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/parts.h"
#include "tests/llm/pass/tiny.h"

#define SLACK_KIB 8192 /* programs and libraries are mapped files, too */

/* A line of /proc/self/status in KiB. */
static long status_kib(const char *key)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtol(line + strlen(key), NULL, 10);
    if (file)
        (void)fclose(file);
    return kib;
}

/* Pages of files, also of those that lie in memory. */
static long file_pages_kib(void)
{
    return status_kib("RssFile:") + status_kib("RssShmem:");
}

typedef struct {
    char parent[64], path[96], weights[128], config[128];
    llm_backend_t *be;
} scene_t;

/* A model of 36 MB on disk. */
static void scene_init(scene_t *self)
{
    fmq_error_t err = {0};
    (void)snprintf(self->parent, sizeof self->parent, "/tmp/fedmq-memory-XXXXXX");
    assert_non_null(mkdtemp(self->parent));
    (void)snprintf(self->path, sizeof self->path, "%s/model", self->parent);
    (void)snprintf(self->weights, sizeof self->weights, "%s/model.safetensors", self->path);
    (void)snprintf(self->config, sizeof self->config, "%s/config.json", self->path);
    self->be = llm_backend_cpu_new(1, &err);
    llm_shape_t shape = tiny_gpt2();
    shape.width = 512;
    shape.ffn = 2048;
    shape.head_width = 128;
    shape.vocab = 5000;
    llm_model_t *model = llm_model_new_random(&shape, 1, self->be, &err);
    assert_int_equal(llm_model_export(model, NULL, 0, NULL, FMQ_F32, self->path, &err), 0);
    llm_model_destroy(&model);
}

static void scene_release(scene_t *self)
{
    llm_backend_destroy(&self->be);
    (void)unlink(self->weights);
    (void)unlink(self->config);
    (void)rmdir(self->path);
    assert_int_equal(rmdir(self->parent), 0);
}

static void opening_reading_and_digesting_leave_no_pages_of_the_files(void **state)
{
    (void)state;
    if (status_kib("RssFile:") < 0) {
        print_message("skipped: /proc/self/status has no RssFile\n");
        skip();
    }
    fmq_error_t err = {0};
    scene_t scene;
    scene_init(&scene);
    long before = file_pages_kib();
    llm_model_t *model = llm_model_open(scene.path, scene.be, &err);
    assert_non_null(model);
    assert_true(llm_model_bytes(model) > 4 * SLACK_KIB * 1024L);
    assert_true(file_pages_kib() - before < SLACK_KIB);
    fmq_digest_t first = llm_model_digest(model);
    (void)first;
    assert_true(file_pages_kib() - before < SLACK_KIB);

    /* The bytes of an image come back when they are read, and go with it. */
    llm_part_image_t *image = llm_part_image_new(model, LLM_PART_STEM, &err);
    uint64_t sum = 0;
    for (size_t i = 0; i < llm_part_image_size(image); i++) {
        const llm_segment_t *segment = llm_part_image_at(image, i);
        for (uint64_t k = 0; k < segment->bytes; k += 64)
            sum += ((const unsigned char *)segment->data)[k];
    }
    assert_true(sum > 0);
    assert_true(file_pages_kib() - before > SLACK_KIB);
    llm_part_image_destroy(&image);
    assert_true(file_pages_kib() - before < SLACK_KIB);
    llm_model_destroy(&model);
    scene_release(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_reading_and_digesting_leave_no_pages_of_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
