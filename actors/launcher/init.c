/*
 * init.c - fedmq init: a model with random weights, for pre-training.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/opening.h"

static const fmq_option_t options[] = {
    FMQ_ROW("config", TEXT, config, "FILE", "config.json of the model to be made"),
    FMQ_ROW("tokenizer", TEXT, tokenizer, "DIR", "folder whose tokenizer files are copied"),
    FMQ_ROW("out", TEXT, out, "DIR", "new model directory"), FMQ_ROW_SEED, FMQ_ROWS_END};

static int make(const fmq_arguments_t *arguments, const llm_shape_t *shape, llm_backend_t *backend,
                fmq_error_t *err)
{
    llm_adapter_spec_t everything = {.kind = LLM_ADAPTER_FULL};
    llm_model_t *model = llm_model_new_random(shape, arguments->seed, backend, err);
    llm_adapter_t *adapter = model ? llm_adapter_new(shape, &everything, err) : NULL;
    float *vector = NULL;
    int result = -1;
    if (!adapter)
        goto done;
    vector = malloc(fmq_schema_elements(llm_adapter_schema(adapter)) * sizeof *vector);
    if (!vector) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the weights");
        goto done;
    }
    if (llm_adapter_init(adapter, model, arguments->seed, vector, err) == 0)
        result = llm_adapter_save(adapter, vector, "", arguments->tokenizer, FMQ_F32,
                                  arguments->out, err);
done:
    free(vector);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    return result;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    llm_shape_t shape;
    (void)words;
    if (!arguments->config || !arguments->out)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --config config.json and --out DIR");
    if (llm_shape_load(&shape, arguments->config, err) < 0)
        return -1;
    llm_backend_t *backend = llm_backend_open("cpu", 1, err);
    int result = backend ? make(arguments, &shape, backend, err) : -1;
    llm_backend_destroy(&backend);
    if (result == 0)
        printf("%s: %llu parameters\n", arguments->out,
               (unsigned long long)llm_shape_parameters(&shape));
    return result;
}

const fmq_command_t fmq_command_init = {
    .name = "init",
    .words = "",
    .summary = "Makes a model directory with random weights, for pre-training",
    .options = options,
    .rule = FMQ_WORDS_NONE,
    .run = run};
