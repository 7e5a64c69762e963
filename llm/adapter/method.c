/*
 * method.c - the table of methods.
 */
#include "llm/adapter/method.h"

#include <stdio.h>
#include <string.h>

static const llm_method_t *const methods[] = {
    &llm_method_none,   &llm_method_full,     &llm_method_lora,   &llm_method_ia3,
    &llm_method_prompt, &llm_method_p_tuning, &llm_method_prefix,
};
#define METHODS (sizeof methods / sizeof *methods)

const llm_method_t *llm_method_of(llm_adapter_kind_t kind)
{
    for (size_t i = 0; i < METHODS; i++)
        if (methods[i]->kind == kind)
            return methods[i];
    return NULL;
}

const llm_method_t *llm_method_of_type(const char *peft_type)
{
    for (size_t i = 0; i < METHODS; i++)
        if (methods[i]->peft_type && strcmp(methods[i]->peft_type, peft_type) == 0)
            return methods[i];
    return NULL;
}

const char *llm_method_types(char *out, size_t size)
{
    size_t used = 0;
    *out = '\0';
    for (size_t i = 0; i < METHODS && used < size; i++)
        if (methods[i]->peft_type)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
                                     methods[i]->peft_type);
    return out;
}
