/*
 * line.c - see line.h.
 */
#include "llm/adapter/line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void llm_line_say(llm_line_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(self->out + self->used, self->size - self->used, format, args);
    va_end(args);
    if (wanted < 0)
        return;
    self->used += (size_t)wanted;
    if (self->used < self->size)
        return;
    self->used = self->size - 1;
    memcpy(self->out + self->size - 4, "...", 4);
}

static bool trains_in(const llm_adapter_t *self, uint32_t layer)
{
    for (int m = 0; m < LLM_MODULES; m++)
        if (llm_adapter_slot(self, layer, (llm_module_t)m)->trains)
            return true;
    return false;
}

static bool trains_module(const llm_adapter_t *self, llm_module_t module)
{
    for (uint32_t layer = 0; layer < self->shape.layers; layer++)
        if (llm_adapter_slot(self, layer, module)->trains)
            return true;
    return false;
}

void llm_line_modules(llm_line_t *self, const llm_adapter_t *adapter)
{
    const char *comma = "";
    for (int m = 0; m < LLM_MODULES; m++) {
        if (!trains_module(adapter, (llm_module_t)m))
            continue;
        llm_line_say(self, "%s%s", comma, adapter->shape.arch->modules[m]);
        comma = ",";
    }
}

void llm_line_layers(llm_line_t *self, const llm_adapter_t *adapter)
{
    uint32_t layers = adapter->shape.layers, first = 0;
    const char *comma = "";
    while (first < layers) {
        uint32_t behind = first;
        while (behind < layers && trains_in(adapter, behind))
            behind++;
        if (first == 0 && behind == layers) {
            llm_line_say(self, "all");
            return;
        }
        if (behind > first + 1)
            llm_line_say(self, "%s%u-%u", comma, first, behind - 1);
        else if (behind > first)
            llm_line_say(self, "%s%u", comma, first);
        comma = behind > first ? "," : comma;
        first = behind + 1;
    }
}

void llm_line_names(llm_line_t *self, const char *key, const llm_names_t *names)
{
    if (names->expression[0])
        llm_line_say(self, "%s%s", key, names->expression);
    for (uint32_t i = 0; i < names->size; i++)
        llm_line_say(self, "%s%s", i ? "," : key, names->name[i]);
}
