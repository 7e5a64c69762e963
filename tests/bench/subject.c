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
    flags[2] = bench_text("--weights", &options->weights, "f32|bf16|int8|int4|nf4");
    flags[3] = bench_switch("--half", &options->half);
    flags[4] = bench_number("--threads", &options->threads, 1, BENCH_THREADS_MAX);
    flags[5] = bench_number("--layers", &options->layers, 1, 96);
    flags[6] = bench_text("--device", &options->device, "NAME");
}

/* The model of the options, nothing of it placed yet. */
static llm_model_t *open_model(const subject_options_t *options, fmq_error_t *err)
{
    llm_shape_t shape;
    if (options->model)
        return llm_model_open(options->model, NULL, err);
    if (!bench_shape_find(options->shape, &shape))
        exit(2);
    if (options->layers)
        shape.layers = (uint32_t)options->layers;
    return llm_model_new_random(&shape, 1, NULL, err);
}

void subject_open(subject_t *self, const subject_options_t *options)
{
    fmq_error_t err;
    llm_form_choice_t form;
    const char *device = options->device ? options->device : options->half ? "cpu:bf16" : "cpu";
    self->be = llm_backend_open(device, (unsigned)options->threads, &err);
    if (!self->be)
        subject_die("backend", &err);
    self->free_before = self->be->ops->memory_free(self->be);
    self->model = open_model(options, &err);
    if (!self->model ||
        llm_form_choice_parse(options->weights ? options->weights : "auto", &form, &err) < 0 ||
        llm_model_set_form(self->model, &form, &err) < 0 ||
        llm_model_place(self->model, self->be, &err) < 0)
        subject_die("model", &err);
}

double subject_peak(const subject_t *self, const subject_options_t *options)
{
    if (options->device)
        return 0.0;
    double pairs = options->half ? bench_peak_half(options->threads) : 0.0;
    return pairs > 0.0 ? pairs : bench_peak(options->threads, llm_backend_variant(self->be));
}

void subject_close(subject_t *self)
{
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

void subject_print(const subject_t *self, const subject_options_t *options)
{
    const llm_shape_t *shape = llm_model_shape(self->model);
    llm_form_choice_t form = llm_model_form(self->model);
    printf("%s, %u layers, weights %s, %s, %s, %d threads\n",
           options->model ? options->model : options->shape, (unsigned)shape->layers,
           llm_form_choice_name(&form), self->be->ops->act == FMQ_BF16 ? "bf16" : "f32",
           llm_backend_variant(self->be), options->threads);
}

void subject_batch_init(subject_batch_t *self, size_t sequences, size_t tokens, uint32_t vocab)
{
    size_t all = sequences * tokens;
    self->starts = calloc(sequences + 1, sizeof *self->starts);
    self->ids = calloc(all + 1, sizeof *self->ids);
    self->rows = calloc(all, sizeof *self->rows);
    if (!self->starts || !self->ids || !self->rows)
        exit(1);
    for (size_t s = 0; s <= sequences; s++)
        self->starts[s] = (uint32_t)(s * tokens);
    for (size_t t = 0; t <= all; t++)
        self->ids[t] = (int32_t)((t * 2654435761u) % vocab);
    for (size_t t = 0; t < all; t++)
        self->rows[t] = (int32_t)t;
    self->batch = (llm_batch_t){.sequences = sequences,
                                .starts = self->starts,
                                .ids = self->ids,
                                .supervised = all,
                                .rows = self->rows,
                                .targets = self->ids + 1};
}

void subject_batch_release(subject_batch_t *self)
{
    free(self->starts);
    free(self->ids);
    free(self->rows);
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
