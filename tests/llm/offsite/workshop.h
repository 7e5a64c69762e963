/*
 * workshop.h - a place for tests that make part files: a folder that is
 * removed at the end, public examples, a small model whose weights a test may
 * change.  Every failure in here fails the running test.
 */
#ifndef FEDMQ_TESTS_OFFSITE_WORKSHOP_H
#define FEDMQ_TESTS_OFFSITE_WORKSHOP_H

#include "tests/llm/offsite/small.h"

typedef struct {
    small_t small;
    char folder[64]; /* of part files; made by the emulator */
    llm_dataset_t *data;
    llm_emulator_building_t how;
} workshop_t;

/* A test's change of a tensor; values as stored. */
typedef void(workshop_edit_fn)(const char *name, float *values, uint64_t rows, uint64_t columns);

/* edit may be NULL. */
void workshop_open(workshop_t *self, const char *family, uint32_t layers, workshop_edit_fn *edit);
void workshop_close(workshop_t *self);

/* Files in the folder, and their bytes together. */
size_t workshop_files(const workshop_t *self);
uint64_t workshop_bytes(const workshop_t *self);
/* Sum over files of what changes when one is written again. */
uint64_t workshop_times(const workshop_t *self);

/* Cuts a file in half, as a bad disk might. */
void workshop_cut_one(const workshop_t *self);

/* Some tensor of a layer, "mlp.up_proj.weight", as F32 in its own extents; the
 * caller's. */
float *workshop_read(const llm_model_t *model, uint32_t layer, const char *name, size_t count);

#endif
