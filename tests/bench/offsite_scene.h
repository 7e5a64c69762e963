/*
 * offsite_scene.h - the files that a bench of offsite tuning works on: a model
 * of GPT-2 small's size in LLaMA's form with random weights, and the parts of
 * it that clients get.
 */
#ifndef FEDMQ_TESTS_BENCH_OFFSITE_SCENE_H
#define FEDMQ_TESTS_BENCH_OFFSITE_SCENE_H

#include "fedmq/llm/offsite.h"

#define SCENE_LAYERS    12
#define SCENE_PATH_SIZE 256

/* A federation's geometry: the last `trained` layers are A, `dropout` of the
 * others is dropped. */
typedef struct {
    int trained;
    double dropout;
} scene_geometry_t;

llm_shape_t scene_shape(void);
/* LoRA r = 8 on q_proj and v_proj. */
llm_adapter_spec_t scene_adapter(void);
llm_emulator_spec_t scene_emulator(const scene_geometry_t *geometry);

/* Writes config.json and model.safetensors in dtype to directory. */
void scene_write_model(const char *directory, fmq_dtype_t dtype);
/* Writes the stem and every layer of the model in directory as part files
 * beside it. */
void scene_write_parts(const char *directory);
/* A client's model out of those, as one that has fetched its parts. */
llm_emulator_t *scene_assemble(const char *directory, const scene_geometry_t *geometry,
                               llm_backend_t *be);
void scene_remove(const char *directory);

/* Says what failed and why, and exits. */
void scene_die(const char *what, const fmq_error_t *err);

#endif
