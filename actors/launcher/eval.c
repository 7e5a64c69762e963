/*
 * eval.c - fedmq eval: how well a model answers a file of records.
 *
 * Average loss over supervised tokens, perplexity, and on request the share of
 * answers that are exactly right.  No federation takes part.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "actors/launcher/workbench.h"
#include "fedmq/llm/generate.h"
#include "fedmq/llm/train.h"

#define TOK_LEN_DEFAULT    1024
#define BATCH_SIZE_DEFAULT 8

static const fmq_option_t options[] = {
    FMQ_ROW_MODEL,
    FMQ_ROW_ADAPTER,
    FMQ_ROW("data", TEXT, data, "FILE", "records: .json, .jsonl, .txt, packed with gzip or not"),
    FMQ_ROW("type", TEXT, name, "TYPE", "the file's fields are those of a data.type"),
    FMQ_ROW("fields", TEXT, fields, "NAMES",
            "other names of fields, such as \"instruction=question, output=answers.0\""),
    FMQ_ROW("tok-len", COUNT, tok_len, "N",
            "longest example in tokens (the model's, at most 1024)"),
    FMQ_ROW("batch-size", COUNT, batch_size, "N", "examples of a batch (8)"),
    FMQ_ROW("match", COUNT, match, "N", "also answer with up to N tokens, count exact matches"),
    FMQ_ROW_THREADS,
    FMQ_ROW_HALF,
    FMQ_ROW_WEIGHTS,
    FMQ_ROW_JSON,
    FMQ_ROWS_END};

typedef struct {
    size_t records, examples, tok_len;
    llm_fit_t fit;
    llm_eval_stats_t loss;
    bool matched;
    uint64_t exact, total;
} findings_t;

/* 0 with err when more is asked for than the model takes at once. */
static size_t tok_len(const fmq_arguments_t *arguments, const fmq_workbench_t *bench,
                      fmq_error_t *err)
{
    size_t own = llm_adapter_reach(bench->engine.adapter);
    if (arguments->tok_len <= own)
        return arguments->tok_len      ? (size_t)arguments->tok_len
               : own < TOK_LEN_DEFAULT ? own
                                       : TOK_LEN_DEFAULT;
    fmq_error_set(err, FMQ_ERR_CONFIG,
                  "--tok-len is %llu, but the model takes at most %zu (its context)",
                  (unsigned long long)arguments->tok_len, own);
    return 0;
}

static int measure_loss(const fmq_arguments_t *arguments, const fmq_workbench_t *bench,
                        const llm_dataset_t *dataset, llm_eval_stats_t *out, fmq_error_t *err)
{
    uint32_t batch = arguments->batch_size ? (uint32_t)arguments->batch_size : BATCH_SIZE_DEFAULT;
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(dataset, batch),
                           .sequences_max = batch};
    llm_workspace_t *workspace = llm_workspace_new(bench->engine.model, bench->engine.adapter,
                                                   &limits, bench->engine.loader, err);
    int result = workspace ? 0 : -1;
    if (result == 0 && bench->vector)
        result = llm_workspace_set_params(workspace, bench->vector, err);
    if (result == 0)
        result = llm_evaluate_loss(workspace, dataset, batch, NULL, NULL, out, err);
    llm_workspace_destroy(&workspace);
    return result;
}

static int measure_match(const fmq_arguments_t *arguments, const fmq_workbench_t *bench,
                         const llm_records_t *records, findings_t *out, fmq_error_t *err)
{
    llm_generator_t *generator =
        llm_generator_new(bench->engine.model, bench->engine.adapter,
                          llm_adapter_reach(bench->engine.adapter), bench->engine.loader, err);
    int result = generator ? 0 : -1;
    if (result == 0 && bench->vector)
        result = llm_generator_set_params(generator, bench->vector, err);
    llm_part_t part = {0};
    if (result == 0)
        result = llm_records_answered(records, &part, err);
    if (result == 0)
        result =
            llm_evaluate_match(generator, bench->engine.tokenizer, records, &part,
                               (size_t)arguments->match, NULL, NULL, &out->exact, &out->total, err);
    llm_part_release(&part);
    out->matched = true;
    llm_generator_destroy(&generator);
    return result;
}

static int measure(const fmq_arguments_t *arguments, const fmq_workbench_t *bench,
                   const llm_records_t *records, findings_t *out, fmq_error_t *err)
{
    out->tok_len = tok_len(arguments, bench, err);
    llm_dataset_t *dataset =
        out->tok_len > 0
            ? llm_dataset_new(records, NULL, bench->engine.tokenizer, out->tok_len, err)
            : NULL;
    if (!dataset)
        return -1;
    out->records = llm_records_size(records);
    out->examples = llm_dataset_size(dataset);
    out->fit = llm_dataset_fit(dataset);
    int result = -1;
    if (out->examples == 0) {
        (void)llm_fit_refuse(&out->fit, "records", "--tok-len", out->tok_len, err);
        fmq_error_prefix(err, "'%s'", arguments->data);
    } else
        result = measure_loss(arguments, bench, dataset, &out->loss, err);
    llm_dataset_destroy(&dataset);
    if (result == 0 && arguments->match > 0)
        result = measure_match(arguments, bench, records, out, err);
    return result;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void print_json(const findings_t *found)
{
    json_t *object = json_object();
    json_object_set_new(object, "records", json_integer((json_int_t)found->records));
    json_object_set_new(object, "examples", json_integer((json_int_t)found->examples));
    const llm_fit_t *fit = &found->fit;
    json_object_set_new(object, "dropped",
                        json_integer((json_int_t)(fit->unanswered + fit->too_long)));
    json_object_set_new(object, "unanswered", json_integer((json_int_t)fit->unanswered));
    json_object_set_new(object, "too_long", json_integer((json_int_t)fit->too_long));
    json_object_set_new(object, "cut", json_integer((json_int_t)fit->cut));
    json_object_set_new(object, "tokens", json_integer((json_int_t)found->loss.supervised));
    json_object_set_new(object, "loss", number(found->loss.token_loss));
    json_object_set_new(object, "perplexity", number(exp(found->loss.token_loss)));
    json_object_set_new(object, "avg_loss", number(found->loss.loss_avg));
    if (found->matched) {
        json_object_set_new(object, "exact", json_integer((json_int_t)found->exact));
        json_object_set_new(object, "answered", json_integer((json_int_t)found->total));
        json_object_set_new(
            object, "exact_match",
            number(found->total ? (double)found->exact / (double)found->total : NAN));
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static void print_text(const findings_t *found)
{
    char misfits[LLM_FIT_TEXT_BYTES];
    llm_fit_text(&found->fit, "--tok-len", found->tok_len, misfits);
    printf("examples     %zu", found->examples);
    if (*misfits)
        printf(" (%s)", misfits);
    printf("\ntokens       %llu\nloss         %.6f\nperplexity   %.4f\n",
           (unsigned long long)found->loss.supervised, found->loss.token_loss,
           exp(found->loss.token_loss));
    if (found->matched)
        printf("exact match  %.4f (%llu of %llu)\n",
               found->total ? (double)found->exact / (double)found->total : 0,
               (unsigned long long)found->exact, (unsigned long long)found->total);
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_workbench_t bench;
    findings_t found = {0};
    (void)words;
    if (!arguments->data)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --data FILE");
    if (arguments->batch_size > UINT16_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--batch-size is %llu, at most %d",
                             (unsigned long long)arguments->batch_size, UINT16_MAX);
    if (fmq_workbench_open(&bench, arguments, true, err) < 0)
        return -1;
    llm_records_t *records = fmq_opening_file(arguments->data, arguments->name,
                                              arguments->fields ? arguments->fields : "", err);
    int result = records ? measure(arguments, &bench, records, &found, err) : -1;
    if (result == 0 && arguments->json)
        print_json(&found);
    else if (result == 0)
        print_text(&found);
    llm_records_destroy(&records);
    fmq_workbench_close(&bench);
    return result;
}

const fmq_command_t fmq_command_eval = {
    .name = "eval",
    .words = "",
    .summary = "Measures the loss, and on request exact answers, on a file of records",
    .options = options,
    .rule = FMQ_WORDS_NONE,
    .run = run};
