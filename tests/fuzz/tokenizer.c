/*
 * tokenizer.c - fuzz target: tokenizer.json, and what an accepted one makes of
 * texts and ids.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/hub/json.h"
#include "llm/tokenizer/loader.h"
#include "tests/fuzz/fuzz.h"

static const char text[] = " abab aab\n<x>12 e, \xe2\x96\x81 \xf0\x9f\x98\x80 <s> \xff xyz";

static void use(const llm_tokenizer_t *tokenizer, const uint8_t *data, size_t size)
{
    llm_ids_t ids = {0};
    fmq_error_t err;
    (void)llm_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, &err);
    (void)llm_tokenizer_encode(tokenizer, (const char *)data, size < 200 ? size : 200, false, &ids,
                               &err);
    for (size_t i = 0; i < ids.size; i++)
        if (ids.ids[i] < 0)
            __builtin_trap();
    for (int32_t id = 0; id < 12; id++)
        (void)llm_ids_append(&ids, id, &err);
    char *decoded = llm_tokenizer_decode(tokenizer, ids.ids, ids.size, true, NULL, &err);
    free(decoded);
    llm_ids_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fmq_error_t err;
    json_t *root = llm_json_parse((const char *)data, size, "fuzz", &err);
    llm_tokenizer_t *tokenizer = calloc(1, sizeof *tokenizer);
    if (root && tokenizer) {
        tokenizer->bos = tokenizer->eos = -1;
        if (llm_tokenizer_read_json(tokenizer, root, &err) == 0 &&
            llm_tokenizer_finish(tokenizer, &err) == 0)
            use(tokenizer, data, size);
    }
    llm_tokenizer_destroy(&tokenizer);
    json_decref(root);
    return 0;
}
