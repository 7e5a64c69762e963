/*
 * keepsake.c - federate.save_client_model: what a client trained last, saved on
 * its own machine as a PEFT directory (or a model when everything was trained).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "actors/client/client_private.h"

int fmq_client_keepsake_open(fmq_client_t *self, const char *directory, fmq_error_t *err)
{
    if (!directory || !fmq_config_bool(self->config, "federate.save_client_model"))
        return 0;
    size_t size = strlen(directory) + sizeof "/clients/" + FMQ_MEMBER_NAME_MAX;
    self->keepsake = malloc(size);
    if (!self->keepsake)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    snprintf(self->keepsake, size, "%s/clients", directory);
    if (mkdir(self->keepsake, 0777) < 0 && errno != EEXIST)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot create '%s' (federate.save_client_model): %s",
                             self->keepsake, strerror(errno));
    snprintf(self->keepsake, size, "%s/clients/%s", directory, self->name);
    return 0;
}

int fmq_client_keepsake_save(const fmq_client_t *self, fmq_error_t *err)
{
    if (!self->keepsake)
        return 0;
    const char *model = self->context.model ? llm_model_directory(self->context.model) : "";
    const float *vector = self->keeps ? self->own_state.vector : self->state.vector;
    return llm_adapter_save(self->context.adapter, vector, model, *model ? model : NULL, FMQ_F32,
                            self->keepsake, err);
}
