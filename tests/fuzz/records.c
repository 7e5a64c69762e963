/*
 * records.c - fuzz target: records in JSON and JSON Lines.  What is accepted
 * must give the same bytes when it is encoded, decoded and encoded again.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/records.h"
#include "tests/fuzz/fuzz.h"

static void check(const llm_records_t *records)
{
    size_t first_size = 0, second_size = 0;
    fmq_error_t err;
    llm_records_t *again = llm_records_new();
    char *first = llm_records_encode(records, &first_size, &err);
    if (!first || !again || llm_records_decode(again, "again", first, first_size, &err) < 0)
        __builtin_trap();
    char *second = llm_records_encode(again, &second_size, &err);
    if (!second || first_size != second_size || memcmp(first, second, first_size) != 0)
        __builtin_trap();
    free(first);
    free(second);
    llm_records_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const llm_record_keys_t keys = {.instruction = "question.text", .output = "answers.0"};
    const llm_record_keys_t *choices[] = {NULL, &keys};
    for (size_t i = 0; i < 2; i++) {
        fmq_error_t err;
        llm_records_t *records = llm_records_new();
        if (records && llm_records_parse(records, "fuzz", data, size, choices[i], &err) == 0)
            check(records);
        llm_records_destroy(&records);
    }
    return 0;
}
