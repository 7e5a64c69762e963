/*
 * test_emulator_models.c - emulators of trained models: how much worse they
 * answer than the whole, and what their layers weigh.  The models are those of
 * configs/; figures are printed, bounds are checked.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/llm/align.h"

#define TOK_LEN 128
#define BATCH   16

static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

/* A model of configs/ with held-out records and public ones. */
typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    llm_dataset_t *heldout, *public;
    char folder[64];
    double loss; /* of the whole model */
    uint32_t l, r;
} room_t;

/* Some of the public records: tasks that both models were made for. */
static llm_dataset_t *load(const llm_tokenizer_t *tokenizer, size_t first, size_t count)
{
    const char *path = FEDMQ_SOURCE_DIR "/configs/offsite/data/public.jsonl";
    llm_records_t *records = llm_records_new();
    must(llm_records_load(records, path, NULL, &err) == 0);
    assert_true(first + count <= llm_records_size(records));
    llm_part_t part = {calloc(count, sizeof(uint32_t)), count};
    for (size_t i = 0; i < count; i++)
        part.items[i] = (uint32_t)(first + i);
    llm_dataset_t *data = llm_dataset_new(records, &part, tokenizer, TOK_LEN, &err);
    must(data != NULL);
    llm_part_release(&part);
    llm_records_destroy(&records);
    return data;
}

static double loss_of(const room_t *room, const llm_model_t *model)
{
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &none, &err);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(room->heldout, BATCH)};
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, room->be, &err);
    must(ws != NULL);
    llm_eval_stats_t stats;
    must(llm_evaluate_loss(ws, room->heldout, BATCH, NULL, NULL, &stats, &err) == 0);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    return stats.token_loss;
}

/* kind: "quickstart" or "offsite". */
static void room_open(room_t *self, const char *kind, uint32_t l, uint32_t r)
{
    char path[512];
    memset(self, 0, sizeof *self);
    self->l = l;
    self->r = r;
    self->be = llm_backend_cpu_new(1, &err);
    must(self->be != NULL);
    (void)snprintf(path, sizeof path, "%s/configs/%s/model", FEDMQ_SOURCE_DIR, kind);
    self->model = llm_model_open(path, self->be, &err);
    must(self->model != NULL);
    llm_tokenizer_t *tokenizer = llm_tokenizer_open(path, &err);
    must(tokenizer != NULL);
    self->heldout = load(tokenizer, 0, 96);
    self->public = load(tokenizer, 160, 400);
    llm_tokenizer_destroy(&tokenizer);
    (void)snprintf(self->folder, sizeof self->folder, "/tmp/fedmq-emulators-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    self->loss = loss_of(self, self->model);
}

/* Removes the part files. */
static void empty(const room_t *room)
{
    DIR *folder = opendir(room->folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", room->folder, entry->d_name);
        if (entry->d_name[0] != '.')
            (void)unlink(path);
    }
    (void)closedir(folder);
}

static void room_close(room_t *self)
{
    empty(self);
    (void)rmdir(self->folder);
    llm_dataset_destroy(&self->heldout);
    llm_dataset_destroy(&self->public);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

static llm_emulator_spec_t spec_of(const room_t *room, llm_emulator_strategy_t strategy)
{
    return (llm_emulator_spec_t){.strategy = strategy,
                                 .emu_l = room->l,
                                 .emu_r = room->r,
                                 .drop_ratio = 0.5,
                                 .prune_ratio = 0.5,
                                 .bits = 8,
                                 .adapter = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16.0f}};
}

typedef struct {
    double loss;    /* of the client's model, a token */
    double away;    /* mean((T - S)^2) / mean(T^2) where E ends, see align.h */
    uint64_t bytes; /* of E's layers, as they travel */
    uint64_t held;  /* memory of E's layers; 0 when they are the teacher's */
} figures_t;

static double away_of(const room_t *room, const llm_offsite_t *offsite)
{
    uint64_t a = fmq_schema_elements(llm_adapter_schema(offsite->adapter));
    uint64_t e = fmq_schema_elements(llm_adapter_schema(offsite->state));
    float *zeros = calloc(a > e ? a : e, sizeof *zeros); /* LoRA without effect */
    llm_align_options_t options = {.sim_weight = 1.0, .train = {.batch_size = BATCH}};
    llm_align_t align = {
        .offsite = offsite, .data = room->heldout, .options = &options, .be = room->be};
    llm_align_stats_t stats;
    must(llm_align_measure(&align, zeros, zeros, &stats, &err) == 0);
    free(zeros);
    return stats.sim;
}

static uint64_t bytes_of(const llm_offsite_t *offsite)
{
    uint64_t bytes = 0;
    for (uint32_t layer = offsite->first; layer < offsite->behind; layer++) {
        llm_part_image_t *image = llm_part_image_new(offsite->student, layer, &err);
        must(image != NULL);
        bytes += llm_part_image_bytes(image);
        llm_part_image_destroy(&image);
    }
    return bytes;
}

static figures_t build(const room_t *room, const llm_emulator_spec_t *spec,
                       const llm_align_options_t *distil, const char *what)
{
    figures_t figures;
    llm_emulator_building_t how = {.be = room->be,
                                   .directory = room->folder,
                                   .data = room->public,
                                   .distil = distil,
                                   .seed = 1};
    llm_emulator_t *emulator = llm_emulator_new(room->model, spec, &how, &err);
    must(emulator != NULL);
    figures.loss = loss_of(room, llm_emulator_offsite(emulator)->student);
    figures.away = away_of(room, llm_emulator_offsite(emulator));
    figures.bytes = bytes_of(llm_emulator_offsite(emulator));
    figures.held = llm_model_bytes(llm_emulator_offsite(emulator)->student);
    llm_emulator_destroy(&emulator);
    empty(room);
    print_message("%-28s loss %.4f (whole model %.4f), %.2e away, %llu bytes, %llu in memory\n",
                  what, figures.loss, room->loss, figures.away, (unsigned long long)figures.bytes,
                  (unsigned long long)figures.held);
    return figures;
}

/* F32 bytes of the linear modules of E's layers before anything is done. */
static uint64_t whole_bytes(const room_t *room)
{
    const llm_shape_t *shape = llm_model_shape(room->model);
    uint64_t one = 0;
    for (int m = 0; m < LLM_MODULES; m++) {
        size_t out = 0, in = 0;
        if (!shape->arch->modules[m])
            continue;
        llm_shape_module(shape, (llm_module_t)m, &out, &in);
        one += (uint64_t)out * in;
    }
    return one * sizeof(float) * (room->r - room->l);
}

static void check_quantization(const room_t *room)
{
    uint64_t whole = whole_bytes(room);
    llm_emulator_spec_t spec = spec_of(room, LLM_QUANTIZATION);
    figures_t eight = build(room, &spec, NULL, "quantization, 8 bits");
    spec.bits = 4;
    figures_t four = build(room, &spec, NULL, "quantization, 4 bits");
    spec.group = 16;
    figures_t fine = build(room, &spec, NULL, "4 bits, groups of 16");
    assert_true(eight.away > 0.0 && eight.away < 1e-3);
    assert_true(eight.away * 50.0 < four.away && fine.away < four.away && four.away < 0.1);
    assert_true(eight.loss < room->loss + 0.001 && four.loss < room->loss + 0.02);
    assert_true(eight.bytes < whole / 3 && four.bytes < whole / 6);
    assert_true(eight.held < whole / 3 && four.held < whole / 6);
}

static void check_pruning(const room_t *room)
{
    uint64_t whole = whole_bytes(room);
    llm_emulator_spec_t spec = spec_of(room, LLM_PRUNING);
    spec.prune_ratio = 0.2;
    figures_t some = build(room, &spec, NULL, "pruning, 0.2 of the weights");
    spec.prune_ratio = 0.5;
    figures_t half = build(room, &spec, NULL, "pruning, half the weights");
    spec.structured = true;
    figures_t narrow = build(room, &spec, NULL, "pruning, half the channels");
    spec.prune_ratio = 0.2;
    figures_t less = build(room, &spec, NULL, "pruning, 0.2 of the channels");
    assert_true(some.away * 5.0 < half.away && less.away * 2.0 < narrow.away);
    assert_true(some.loss < room->loss + 0.01 && less.loss < room->loss + 0.05);
    assert_true(half.bytes < whole * 6 / 10);
    assert_true(narrow.bytes < less.bytes && less.bytes < whole * 9 / 10);
    assert_true(narrow.held < less.held && less.held < some.held * 95 / 100);
}

static void check_dropping(const room_t *room)
{
    llm_emulator_spec_t spec = spec_of(room, LLM_DROP_LAYER);
    figures_t half = build(room, &spec, NULL, "drop_layer, 0.5");
    assert_true(half.loss > room->loss + 0.1);
    spec.drop_ratio = 0.0;
    figures_t none = build(room, &spec, NULL, "drop_layer, 0");
    assert_true(none.loss == room->loss && none.away == 0.0);
    assert_true(none.bytes > whole_bytes(room) && half.bytes < none.bytes * 6 / 10);
    assert_true(none.held == 0 && half.held == 0);
    spec.drop_ratio = 0.2;
    figures_t some = build(room, &spec, NULL, "drop_layer, 0.2");
    assert_true(some.away <= half.away);
    llm_align_options_t distil = {
        .sim = LLM_SIM_L2,
        .sim_weight = 1.0,
        .train = {
            .optimizer = {.kind = LLM_ADAMW, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
            .steps = 30,
            .batch_size = 8,
            .shuffle = true,
            .grad_accum = 1,
            .seed = 1}};
    const char *steps = getenv("FEDMQ_DISTIL_STEPS");
    if (steps)
        distil.train.steps = strtoull(steps, NULL, 10);
    spec = spec_of(room, LLM_DISTILLATION);
    figures_t distilled = build(room, &spec, &distil, "distillation, 0.5");
    assert_true(distilled.away < half.away / 2.0 && distilled.loss < half.loss);
}

static void emulators_of_the_quickstarts_model_keep_what_they_should(void **state)
{
    (void)state;
    room_t room;
    room_open(&room, "quickstart", 1, 3);
    check_quantization(&room);
    check_pruning(&room);
    check_dropping(&room);
    room_close(&room);
}

static void emulators_of_a_deeper_model_keep_what_they_should(void **state)
{
    (void)state;
    room_t room;
    room_open(&room, "offsite", 2, 8);
    check_quantization(&room);
    check_pruning(&room);
    check_dropping(&room);
    room_close(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emulators_of_the_quickstarts_model_keep_what_they_should),
        cmocka_unit_test(emulators_of_a_deeper_model_keep_what_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
