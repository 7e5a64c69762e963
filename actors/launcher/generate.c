/*
 * generate.c - fedmq generate: continues a prompt.
 *
 * The text is taken as it is, unless --instruct puts the prompt of training
 * around it.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/workbench.h"
#include "fedmq/llm/generate.h"
#include "fedmq/llm/records.h"

static const fmq_option_t options[] = {
    FMQ_ROW_MODEL,
    FMQ_ROW_ADAPTER,
    FMQ_ROW("prompt", TEXT, prompt, "TEXT", "what is continued"),
    FMQ_ROW("instruct", FLAG, instruct, NULL, "--prompt is an instruction, asked as in training"),
    FMQ_ROW("input", TEXT, input, "TEXT", "what the instruction is about, with --instruct"),
    FMQ_ROW("prompt-ids", TEXT, prompt_ids, "1,2,3", "the same as token ids"),
    FMQ_ROW("max-new-tokens", COUNT, new_tokens, "N", "at most so many new tokens (32)"),
    FMQ_ROW("temperature", REAL, temperature, "T", "0 (default): the likeliest token each time"),
    FMQ_ROW("top-k", COUNT, top_k, "K", "draw from the K likeliest; 0: from all"),
    FMQ_ROW("top-p", REAL, top_p, "P", "draw from the likeliest that make up P; 1: from all"),
    FMQ_ROW_SEED,
    FMQ_ROW("ids", FLAG, ids, NULL, "print token ids instead of text"),
    FMQ_ROW("no-special", FLAG, no_special, NULL, "do not add special tokens to --prompt"),
    FMQ_ROW_THREADS,
    FMQ_ROW_HALF,
    FMQ_ROW_WEIGHTS,
    FMQ_ROWS_END};

static int read_prompt(const fmq_arguments_t *arguments, const llm_tokenizer_t *tokenizer,
                       llm_ids_t *prompt, fmq_error_t *err)
{
    if ((arguments->prompt != NULL) == (arguments->prompt_ids != NULL))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --prompt TEXT or --prompt-ids 1,2,3");
    if (arguments->input && !arguments->instruct)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--input goes with --instruct");
    if (arguments->prompt_ids && arguments->instruct)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--instruct goes with --prompt TEXT");
    if (arguments->prompt_ids)
        return fmq_workbench_ids(arguments->prompt_ids, prompt, err);
    const llm_record_t asked = {.instruction = arguments->prompt,
                                .input = arguments->input ? arguments->input : ""};
    char *text = arguments->instruct ? llm_prompt_format(&asked, err) : NULL;
    if (arguments->instruct && !text)
        return -1;
    const char *whole = text ? text : arguments->prompt;
    int result =
        llm_tokenizer_encode(tokenizer, whole, strlen(whole), !arguments->no_special, prompt, err);
    free(text);
    return result;
}

/* What ends an answer: the tokenizer knows it all, the model's directory what
 * its configurations name. */
static int read_ends(const fmq_workbench_t *bench, llm_ids_t *ends, fmq_error_t *err)
{
    size_t size = 0;
    if (!bench->engine.tokenizer)
        return llm_ends_load(llm_model_directory(bench->engine.model), ends, err);
    const int32_t *ids = llm_tokenizer_ends(bench->engine.tokenizer, &size);
    for (size_t i = 0; i < size; i++)
        if (llm_ids_append(ends, ids[i], err) < 0)
            return -1;
    return 0;
}

static int read_sampling(const fmq_arguments_t *arguments, const llm_ids_t *ends,
                         llm_sampling_t *how, fmq_error_t *err)
{
    if (arguments->temperature < 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--temperature is %g, it must be 0 or more",
                             arguments->temperature);
    if (!(arguments->top_p > 0 && arguments->top_p <= 1))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--top-p is %g, it must lie in (0, 1]",
                             arguments->top_p);
    *how = (llm_sampling_t){.new_tokens_max = (size_t)arguments->new_tokens,
                            .temperature = arguments->temperature,
                            .top_k = arguments->top_k > UINT32_MAX ? UINT32_MAX
                                                                   : (uint32_t)arguments->top_k,
                            .top_p = arguments->top_p,
                            .seed = arguments->seed,
                            .ends = ends->ids,
                            .ends_size = ends->size};
    return 0;
}

static int print_ids(const llm_ids_t *ids)
{
    for (size_t i = 0; i < ids->size; i++)
        printf("%s%d", i > 0 ? " " : "", ids->ids[i]);
    putchar('\n');
    return 0;
}

static int print_text(const llm_tokenizer_t *tokenizer, const llm_ids_t *ids, fmq_error_t *err)
{
    size_t size = 0;
    char *text = llm_tokenizer_decode(tokenizer, ids->ids, ids->size, true, &size, err);
    if (!text)
        return -1;
    fwrite(text, 1, size, stdout);
    putchar('\n');
    free(text);
    return 0;
}

/* The context that prompt and answer need, at most the model's own. */
static size_t context_for(const fmq_workbench_t *bench, const llm_ids_t *prompt,
                          const llm_sampling_t *how)
{
    size_t own = llm_adapter_reach(bench->engine.adapter);
    if (prompt->size >= own || how->new_tokens_max > own - prompt->size)
        return own;
    return prompt->size + how->new_tokens_max;
}

static int generate(const fmq_arguments_t *arguments, const fmq_workbench_t *bench,
                    fmq_error_t *err)
{
    llm_ids_t prompt = {0}, answer = {0}, ends = {0};
    llm_generator_t *generator = NULL;
    llm_sampling_t how;
    int result = -1;
    if (read_prompt(arguments, bench->engine.tokenizer, &prompt, err) < 0 ||
        read_ends(bench, &ends, err) < 0 || read_sampling(arguments, &ends, &how, err) < 0)
        goto done;
    generator = llm_generator_new(bench->engine.model, bench->engine.adapter,
                                  context_for(bench, &prompt, &how), bench->engine.loader, err);
    if (!generator ||
        (bench->vector && llm_generator_set_params(generator, bench->vector, err) < 0))
        goto done;
    result = llm_generator_run(generator, prompt.ids, prompt.size, &how, &answer, err);
    if (result == 0)
        result =
            arguments->ids ? print_ids(&answer) : print_text(bench->engine.tokenizer, &answer, err);
done:
    llm_generator_destroy(&generator);
    llm_ids_release(&prompt);
    llm_ids_release(&answer);
    llm_ids_release(&ends);
    return result;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_workbench_t bench;
    /* Ids in and ids out: nothing is left for a tokenizer to do. */
    bool tokenizer = !(arguments->prompt_ids && arguments->ids);
    (void)words;
    if (fmq_workbench_open(&bench, arguments, tokenizer, err) < 0)
        return -1;
    int result = generate(arguments, &bench, err);
    fmq_workbench_close(&bench);
    return result;
}

const fmq_command_t fmq_command_generate = {.name = "generate",
                                            .words = "",
                                            .summary = "Continues a prompt",
                                            .options = options,
                                            .rule = FMQ_WORDS_NONE,
                                            .run = run};
