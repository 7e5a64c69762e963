/*
 * components.c - the normalizer, pre-tokenizer, decoder and post-processor of
 * a tokenizer.json, each type built or refused by its name.
 */
#include <string.h>

#include "llm/hub/json.h"
#include "llm/tokenizer/loader.h"
#include "llm/tokenizer/oniguruma.h"

/* One type of component: its name in the file and who reads it. */
typedef struct {
    const char *type;
    int (*read)(llm_tokenizer_t *self, llm_json_reader_t *reader);
} reader_t;

typedef struct {
    const char *what;        /* "normalizer" */
    const char *children;    /* key of a Sequence's list */
    const reader_t *readers; /* up to a NULL type */
} family_t;

static int read_component(llm_tokenizer_t *self, const family_t *family, const json_t *value,
                          fmq_error_t *err);

static int read_children(llm_tokenizer_t *self, const family_t *family, const json_t *list,
                         fmq_error_t *err)
{
    size_t index;
    json_t *child;
    if (!json_is_array(list))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "%s 'Sequence' has no '%s'", family->what,
                             family->children);
    json_array_foreach(list, index, child)
    {
        if (read_component(self, family, child, err) < 0)
            return -1;
    }
    return 0;
}

static int read_component(llm_tokenizer_t *self, const family_t *family, const json_t *value,
                          fmq_error_t *err)
{
    if (!value || json_is_null(value))
        return 0;
    if (self->normalizer.size + self->pre_tokenizer.size + self->decoders.size >
        LLM_TOKENIZER_STEPS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the tokenizer has more than %d steps",
                             LLM_TOKENIZER_STEPS_MAX);
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!type)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "a %s has no 'type'", family->what);
    if (strcmp(type, "Sequence") == 0)
        return read_children(self, family, json_object_get(value, family->children), err);
    for (const reader_t *reader = family->readers; reader->type; reader++) {
        if (strcmp(reader->type, type) != 0)
            continue;
        llm_json_reader_t keys = {.object = value, .path = type, .err = err};
        int status = reader->read(self, &keys);
        return status < 0 || keys.failed ? -1 : 0;
    }
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s '%.100s' is not supported", family->what,
                         type);
}

/* A text that must be there and not be empty. */
static llm_slice_t text_of(llm_json_reader_t *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);
    llm_slice_t text = llm_tokenizer_slice(value);
    if (!json_is_string(value) || text.size == 0)
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a text", key);
    return text;
}

/* {"String": ...} or {"Regex": ...} */
static int read_pattern(llm_json_reader_t *reader, llm_pattern_t *pattern)
{
    const json_t *value = json_object_get(reader->object, "pattern");
    const json_t *literal = json_object_get(value, "String");
    const json_t *expression = json_object_get(value, "Regex");
    llm_slice_t text = llm_tokenizer_slice(literal ? literal : expression);
    if (json_is_string(literal))
        return llm_pattern_literal(pattern, text.data, text.size, reader->err);
    if (json_is_string(expression))
        return llm_pattern_expression(pattern, text.data, text.size, reader->err);
    llm_json_fail(reader, FMQ_ERR_FORMAT, "'pattern' must have a 'String' or a 'Regex'");
    return -1;
}

static int fill_replace(llm_step_t *step, llm_json_reader_t *reader)
{
    const json_t *content = json_object_get(reader->object, "content");
    llm_slice_t text = llm_tokenizer_slice(content);
    if (!json_is_string(content)) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'content' must be a text");
        return -1;
    }
    if (read_pattern(reader, &step->pattern) < 0)
        return -1;
    return llm_text_append(&step->content, text.data, text.size, reader->err);
}

/* Normalizers. */

static int read_replace(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_step_t *step = llm_steps_add(&self->normalizer, LLM_STEP_REPLACE, reader->err);
    return step ? fill_replace(step, reader) : -1;
}

static int read_prepend(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_slice_t text = text_of(reader, "prepend");
    llm_step_t *step = llm_steps_add(&self->normalizer, LLM_STEP_PREFIX, reader->err);
    return step ? llm_text_append(&step->content, text.data, text.size, reader->err) : -1;
}

/* A step that is complete. */
static int add_unicode(llm_tokenizer_t *self, llm_unicode_t unicode, llm_json_reader_t *reader)
{
    llm_step_t *step = llm_steps_add(&self->normalizer, LLM_STEP_UNICODE, reader->err);
    if (!step)
        return -1;
    step->unicode = unicode;
    return 0;
}

static int read_form(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    static const char *const names[] = {
        [LLM_NFC] = "NFC", [LLM_NFD] = "NFD", [LLM_NFKC] = "NFKC", [LLM_NFKD] = "NFKD"};
    llm_unicode_t unicode = {.kind = LLM_UNICODE_FORM};
    for (int form = LLM_NFC; form <= LLM_NFKD; form++)
        if (strcmp(names[form], reader->path) == 0)
            unicode.form = (llm_form_t)form;
    return add_unicode(self, unicode, reader);
}

static int read_lower(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return add_unicode(self, (llm_unicode_t){.kind = LLM_UNICODE_LOWER}, reader);
}

static int read_marks(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return add_unicode(self, (llm_unicode_t){.kind = LLM_UNICODE_DROP_MARKS}, reader);
}

static int read_strip(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_unicode_t unicode = {.kind = LLM_UNICODE_STRIP,
                             .left = llm_json_bool(reader, "strip_left", true),
                             .right = llm_json_bool(reader, "strip_right", true)};
    return add_unicode(self, unicode, reader);
}

/* strip_accents is that of lowercase where it is null. */
static int read_bert(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    bool lower = llm_json_bool(reader, "lowercase", true);
    const json_t *strips = json_object_get(reader->object, "strip_accents");
    bool accents = json_is_boolean(strips) ? json_is_true(strips) : lower;
    const struct {
        bool wanted;
        llm_unicode_t unicode;
    } steps[] = {
        {llm_json_bool(reader, "clean_text", true), {.kind = LLM_UNICODE_CLEAN}},
        {llm_json_bool(reader, "handle_chinese_chars", true), {.kind = LLM_UNICODE_IDEOGRAPHS}},
        {accents, {.kind = LLM_UNICODE_FORM, .form = LLM_NFD}},
        {accents, {.kind = LLM_UNICODE_DROP_ACCENTS}},
        {lower, {.kind = LLM_UNICODE_LOWER}},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i].wanted && add_unicode(self, steps[i].unicode, reader) < 0)
            return -1;
    return 0;
}

int llm_tokenizer_read_normalizer(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err)
{
    static const reader_t readers[] = {{"Replace", read_replace},
                                       {"Prepend", read_prepend},
                                       {"NFC", read_form},
                                       {"NFD", read_form},
                                       {"NFKC", read_form},
                                       {"NFKD", read_form},
                                       {"Lowercase", read_lower},
                                       {"StripAccents", read_marks},
                                       {"Strip", read_strip},
                                       {"BertNormalizer", read_bert},
                                       {NULL, NULL}};
    static const family_t family = {"normalizer", "normalizers", readers};
    return read_component(self, &family, value, err);
}

/* Pre-tokenizers. */

static int add_split(llm_tokenizer_t *self, const char *expression, llm_split_t behavior,
                     fmq_error_t *err)
{
    llm_step_t *step = llm_steps_add(&self->pre_tokenizer, LLM_STEP_SPLIT, err);
    if (!step)
        return -1;
    step->split = behavior;
    return llm_pattern_expression(&step->pattern, expression, strlen(expression), err);
}

static int add_prefix(llm_tokenizer_t *self, llm_slice_t content, bool if_first, fmq_error_t *err)
{
    llm_step_t *step = llm_steps_add(&self->pre_tokenizer, LLM_STEP_PREFIX, err);
    if (!step)
        return -1;
    step->if_absent = true;
    step->if_first = if_first;
    return llm_text_append(&step->content, content.data, content.size, err);
}

int llm_tokenizer_add_byte_level(llm_tokenizer_t *self, bool prefix_space, bool splits,
                                 fmq_error_t *err)
{
    static const char expression[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                                     " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    if (prefix_space && add_prefix(self, (llm_slice_t){" ", 1}, false, err) < 0)
        return -1;
    if (splits && add_split(self, expression, LLM_SPLIT_ISOLATED, err) < 0)
        return -1;
    return llm_steps_add(&self->pre_tokenizer, LLM_STEP_BYTES, err) ? 0 : -1;
}

static int read_byte_level(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    bool prefix_space = llm_json_bool(reader, "add_prefix_space", true);
    bool splits = llm_json_bool(reader, "use_regex", true);
    return llm_tokenizer_add_byte_level(self, prefix_space, splits, reader->err);
}

static llm_split_t read_behavior(llm_json_reader_t *reader, const char *absent)
{
    static const char *const names[] = {[LLM_SPLIT_ISOLATED] = "Isolated",
                                        [LLM_SPLIT_REMOVED] = "Removed",
                                        [LLM_SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [LLM_SPLIT_WITH_NEXT] = "MergedWithNext",
                                        [LLM_SPLIT_CONTIGUOUS] = "Contiguous"};
    const char *name = llm_json_string(reader, "behavior", absent);
    for (int i = 0; i <= LLM_SPLIT_CONTIGUOUS; i++)
        if (strcmp(names[i], name) == 0)
            return (llm_split_t)i;
    llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'behavior' '%.100s' is not known", name);
    return LLM_SPLIT_ISOLATED;
}

static int read_split(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_step_t *step = llm_steps_add(&self->pre_tokenizer, LLM_STEP_SPLIT, reader->err);
    if (!step)
        return -1;
    step->split = read_behavior(reader, "");
    step->invert = llm_json_bool(reader, "invert", false);
    return read_pattern(reader, &step->pattern);
}

static int read_digits(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    bool individual = llm_json_bool(reader, "individual_digits", false);
    return add_split(self, "\\p{N}", individual ? LLM_SPLIT_ISOLATED : LLM_SPLIT_CONTIGUOUS,
                     reader->err);
}

static int read_punctuation(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    /* Rust's is_ascii_punctuation() takes in these symbols too. */
    return add_split(self, "[\\p{P}$+<=>^`|~]", read_behavior(reader, "Isolated"), reader->err);
}

static int read_whitespace_split(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return add_split(self, "\\s", LLM_SPLIT_REMOVED, reader->err);
}

static int read_whitespace(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    if (add_split(self, "[" LLM_RUST_WORD "]+|[^" LLM_RUST_WORD "\\s]+", LLM_SPLIT_REMOVED,
                  reader->err) < 0)
        return -1;
    self->pre_tokenizer.steps[self->pre_tokenizer.size - 1].invert = true;
    return 0;
}

static int read_bert_splits(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return read_whitespace_split(self, reader) < 0
               ? -1
               : add_split(self, "[\\p{P}$+<=>^`|~]", LLM_SPLIT_ISOLATED, reader->err);
}

static int read_delimiter(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_slice_t text = text_of(reader, "delimiter");
    llm_step_t *step = llm_steps_add(&self->pre_tokenizer, LLM_STEP_SPLIT, reader->err);
    if (!step || reader->failed)
        return -1;
    step->split = LLM_SPLIT_REMOVED;
    return llm_pattern_literal(&step->pattern, text.data, text.size, reader->err);
}

/* "always", "first" or "never"; older files have add_prefix_space instead. */
static const char *read_scheme(llm_json_reader_t *reader)
{
    const char *scheme = llm_json_string(reader, "prepend_scheme", "always");
    if (!llm_json_bool(reader, "add_prefix_space", true))
        scheme = "never";
    if (strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0 &&
        strcmp(scheme, "never") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'prepend_scheme' '%.100s' is not known",
                      scheme);
    return scheme;
}

static int read_metaspace(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_slice_t mark = text_of(reader, "replacement");
    const char *scheme = read_scheme(reader);
    bool splits = llm_json_bool(reader, "split", true);
    fmq_error_t *err = reader->err;
    if (reader->failed)
        return -1;
    llm_step_t *replace = llm_steps_add(&self->pre_tokenizer, LLM_STEP_REPLACE, err);
    if (!replace || llm_pattern_literal(&replace->pattern, " ", 1, err) < 0 ||
        llm_text_append(&replace->content, mark.data, mark.size, err) < 0)
        return -1;
    if (strcmp(scheme, "never") != 0 &&
        add_prefix(self, mark, strcmp(scheme, "first") == 0, err) < 0)
        return -1;
    if (!splits)
        return 0;
    llm_step_t *split = llm_steps_add(&self->pre_tokenizer, LLM_STEP_SPLIT, err);
    if (!split)
        return -1;
    split->split = LLM_SPLIT_WITH_NEXT;
    return llm_pattern_literal(&split->pattern, mark.data, mark.size, err);
}

int llm_tokenizer_read_pre_tokenizer(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err)
{
    static const reader_t readers[] = {{"ByteLevel", read_byte_level},
                                       {"Split", read_split},
                                       {"Digits", read_digits},
                                       {"Punctuation", read_punctuation},
                                       {"Metaspace", read_metaspace},
                                       {"Whitespace", read_whitespace},
                                       {"WhitespaceSplit", read_whitespace_split},
                                       {"BertPreTokenizer", read_bert_splits},
                                       {"CharDelimiterSplit", read_delimiter},
                                       {NULL, NULL}};
    static const family_t family = {"pre_tokenizer", "pretokenizers", readers};
    return read_component(self, &family, value, err);
}

/* Decoders. */

static int decode_bytes(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return llm_decoders_add(&self->decoders, LLM_DECODER_BYTE_LEVEL, reader->err) ? 0 : -1;
}

static int decode_fallback(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return llm_decoders_add(&self->decoders, LLM_DECODER_BYTE_FALLBACK, reader->err) ? 0 : -1;
}

static int decode_fuse(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    return llm_decoders_add(&self->decoders, LLM_DECODER_FUSE, reader->err) ? 0 : -1;
}

static int decode_replace(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_decoder_t *decoder = llm_decoders_add(&self->decoders, LLM_DECODER_REPLACE, reader->err);
    return decoder ? fill_replace(&decoder->replace, reader) : -1;
}

static int decode_strip(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_decoder_t *decoder = llm_decoders_add(&self->decoders, LLM_DECODER_STRIP, reader->err);
    if (!decoder)
        return -1;
    llm_slice_t text = text_of(reader, "content");
    decoder->start = (size_t)llm_json_integer(reader, "start", 0, INT32_MAX);
    decoder->stop = (size_t)llm_json_integer(reader, "stop", 0, INT32_MAX);
    return llm_text_append(&decoder->content, text.data, text.size, reader->err);
}

static int decode_metaspace(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_decoder_t *decoder = llm_decoders_add(&self->decoders, LLM_DECODER_METASPACE, reader->err);
    if (!decoder)
        return -1;
    llm_slice_t mark = text_of(reader, "replacement");
    decoder->keep_first = strcmp(read_scheme(reader), "never") == 0;
    return llm_text_append(&decoder->content, mark.data, mark.size, reader->err);
}

int llm_tokenizer_read_decoder(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err)
{
    static const reader_t readers[] = {{"ByteLevel", decode_bytes},
                                       {"ByteFallback", decode_fallback},
                                       {"Fuse", decode_fuse},
                                       {"Replace", decode_replace},
                                       {"Strip", decode_strip},
                                       {"Metaspace", decode_metaspace},
                                       {NULL, NULL}};
    static const family_t family = {"decoder", "decoders", readers};
    self->joins_by_space = !value || json_is_null(value);
    return read_component(self, &family, value, err);
}

/* Post-processors: only what they add before and behind one text matters. */

static int post_nothing(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    (void)self;
    (void)reader;
    return 0;
}

/* Appends the ids of one special token of a template. */
static int add_special(llm_ids_t *ids, llm_json_reader_t *reader, const char *name)
{
    const json_t *table = json_object_get(reader->object, "special_tokens");
    const json_t *list = json_object_get(json_object_get(table, name ? name : ""), "ids");
    size_t index;
    json_t *value;
    if (json_array_size(list) == 0)
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'special_tokens' has no ids for '%.100s'",
                      name ? name : "");
    json_array_foreach(list, index, value)
    {
        uint64_t id;
        if (!llm_json_whole(value, &id) || id > INT32_MAX)
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'special_tokens' has a bad id");
        else if (llm_ids_append(ids, (int32_t)id, reader->err) < 0)
            return -1;
    }
    return 0;
}

/* Puts a template around what earlier processors already put around the text. */
static int wrap(llm_tokenizer_t *self, llm_ids_t *before, const llm_ids_t *behind, fmq_error_t *err)
{
    for (size_t i = 0; i < self->before.size; i++)
        if (llm_ids_append(before, self->before.ids[i], err) < 0)
            return -1;
    for (size_t i = 0; i < behind->size; i++)
        if (llm_ids_append(&self->behind, behind->ids[i], err) < 0)
            return -1;
    llm_ids_t old = self->before;
    self->before = *before;
    *before = old;
    return 0;
}

static int post_template(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_ids_t before = {0}, behind = {0};
    size_t index;
    json_t *entry;
    bool seen = false; /* the text itself */
    int status = 0;
    json_array_foreach(json_object_get(reader->object, "single"), index, entry)
    {
        const json_t *special = json_object_get(entry, "SpecialToken");
        const char *sequence =
            json_string_value(json_object_get(json_object_get(entry, "Sequence"), "id"));
        if (special && status == 0)
            status = add_special(seen ? &behind : &before, reader,
                                 json_string_value(json_object_get(special, "id")));
        else if (!special && (seen || !sequence || strcmp(sequence, "A") != 0))
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'single' must hold the text 'A' once");
        seen = seen || !special;
    }
    if (!seen)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'single' does not hold the text");
    if (status == 0 && !reader->failed)
        status = wrap(self, &before, &behind, reader->err);
    llm_ids_release(&before);
    llm_ids_release(&behind);
    return status;
}

/* [text, id] of BERT's and RoBERTa's. */
static int add_mark(llm_ids_t *ids, llm_json_reader_t *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);
    uint64_t id;
    if (json_array_size(value) != 2 || !llm_json_whole(json_array_get(value, 1), &id) ||
        id > INT32_MAX) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a token and its id", key);
        return -1;
    }
    return llm_ids_append(ids, (int32_t)id, reader->err);
}

static int post_marks(llm_tokenizer_t *self, llm_json_reader_t *reader)
{
    llm_ids_t before = {0}, behind = {0};
    int status = add_mark(&before, reader, "cls");
    if (status == 0)
        status = add_mark(&behind, reader, "sep");
    if (status == 0)
        status = wrap(self, &before, &behind, reader->err);
    llm_ids_release(&before);
    llm_ids_release(&behind);
    return status;
}

int llm_tokenizer_read_post_processor(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err)
{
    static const reader_t readers[] = {{"ByteLevel", post_nothing},
                                       {"TemplateProcessing", post_template},
                                       {"BertProcessing", post_marks},
                                       {"RobertaProcessing", post_marks},
                                       {NULL, NULL}};
    static const family_t family = {"post_processor", "processors", readers};
    return read_component(self, &family, value, err);
}
