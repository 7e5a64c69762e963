/*
 * strategy.h - how E's layers are made when they are not the teacher's own:
 * as part files, which compose loads and which travel as they are.
 *
 * A file's name says from which inputs it was made (digests of the teacher, of
 * the data where that was looked at, and every number of the spec that
 * matters), so that a file that is there is the file that would be made.
 * Private to this folder.
 */
#ifndef FEDMQ_LLM_OFFSITE_STRATEGY_H
#define FEDMQ_LLM_OFFSITE_STRATEGY_H

#include "llm/offsite/structure.h"

/* Everything is borrowed. */
typedef struct {
    const llm_model_t *teacher;
    const llm_emulator_spec_t *spec;
    const llm_emulator_building_t *how;
    const llm_structure_t *structure;
} llm_making_t;

/* How many layers E has. */
uint32_t llm_making_layers(const llm_making_t *self);
void llm_making_paths_destroy(char ***paths_p, uint32_t count);

/* "drop_layer", ... */
const char *llm_making_strategy(const llm_emulator_spec_t *spec);

/* The layer of the teacher that E's layer i stands for. */
uint32_t llm_making_source(const llm_making_t *self, uint32_t i);

/* Tells the caller of the building that E's layer i is done; FMQ_ERR_STOPPED
 * when it wants no more. */
int llm_making_progress(const llm_making_t *self, uint32_t i, fmq_error_t *err);

/* Is there a readable part file? */
bool llm_making_has(const char *path);

/* Makes E's layers one by one, those that are missing; tells of progress. */
typedef int(llm_make_layer_fn)(const llm_making_t *self, uint32_t i, const char *path,
                               fmq_error_t *err);
int llm_making_each(const llm_making_t *self, char *const *paths, llm_make_layer_fn *make,
                    fmq_error_t *err);

/* What E's layer i is made from. */
fmq_digest_t llm_making_key(const llm_making_t *self, uint32_t i, const fmq_digest_t *common);
/* The part of it that is the same for all layers. */
fmq_digest_t llm_making_key_common(const llm_making_t *self);

/* The strategies: each writes those of the paths that are missing. */
int llm_make_pruned(const llm_making_t *self, char *const *paths, fmq_error_t *err);
int llm_make_narrowed(const llm_making_t *self, char *const *paths, fmq_error_t *err);
int llm_make_quantized(const llm_making_t *self, char *const *paths, fmq_error_t *err);
int llm_make_distilled(const llm_making_t *self, char *const *paths, fmq_error_t *err);

#endif
