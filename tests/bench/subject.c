/*
 * subject.c - see subject.h.
 */
#include "tests/bench/subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/peak.h"
#include "tests/bench/shapes.h"

void subject_die(const char *what, const fmq_error_t *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

void subject_flags(subject_options_t *options, bench_flag_t flags[SUBJECT_FLAGS])
{
    flags[0] = bench_text("--shape", &options->shape, BENCH_SHAPES);
    flags[1] = bench_text("--model", &options->model, "DIR");
    flags[2] = bench_number("--threads", &options->threads, 1, BENCH_THREADS_MAX);
    flags[3] = bench_number("--layers", &options->layers, 1, 96);
}

void subject_open(subject_t *self, const subject_options_t *options)
{
    fmq_error_t err;
    self->be = llm_backend_open("cpu", (unsigned)options->threads, &err);
    if (!self->be)
        subject_die("backend", &err);
    llm_shape_t shape;
    if (options->model) {
        self->model = llm_model_open(options->model, self->be, &err);
    } else {
        if (!bench_shape_find(options->shape, &shape))
            exit(2);
        if (options->layers)
            shape.layers = (uint32_t)options->layers;
        self->model = llm_model_new_random(&shape, 1, self->be, &err);
    }
    if (!self->model)
        subject_die("model", &err);
}

void subject_close(subject_t *self)
{
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

void subject_print(const subject_t *self, const subject_options_t *options)
{
    const llm_shape_t *shape = llm_model_shape(self->model);
    printf("%s, %u layers, %s, %d threads\n", options->model ? options->model : options->shape,
           (unsigned)shape->layers, llm_backend_variant(self->be), options->threads);
}

double subject_peak_memory(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0.0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    }
    if (file)
        (void)fclose(file);
    return kib / 1024.0;
}
