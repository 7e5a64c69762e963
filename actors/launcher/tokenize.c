/*
 * tokenize.c - fedmq tokenize: lines of text to token ids, and back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/workbench.h"

static const fmq_option_t options[] = {
    FMQ_ROW_MODEL, FMQ_ROW("decode", FLAG, decode, NULL, "ids to text"),
    FMQ_ROW("no-special", FLAG, no_special, NULL,
            "do not add special tokens (with --decode: do not print them)"),
    FMQ_ROWS_END};

static int encode_line(const llm_tokenizer_t *tokenizer, const char *line, size_t size,
                       bool special, fmq_error_t *err)
{
    llm_ids_t ids = {0};
    int result = llm_tokenizer_encode(tokenizer, line, size, special, &ids, err);
    for (size_t i = 0; result == 0 && i < ids.size; i++)
        printf("%s%d", i > 0 ? " " : "", ids.ids[i]);
    if (result == 0)
        putchar('\n');
    llm_ids_release(&ids);
    return result;
}

static int decode_line(const llm_tokenizer_t *tokenizer, const char *line, bool skip_special,
                       fmq_error_t *err)
{
    llm_ids_t ids = {0};
    char *text = NULL;
    size_t size = 0;
    int result = fmq_workbench_ids(line, &ids, err);
    if (result == 0)
        text = llm_tokenizer_decode(tokenizer, ids.ids, ids.size, skip_special, &size, err);
    llm_ids_release(&ids);
    if (!text)
        return -1;
    fwrite(text, 1, size, stdout);
    putchar('\n');
    free(text);
    return 0;
}

/* Editors and shells of Windows begin a text with a byte order mark. */
static size_t mark_of(const char *line, size_t size)
{
    return size >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

static int each_line(const fmq_arguments_t *arguments, const llm_tokenizer_t *tokenizer,
                     fmq_error_t *err)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t size = 0;
    int result = 0;
    while (result == 0 && (size = getline(&line, &capacity, stdin)) >= 0) {
        number++;
        if (size > 0 && line[size - 1] == '\n')
            line[--size] = '\0';
        size_t mark = number == 1 ? mark_of(line, (size_t)size) : 0;
        result = arguments->decode ? decode_line(tokenizer, line + mark, arguments->no_special, err)
                                   : encode_line(tokenizer, line + mark, (size_t)size - mark,
                                                 !arguments->no_special, err);
    }
    if (result < 0)
        fmq_error_prefix(err, "line %zu", number);
    else if (ferror(stdin))
        result = fmq_error_set(err, FMQ_ERR_IO, "cannot read standard input: %s", strerror(errno));
    free(line);
    return result;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    (void)words;
    if (!arguments->model)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --model DIR");
    char *directory = llm_hub_resolve(arguments->model, NULL, err);
    llm_tokenizer_t *tokenizer = directory ? llm_tokenizer_open(directory, err) : NULL;
    int result = tokenizer ? each_line(arguments, tokenizer, err) : -1;
    llm_tokenizer_destroy(&tokenizer);
    free(directory);
    return result;
}

const fmq_command_t fmq_command_tokenize = {
    .name = "tokenize",
    .words = "",
    .summary = "Prints the token ids of each line of standard input, or the text of ids",
    .options = options,
    .rule = FMQ_WORDS_NONE,
    .run = run};
