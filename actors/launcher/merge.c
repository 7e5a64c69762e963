/*
 * merge.c - fedmq merge: a model with an adapter merged into its weights, for
 * programs that know nothing of adapters.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "actors/launcher/workbench.h"

static const fmq_option_t options[] = {
    FMQ_ROW_MODEL, FMQ_ROW_ADAPTER, FMQ_ROW("out", TEXT, out, "DIR", "new model directory"),
    FMQ_ROW("dtype", TEXT, dtype, "TYPE", "of the weights written: f32 (default), f16 or bf16"),
    FMQ_ROWS_END};

static int choose_dtype(const char *word, fmq_dtype_t *out, fmq_error_t *err)
{
    static const struct {
        const char *word;
        fmq_dtype_t dtype;
    } known[] = {{"f32", FMQ_F32}, {"f16", FMQ_F16}, {"bf16", FMQ_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (word && strcmp(word, known[i].word) != 0)
            continue;
        *out = known[i].dtype;
        return 0;
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG, "--dtype is '%.40s'; f32, f16 and bf16 are possible",
                         word);
}

/* A model that is there already may be the one that is read. */
static int check_place(const char *directory, fmq_error_t *err)
{
    char path[4096];
    struct stat status;
    if (snprintf(path, sizeof path, "%s/config.json", directory) >= (int)sizeof path)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the path of --out is too long");
    if (stat(path, &status) == 0)
        return fmq_error_set(err, FMQ_ERR_IO,
                             "'%s' holds a model already; give --out a new directory", directory);
    return 0;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_workbench_t bench;
    fmq_dtype_t dtype = FMQ_F32;
    (void)words;
    if (!arguments->model || !arguments->adapter || !arguments->out)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --model DIR, --adapter DIR and --out DIR");
    if (choose_dtype(arguments->dtype, &dtype, err) < 0 || check_place(arguments->out, err) < 0 ||
        fmq_workbench_open(&bench, arguments, false, err) < 0)
        return -1;
    const llm_model_t *model = bench.engine.model;
    const llm_merge_t merge = {bench.engine.adapter, bench.vector};
    int result =
        llm_model_export(model, &merge, 1, llm_model_directory(model), dtype, arguments->out, err);
    if (result == 0)
        printf("%s: %llu parameters\n", arguments->out,
               (unsigned long long)llm_shape_parameters(llm_model_shape(model)));
    fmq_workbench_close(&bench);
    return result;
}

const fmq_command_t fmq_command_merge = {
    .name = "merge",
    .words = "",
    .summary = "Writes a model with an adapter merged into its weights",
    .options = options,
    .rule = FMQ_WORDS_NONE,
    .run = run};
