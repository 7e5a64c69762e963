/*
 * bench_updates.c - what it costs a server to take updates into its log on disk,
 * and to make a state of them, in bytes of updates a second of processor time
 * (user and system, of the whole process).
 *
 *     bench_updates [DIRECTORY [MEGABYTES [UPDATES [CODEC [TIMES [RULE]]]]]]
 *
 * The log is made in DIRECTORY (a new folder in it), with UPDATES updates of
 * MEGABYTES each; of TIMES runs the best is shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/storage/update_log.h"
#include "fedmq/base/clock.h"
#include "fedmq/broker/object.h"
#include "fedmq/broker/state.h"
#include "fedmq/extend/rule.h"

#define UPDATES_MAX 16384

typedef struct {
    fmq_schema_t *schema;
    float *vector;
    unsigned char *chunks; /* encoded once, FMQ_CHUNK_MAX apart */
    size_t *sizes;
    uint32_t count;
    uint32_t updates;
    const char *rule;
    uint64_t payload; /* bytes of one update */
    fmq_digest_t digest;
} scene_t;

static double processor_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int fail(const fmq_error_t *err)
{
    (void)fprintf(stderr, "bench_updates: %s\n", err->text);
    return 1;
}

/* One update's chunks, as they come from the wire. */
static int encode(scene_t *self, fmq_codec_t codec, fmq_error_t *err)
{
    self->count = fmq_state_chunks(self->schema);
    self->chunks = malloc((size_t)self->count * FMQ_CHUNK_MAX);
    self->sizes = calloc(self->count, sizeof *self->sizes);
    fmq_object_t *object = fmq_state_encode(self->schema, self->vector, codec, err);
    if (!self->chunks || !self->sizes || !object)
        return -1;
    for (uint32_t i = 0; i < self->count; i++) {
        size_t size = 0;
        const void *data = fmq_object_chunk(object, i, &size);
        memcpy(self->chunks + (size_t)i * FMQ_CHUNK_MAX, data, size);
        self->sizes[i] = size;
        self->payload += size;
    }
    self->digest = *fmq_object_digest(object);
    fmq_object_drop(&object);
    return 0;
}

static int take_in(const scene_t *self, fmq_update_log_t *log, fmq_error_t *err)
{
    for (uint32_t client = 1; client <= self->updates; client++) {
        const fmq_update_log_entry_t entry = {
            .client = client, .samples = client, .update = self->digest};
        fmq_update_log_writer_t *writer = fmq_update_log_begin(log, &entry, err);
        if (!writer)
            return -1;
        for (uint32_t i = 0; i < self->count; i++)
            if (fmq_update_log_writer_add(writer, self->chunks + (size_t)i * FMQ_CHUNK_MAX,
                                          self->sizes[i], err) < 0)
                return -1;
        if (fmq_update_log_writer_finish(&writer, &self->digest, err) < 0)
            return -1;
    }
    return fmq_update_log_commit(log, NULL, NULL, err);
}

static int read_one(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                    fmq_error_t *err)
{
    return fmq_update_log_read_range(argument, index, first, count, values, err);
}

static int take(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

static int fold(const scene_t *self, fmq_update_log_t *log, fmq_error_t *err)
{
    uint64_t samples[UPDATES_MAX];
    const fmq_rule_t *rule = fmq_rule_find(self->rule, err);
    for (uint32_t i = 0; i < self->updates; i++)
        samples[i] = i + 1;
    fmq_updates_t updates = {.size = self->updates,
                             .samples = samples,
                             .elements = fmq_schema_elements(self->schema),
                             .read = read_one,
                             .argument = log};
    return rule ? fmq_rule_run(rule, &updates, take, self->vector, err) : -1;
}

typedef struct {
    double in, fold, wall_in, wall_fold;
} times_t;

static int once(const scene_t *self, const char *directory, times_t *out, fmq_error_t *err)
{
    const fmq_update_log_options_t options = {.directory = directory,
                                              .run = "00112233445566778899aabbccddeeff",
                                              .round = 1,
                                              .schema = self->schema};
    fmq_update_log_t *log = fmq_update_log_open(&options, err);
    if (!log)
        return -1;
    double began = processor_seconds(), wall = fmq_clock_seconds();
    int rc = take_in(self, log, err);
    out->in = processor_seconds() - began;
    out->wall_in = fmq_clock_seconds() - wall;
    began = processor_seconds();
    wall = fmq_clock_seconds();
    if (rc == 0)
        rc = fold(self, log, err);
    out->fold = processor_seconds() - began;
    out->wall_fold = fmq_clock_seconds() - wall;
    fmq_update_log_close(&log);
    fmq_update_log_remove(directory, 1);
    return rc;
}

static void show(const scene_t *self, const char *what, double seconds, double wall)
{
    double gigabytes = 1e-9 * (double)self->payload * self->updates;
    (void)printf("%-6s %6.2f GB/s of processor time  %6.2f GB/s of wall time  (%.2f GB)\n", what,
                 gigabytes / seconds, gigabytes / wall, gigabytes);
}

int main(int argc, char **argv)
{
    const char *parent = argc > 1 ? argv[1] : ".";
    uint64_t elements = (uint64_t)((argc > 2 ? atof(argv[2]) : 32) * 1e6 / sizeof(float));
    int codec = fmq_codec_find(argc > 4 ? argv[4] : "f32");
    int times = argc > 5 ? atoi(argv[5]) : 3;
    scene_t scene = {.updates = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 16,
                     .rule = argc > 6 ? argv[6] : "fedavg"};
    times_t best = {1e9, 1e9, 1e9, 1e9}, now;
    char directory[4096];
    fmq_error_t err = {0};
    if (codec < 0 || scene.updates > UPDATES_MAX || elements == 0)
        return 2;
    (void)snprintf(directory, sizeof directory, "%s/bench_updates.XXXXXX", parent);
    if (!mkdtemp(directory))
        return perror(directory), 1;
    scene.schema = fmq_schema_new(FMQ_F32);
    scene.vector = malloc((size_t)elements * sizeof *scene.vector);
    if (!scene.vector || fmq_schema_add(scene.schema, "w", 1, &elements, &err) < 0)
        return fail(&err);
    for (uint64_t i = 0; i < elements; i++)
        scene.vector[i] = (float)(i % 1000) * 0.001F - 0.5F;
    if (encode(&scene, (fmq_codec_t)codec, &err) < 0)
        return fail(&err);
    for (int i = 0; i < times; i++) {
        if (once(&scene, directory, &now, &err) < 0)
            return fail(&err);
        best.in = now.in < best.in ? now.in : best.in;
        best.fold = now.fold < best.fold ? now.fold : best.fold;
        best.wall_in = now.wall_in < best.wall_in ? now.wall_in : best.wall_in;
        best.wall_fold = now.wall_fold < best.wall_fold ? now.wall_fold : best.wall_fold;
    }
    show(&scene, "in", best.in, best.wall_in);
    show(&scene, "fold", best.fold, best.wall_fold);
    (void)rmdir(directory);
    free(scene.vector);
    free(scene.chunks);
    free(scene.sizes);
    fmq_schema_destroy(&scene.schema);
    return 0;
}
