/*
 * workbench.c - a model with an adapter from disk, for the tools.
 */
#include "actors/launcher/workbench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/aside.h"
#include "actors/settings/settings.h"

static int load_adapter(fmq_workbench_t *self, const char *directory, fmq_error_t *err)
{
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(self->engine.adapter));
    self->vector = malloc((elements ? elements : 1) * sizeof *self->vector);
    if (!self->vector)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
    return llm_adapter_load(self->engine.adapter, directory, self->vector, err);
}

static int open_tokenizer(fmq_workbench_t *self, bool json, fmq_error_t *err)
{
    char why[FMQ_ENDLESS_MAX];
    if (fmq_engine_open_tokenizer(&self->engine, err) < 0)
        return -1;
    if (fmq_engine_is_endless(&self->engine, why)) {
        char line[FMQ_ENDLESS_MAX + 16];
        (void)snprintf(line, sizeof line, "%s%s", json ? "" : "warning: ", why);
        fmq_aside(json, "warning", line);
    }
    return 0;
}

int fmq_workbench_open(fmq_workbench_t *self, const fmq_arguments_t *arguments, bool tokenizer,
                       fmq_error_t *err)
{
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_NONE};
    unsigned threads = arguments->threads > 0 ? (unsigned)arguments->threads : fmq_opening_cores();
    *self = (fmq_workbench_t){.vector = NULL};
    if (!arguments->model)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --model DIR");
    if (arguments->adapter && llm_adapter_spec_load(arguments->adapter, &spec, err) < 0)
        return -1;
    fmq_engine_model_t how = {.model = arguments->model,
                              .spec = &spec,
                              .device = fmq_compute_device(arguments->half),
                              .threads = threads};
    if (arguments->weights && llm_form_choice_parse(arguments->weights, &how.weights, err) < 0)
        return fmq_error_prefix(err, "--weights");
    if (fmq_engine_open_model(&self->engine, &how, err) < 0)
        return -1;
    if ((!tokenizer || open_tokenizer(self, arguments->json, err) == 0) &&
        (!arguments->adapter || load_adapter(self, arguments->adapter, err) == 0))
        return 0;
    fmq_workbench_close(self);
    return -1;
}

void fmq_workbench_close(fmq_workbench_t *self)
{
    free(self->vector);
    self->vector = NULL;
    fmq_engine_close(&self->engine);
}

int fmq_workbench_ids(const char *text, llm_ids_t *ids, fmq_error_t *err)
{
    while (*(text += strspn(text, " ,\t\r\n")) != '\0') {
        char *end = NULL;
        errno = 0;
        long id = strtol(text, &end, 10);
        if (end == text || errno || id < 0 || id > INT32_MAX)
            return fmq_error_set(err, FMQ_ERR_FORMAT, "'%.20s' is no token id", text);
        if (llm_ids_append(ids, (int32_t)id, err) < 0)
            return -1;
        text = end;
    }
    return 0;
}
