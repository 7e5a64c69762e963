/*
 * types.c - FS-LLM's built-in data sets: which file, which fields, which
 * corrections.  A new set is a new row.
 *
 * Nothing is downloaded: an error says where a file was looked for and which
 * public repository has it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fedmq/base/rng.h"
#include "llm/data/store.h"

#define PATH_BYTES   4096
#define PLACES_BYTES 768

typedef struct {
    const char *name; /* before "@llm" */
    const char *file; /* FS-LLM's name for it below data.root */
    const char *also; /* the name in its repository, below a folder of its own; may be NULL */
    const char *origin;
    llm_record_keys_t keys;
    llm_correction_fn *correct;             /* or NULL */
    llm_correction_fn *correct_by_category; /* instead, under the meta splitter */
} data_type_t;

/* A copy of text with every `from` (not empty) replaced by `to`. */
static char *replaced(const char *text, const char *from, const char *to)
{
    size_t from_size = strlen(from), to_size = strlen(to), count = 0;
    for (const char *at = text; (at = strstr(at, from)); at += from_size)
        count++;
    char *out = malloc(strlen(text) + count * to_size + 1);
    if (!out)
        return NULL;
    char *end = out;
    for (const char *found; (found = strstr(text, from)); text = found + from_size) {
        size_t length = (size_t)(found - text);
        memcpy(end, text, length);
        memcpy(end + length, to, to_size);
        end += length + to_size;
    }
    memcpy(end, text, strlen(text) + 1);
    return out;
}

/* GSM8K marks the result by "####"; the evaluator waits for these words. */
static int correct_gsm8k(llm_record_t *record, char *made[2])
{
    made[0] = replaced(record->output, "####", "The answer is");
    if (!made[0])
        return -1;
    record->output = made[0];
    return 1;
}

/* No-break spaces (U+00A0) in code are noise, as FedBiOT has it. */
static int correct_rosetta(llm_record_t *record, char *made[2])
{
    made[0] = replaced(record->instruction, "\xC2\xA0", "");
    made[1] = replaced(record->output, "\xC2\xA0", "");
    if (!made[0] || !made[1])
        return -1;
    record->instruction = made[0];
    record->output = made[1];
    return 1;
}

/* Nine languages are left for the nine clients of the published experiments. */
static int correct_rosetta_by_category(llm_record_t *record, char *made[2])
{
    if (strcmp(record->category, "X86-64 Assembly") == 0)
        return 0;
    return correct_rosetta(record, made);
}

/* The instruction names the language before the docstring. */
static int correct_code_search(llm_record_t *record, char *made[2])
{
    size_t size = strlen(record->category) + 1 + strlen(record->instruction) + 1;
    made[0] = malloc(size);
    if (!made[0])
        return -1;
    (void)snprintf(made[0], size, "%s %s", record->category, record->instruction);
    record->instruction = made[0];
    return 1;
}

static const data_type_t types[] = {
    {.name = "alpaca",
     .file = "alpaca_data.json",
     .origin = "github.com/tatsu-lab/stanford_alpaca, commit 761dc5b"},
    {.name = "alpaca_cleaned",
     .file = "alpaca_data_cleaned.json",
     .origin = "github.com/gururise/AlpacaDataCleaned, commit a7d6290"},
    {.name = "dolly-15k",
     .file = "databricks-dolly-15k.jsonl",
     .origin = "github.com/databrickslabs/dolly, commit d000e30",
     .keys = {.input = "context", .output = "response"}},
    {.name = "gsm8k",
     .file = "gsm8k_train.jsonl",
     .also = "train.jsonl",
     .origin = "github.com/openai/grade-school-math, commit 3101c7d, where it is "
               "grade_school_math/data/train.jsonl",
     .keys = {.instruction = "question", .output = "answer"},
     .correct = correct_gsm8k},
    {.name = "rosetta_alpaca",
     .file = "rosetta_alpaca.json",
     .origin = "github.com/sahil280114/codealpaca, commit d269da1",
     .keys = {.category = "input"},
     .correct = correct_rosetta,
     .correct_by_category = correct_rosetta_by_category},
};

static const char code_search_name[] = "code_search_net";
static const char code_search_origin[] =
    "CodeSearchNet by Husain and others, github.com/github/CodeSearchNet";
static const struct {
    const char *language;
    unsigned files;
} code_search_files[] = {{"python", 14}, {"javascript", 5}, {"java", 16},
                         {"ruby", 2},    {"php", 18},       {"go", 11}};

const char *llm_records_type_at(size_t index, const char **origin)
{
    size_t size = sizeof types / sizeof *types;
    if (index > size)
        return NULL;
    *origin = index < size ? types[index].origin : code_search_origin;
    return index < size ? types[index].name : code_search_name;
}

/* The places where a file was looked for, for the error. */
typedef struct {
    char text[PLACES_BYTES];
    size_t used;
} places_t;

static void remember_place(places_t *places, const char *path)
{
    int size = snprintf(places->text + places->used, sizeof places->text - places->used, "%s'%s'",
                        places->used ? ", " : "", path);
    if (size > 0) {
        places->used += (size_t)size;
        if (places->used > sizeof places->text - 1)
            places->used = sizeof places->text - 1;
    }
}

/* Fills path with the first of <base> and <base>.gz that can be read. */
static bool find_file(char path[PATH_BYTES], places_t *places, const char *root, const char *folder,
                      const char *file)
{
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < 2; i++) {
        int size = *file == '/' ? snprintf(path, PATH_BYTES, "%s%s", file, endings[i])
                                : snprintf(path, PATH_BYTES, "%s/%s%s%s%s", *root ? root : ".",
                                           folder, *folder ? "/" : "", file, endings[i]);
        if (size < 0 || size >= PATH_BYTES)
            continue;
        if (access(path, R_OK) == 0)
            return true;
        remember_place(places, path);
    }
    return false;
}

/* data.file_path as it was given, or else below data.root. */
static int find_given(char path[PATH_BYTES], const llm_records_source_t *source, fmq_error_t *err)
{
    places_t places = {0};
    if (find_file(path, &places, ".", "", source->file) ||
        find_file(path, &places, source->root, "", source->file))
        return 0;
    return fmq_error_set(err, FMQ_ERR_NOTFOUND, "data.file_path '%s': no file; looked for %s",
                         source->file, places.text);
}

/* The names of a type, but for those that the configuration gives. */
static llm_record_keys_t keys_of(const llm_records_source_t *source, const llm_record_keys_t *own)
{
    llm_record_keys_t keys = own ? *own : (llm_record_keys_t){0};
    const llm_record_keys_t *given = source->keys;
    if (given && given->instruction)
        keys.instruction = given->instruction;
    if (given && given->input)
        keys.input = given->input;
    if (given && given->output)
        keys.output = given->output;
    if (given && given->category)
        keys.category = given->category;
    return keys;
}

static bool find_type(char path[PATH_BYTES], places_t *places, const char *root,
                      const data_type_t *type)
{
    return find_file(path, places, root, "", type->file) ||
           find_file(path, places, root, type->name, type->file) ||
           (type->also && find_file(path, places, root, type->name, type->also));
}

static int load_row(llm_records_t *self, const llm_records_source_t *source,
                    const data_type_t *type, fmq_error_t *err)
{
    char path[PATH_BYTES];
    places_t places = {0};
    llm_correction_fn *correct = type->correct;
    const llm_record_keys_t keys = keys_of(source, &type->keys);
    if (source->by_category && type->correct_by_category)
        correct = type->correct_by_category;
    if (source->file && *source->file)
        return find_given(path, source, err) < 0
                   ? -1
                   : llm_records_load_corrected(self, path, &keys, correct, err);
    if (find_type(path, &places, source->root, type))
        return llm_records_load_corrected(self, path, &keys, correct, err);
    return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                         "data.type '%s': no file; looked for %s; it comes from %s", source->type,
                         places.text, type->origin);
}

/* Moves a random share of `from` behind the records of self. */
static int add_sample(llm_records_t *self, const llm_records_t *from,
                      const llm_records_source_t *source, uint32_t language, fmq_error_t *err)
{
    size_t size = llm_records_size(from);
    uint32_t *order = malloc((size ? size : 1) * sizeof *order);
    if (!order)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot sample %zu records: out of memory", size);
    for (size_t i = 0; i < size; i++)
        order[i] = (uint32_t)i;
    fmq_rng_t rng;
    fmq_rng_init(
        &rng, &(fmq_rng_name_t){.seed = source->seed, .purpose = FMQ_RNG_DATA, .step = language});
    fmq_rng_shuffle(&rng, order, size);
    size_t kept = (size_t)((double)size * source->subsample);
    int result = 0;
    for (size_t i = 0; i < kept && result == 0; i++)
        result = llm_records_add(self, llm_records_at(from, order[i]), err);
    free(order);
    return result;
}

static int load_language(llm_records_t *into, const llm_records_source_t *source, size_t language,
                         fmq_error_t *err)
{
    static const llm_record_keys_t own = {
        .instruction = "docstring", .input = "language", .output = "code", .category = "language"};
    const llm_record_keys_t keys = keys_of(source, &own);
    const char *name = code_search_files[language].language;
    for (unsigned i = 0; i < code_search_files[language].files; i++) {
        char path[PATH_BYTES];
        int size = snprintf(path, sizeof path, "%s/%s/final/jsonl/train/%s_train_%u.jsonl.gz",
                            *source->root ? source->root : ".", name, name, i);
        if (size < 0 || size >= PATH_BYTES)
            return fmq_error_set(err, FMQ_ERR_LIMIT, "data.root '%s' is too long", source->root);
        if (access(path, R_OK) != 0)
            return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                                 "data.type '%s': no file '%s'; the data set is unpacked from the "
                                 "archives named in github.com/github/CodeSearchNet",
                                 source->type, path);
        if (llm_records_load_corrected(into, path, &keys, correct_code_search, err) < 0)
            return -1;
    }
    return 0;
}

static int load_code_search(llm_records_t *self, const llm_records_source_t *source,
                            fmq_error_t *err)
{
    size_t languages = sizeof code_search_files / sizeof *code_search_files;
    for (size_t i = 0; i < languages; i++) {
        llm_records_t *all = llm_records_new();
        if (!all)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read records: out of memory");
        int result = load_language(all, source, i, err);
        if (result == 0)
            result = add_sample(self, all, source, (uint32_t)i, err);
        llm_records_destroy(&all);
        if (result < 0)
            return -1;
    }
    return 0;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && strcasecmp(text + length - tail, ending) == 0;
}

static int load_file(llm_records_t *self, const llm_records_source_t *source, const char *file,
                     bool text, fmq_error_t *err)
{
    char path[PATH_BYTES];
    places_t places = {0};
    bool given = source->file && *source->file;
    if (given && find_given(path, source, err) < 0)
        return -1;
    if (!given && !find_file(path, &places, source->root, "", file))
        return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                             "data.type '%s': no file; looked for %s; put it below data.root or "
                             "give an absolute path",
                             source->type, places.text);
    const llm_record_keys_t keys = keys_of(source, NULL);
    return text ? llm_records_load_text(self, path, err) : llm_records_load(self, path, &keys, err);
}

static int complain_unknown(const char *type, fmq_error_t *err)
{
    char known[PLACES_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s@llm, ", types[i].name);
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "unknown data.type '%s'; known are %s%s@llm, <file>.json@llm, "
                         "<file>.jsonl@llm and <file>.txt@llm",
                         type, known, code_search_name);
}

static int load_named(llm_records_t *self, const llm_records_source_t *source, const char *name,
                      fmq_error_t *err)
{
    if (ends_with(name, ".json") || ends_with(name, ".jsonl"))
        return load_file(self, source, name, false, err);
    if (ends_with(name, ".txt"))
        return load_file(self, source, name, true, err);
    if (strcasecmp(name, code_search_name) == 0)
        return load_code_search(self, source, err);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(name, types[i].name) == 0)
            return load_row(self, source, &types[i], err);
    return complain_unknown(source->type, err);
}

int llm_records_load_source(llm_records_t *self, const llm_records_source_t *source,
                            fmq_error_t *err)
{
    if (!ends_with(source->type, "@llm"))
        return complain_unknown(source->type, err);
    if (!(source->subsample > 0 && source->subsample <= 1))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "data.subsample is %g, expected (0, 1]",
                             source->subsample);
    char name[PATH_BYTES];
    size_t length = strlen(source->type) - strlen("@llm");
    if (length >= sizeof name)
        return complain_unknown("(too long)", err);
    memcpy(name, source->type, length);
    name[length] = '\0';
    size_t before = llm_records_size(self);
    if (load_named(self, source, name, err) < 0) {
        llm_records_truncate(self, before);
        return -1;
    }
    return 0;
}

char *llm_records_locate(const llm_records_source_t *source)
{
    char name[PATH_BYTES], path[PATH_BYTES];
    places_t places = {0};
    const data_type_t *type = NULL;
    int size = snprintf(name, sizeof name, "%s", source->type);
    if (size < 0 || size >= PATH_BYTES || !ends_with(name, "@llm"))
        return NULL;
    name[strlen(name) - strlen("@llm")] = '\0';
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(name, types[i].name) == 0)
            type = &types[i];
    bool known =
        type || ends_with(name, ".json") || ends_with(name, ".jsonl") || ends_with(name, ".txt");
    bool found = false;
    if (source->file && *source->file)
        found = known && find_given(path, source, NULL) == 0;
    else if (type)
        found = find_type(path, &places, source->root, type);
    else
        found = known && find_file(path, &places, source->root, "", name);
    return found ? strdup(path) : NULL;
}

int llm_records_load_type(llm_records_t *self, const char *root, const char *type, fmq_error_t *err)
{
    return llm_records_load_source(
        self, &(llm_records_source_t){.root = root, .type = type, .subsample = 1}, err);
}
