/*
 * server.c - the server as an actor: puts the model's adapter, the
 * configuration and the run's directory behind the coordinator.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "actors/runtime/pipe.h"
#include "actors/server/offsite.h"
#include "actors/settings/settings.h"
#include "actors/storage/checkpoint.h"
#include "actors/storage/file.h"

typedef struct {
    fmq_server_options_t options;
    fmq_server_settings_t settings;
    float *initial; /* owned */
    fmq_offsite_t offsite;
    char *config_text; /* owned */
    char meaning[FMQ_REASON_MAX], computes[FMQ_REASON_MAX];
    llm_train_options_t *training; /* owned: of client k at k - 1 ... */
    bool *known;                   /* owned: ... once it was asked for */
} server_t;

static void moved(void *permits)
{
    if (permits)
        fmq_devices_move(permits);
}

/* Clients may have settings of their own. */
static uint64_t samples_max(void *argument, uint32_t client, uint64_t shard)
{
    server_t *self = argument;
    llm_train_options_t *training = &self->training[client - 1];
    if (!self->known[client - 1]) {
        const fmq_config_t *config = self->options.context->config;
        fmq_config_t *view = NULL;
        if (fmq_config_differs_for(config, client))
            config = view = fmq_config_for_client(config, client, NULL);
        self->known[client - 1] = config && fmq_settings_train(config, training, NULL) == 0;
        fmq_config_destroy(&view);
    }
    return self->known[client - 1] ? fmq_settings_samples_max(training, shard) : UINT64_MAX;
}

/* Saves with the names that PEFT and chat tools look for. */
static int save(void *argument, const float *state, const char *directory, fmq_error_t *err)
{
    const server_t *self = argument;
    const fmq_context_t *context = self->options.context;
    const char *model = llm_model_directory(context->model);
    return llm_adapter_save(context->adapter, state, model, *model ? model : NULL, FMQ_F32,
                            directory, err);
}

/* A checkpoint of a run with an emulator brings that too, where there is one. */
static int restore_checkpoint(server_t *self, const char *path, fmq_error_t *err)
{
    const fmq_context_t *context = self->options.context;
    fmq_checkpoint_t checkpoint;
    fmq_sections_t sections = {.passed_over = FMQ_SECTION_METHOD};
    (void)fmq_sections_add(&sections, FMQ_SECTION_STATE, llm_adapter_schema(context->adapter),
                           self->initial);
    if (self->offsite.settings.use)
        (void)fmq_sections_add(&sections, FMQ_SECTION_EMULATOR,
                               llm_adapter_schema(context->offsite->state), self->offsite.emulator);
    if (fmq_checkpoint_load(path, &sections, &checkpoint, err) < 0 ||
        fmq_checkpoint_compare(&checkpoint, self->meaning, path, err) < 0)
        return -1;
    if (self->offsite.settings.use)
        self->offsite.aligned = checkpoint.prepared;
    return 0;
}

/* federate.restore_from: a checkpoint of ours, or an adapter directory. */
static int restore(server_t *self, const char *path, fmq_error_t *err)
{
    const llm_adapter_t *adapter = self->options.context->adapter;
    struct stat status;
    if (stat(path, &status) < 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "federate.restore_from: cannot open '%s': %s",
                             path, strerror(errno));
    int rc = S_ISDIR(status.st_mode) ? llm_adapter_load(adapter, path, self->initial, err)
                                     : restore_checkpoint(self, path, err);
    return rc < 0 ? fmq_error_prefix(err, "federate.restore_from") : 0;
}

/* A run that goes on from a checkpoint begins from nothing else, which need not
 * be there any more. */
static bool goes_on(const server_t *self)
{
    fmq_checkpoint_t newest;
    char *path = self->options.directory
                     ? fmq_file_path(NULL, "%s/checkpoints", self->options.directory)
                     : NULL;
    bool found = path && fmq_checkpoint_look(path, &newest, NULL) > 0;
    free(path);
    return found;
}

static int prepare(server_t *self, fmq_error_t *err)
{
    const fmq_context_t *context = self->options.context;
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(context->adapter));
    if (fmq_server_settings_read(&self->settings, context->config, err) < 0)
        return -1;
    if (elements == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "there is nothing to train: the adapter is empty "
                             "(llm.adapter.args)");
    self->initial = malloc((size_t)elements * sizeof *self->initial);
    if (!self->initial)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a state of %llu elements",
                             (unsigned long long)elements);
    fmq_context_meaning(context, self->meaning);
    fmq_context_computes(context, self->computes);
    self->training = calloc(self->settings.clients, sizeof *self->training);
    self->known = calloc(self->settings.clients, sizeof *self->known);
    if (!self->training || !self->known)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %u clients",
                             self->settings.clients);
    self->config_text = fmq_config_dump(context->config, false, err);
    if (!self->config_text ||
        llm_adapter_init(context->adapter, context->model, self->settings.seed, self->initial,
                         err) < 0 ||
        fmq_offsite_open(&self->offsite, context, err) < 0)
        return -1;
    const char *from = fmq_config_text(context->config, "federate.restore_from");
    if (*from && !goes_on(self) && restore(self, from, err) < 0)
        return -1;
    return fmq_offsite_restore(&self->offsite, err); /* the nearer key counts */
}

static fmq_coordinator_options_t options_of(server_t *self)
{
    const fmq_context_t *context = self->options.context;
    fmq_coordinator_options_t options = {.settings = &self->settings,
                                         .endpoint = context->endpoint,
                                         .first_version = context->first_version,
                                         .store = context->store,
                                         .hub = context->hub,
                                         .log = context->log,
                                         .schema = llm_adapter_schema(context->adapter),
                                         .initial = self->initial,
                                         .state = self->initial,
                                         .model = llm_model_digest(context->model),
                                         .meaning = self->meaning,
                                         .computes = self->computes,
                                         .config = context->config,
                                         .config_text = self->config_text,
                                         .directory = self->options.directory,
                                         .say = context->say,
                                         .say_argument = context->say_argument,
                                         .save = save,
                                         .save_argument = self,
                                         .samples_max = samples_max,
                                         .samples_argument = self,
                                         .moved = moved,
                                         .moved_argument = context->permits,
                                         .on_event = self->options.on_event,
                                         .event_argument = self->options.argument};
    fmq_offsite_fill(&self->offsite, &options);
    return options;
}

void fmq_server_actor(zsock_t *pipe, void *options)
{
    server_t self = {.options = *(const fmq_server_options_t *)options};
    fmq_error_t err = {0};
    fmq_pipe_ready(pipe);
    if (prepare(&self, &err) == 0) {
        fmq_coordinator_options_t how = options_of(&self);
        fmq_coordinator_run(pipe, &how);
    } else {
        fmq_log_write(self.options.context->log, FMQ_LOG_ERROR, "server", "failed", "reason=\"%s\"",
                      err.text);
        fmq_pipe_done(pipe, &err);
        fmq_pipe_wait(pipe);
    }
    fmq_offsite_release(&self.offsite);
    free(self.initial);
    free(self.config_text);
    free(self.training);
    free(self.known);
}
