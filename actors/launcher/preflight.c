/*
 * preflight.c - opens data, model, public data and what a run begins from.
 */
#include "actors/launcher/preflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "actors/launcher/address.h"
#include "actors/launcher/aside.h"
#include "actors/launcher/display_json.h"
#include "actors/launcher/engine.h"
#include "actors/launcher/obstacles.h"
#include "actors/launcher/opening.h"
#include "actors/launcher/rundir.h"
#include "actors/settings/settings.h"
#include "actors/splitter/pieces.h"
#include "actors/splitter/public.h"
#include "fedmq/llm/dataset.h"

/* Who the configuration is for.  FS-LLM's default role is client, so only a
 * role that was given says that it is for one process alone. */
static bool is_for(const fmq_config_t *config, const char *role)
{
    bool distributed = fmq_config_bool(config, "distribute.use") ||
                       strcasecmp(fmq_config_text(config, "federate.mode"), "distributed") == 0;
    return distributed && fmq_config_given(config, "distribute.role") &&
           strcasecmp(fmq_config_text(config, "distribute.role"), role) == 0;
}

static bool is_for_client(const fmq_config_t *config)
{
    return is_for(config, "client");
}

/* Whether data.root and data.type are read here: a client gets its shard from
 * elsewhere, unless it brings its own, which --data may name instead; and then
 * a server reads nothing. */
static bool reads_data(const fmq_config_t *config)
{
    bool own = fmq_config_bool(config, "fedmq.own_data");
    return own ? fmq_config_given(config, "data.type") && !is_for(config, "server")
               : !is_for_client(config);
}

static int try_data(const fmq_config_t *config, char *note, fmq_error_t *err)
{
    (void)note;
    if (!reads_data(config))
        return 0;
    fmq_pieces_t *pieces = fmq_pieces_new(config, NULL, err);
    int rc = pieces ? 0 : -1;
    fmq_pieces_destroy(&pieces);
    return rc;
}

static int try_public_data(const fmq_config_t *config, char *note, fmq_error_t *err)
{
    (void)note;
    llm_records_t *parts[3];
    fmq_offsite_settings_t settings;
    if (fmq_settings_offsite(config, &settings, err) < 0)
        return -1;
    if (!settings.use || !settings.align || is_for_client(config))
        return 0;
    if (fmq_public_load(&settings, parts, err) < 0)
        return fmq_error_prefix(err, "llm.offsite_tuning.emu_align");
    for (size_t i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
    return 0;
}

/* Whether the layers to be emulated leave a model, whatever takes their place. */
static int try_emulator(const fmq_engine_t *engine, const fmq_offsite_settings_t *settings,
                        fmq_error_t *err)
{
    llm_emulator_spec_t spec = settings->emulator;
    const llm_emulator_building_t plan = {.be = NULL};
    spec.strategy = LLM_DROP_LAYER;
    llm_emulator_t *emulator = llm_emulator_new(engine->model, &spec, &plan, err);
    int rc = emulator ? 0 : -1;
    llm_emulator_destroy(&emulator);
    return rc;
}

/* federate.restore_from: an adapter's folder is read, of a checkpoint only the
 * file is looked for. */
static int try_start(const fmq_engine_t *engine, const fmq_config_t *config, fmq_error_t *err)
{
    struct stat status;
    const char *from = fmq_config_text(config, "federate.restore_from");
    if (!*from)
        return 0;
    if (stat(from, &status) < 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "federate.restore_from: cannot open '%s': %s",
                             from, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return 0;
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(engine->adapter));
    float *state = calloc(elements ? (size_t)elements : 1, sizeof *state);
    if (!state)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a state");
    int rc = llm_adapter_load(engine->adapter, from, state, err);
    free(state);
    return rc < 0 ? fmq_error_prefix(err, "federate.restore_from") : 0;
}

/* Whether anything of the data can be learnt from: all records as one shard. */
static int try_examples(const fmq_engine_t *engine, const fmq_config_t *config, char *note,
                        fmq_error_t *err)
{
    size_t length = (size_t)fmq_config_int(config, "llm.tok_len");
    llm_records_t *records = reads_data(config) ? fmq_pieces_load(config, NULL) : NULL;
    if (!records) /* which is said elsewhere */
        return 0;
    llm_dataset_t *data = llm_dataset_new(records, NULL, engine->tokenizer, length, err);
    int rc = data ? 0 : -1;
    const llm_fit_t fit = data ? llm_dataset_fit(data) : (llm_fit_t){0};
    if (data && llm_dataset_size(data) == 0)
        rc = llm_fit_refuse(&fit, "records", "llm.tok_len", length, err);
    else if (data)
        llm_fit_text(&fit, "llm.tok_len", length, note);
    llm_dataset_destroy(&data);
    llm_records_destroy(&records);
    return rc;
}

static int try_model(const fmq_config_t *config, char *note, fmq_error_t *err)
{
    llm_adapter_spec_t spec;
    fmq_offsite_settings_t offsite;
    fmq_engine_t engine;
    if (fmq_settings_adapter(config, &spec, err) < 0 ||
        fmq_settings_offsite(config, &offsite, err) < 0)
        return -1;
    if (offsite.use && is_for_client(config))
        return 0;
    const fmq_engine_model_t how = {.model = fmq_config_text(config, "model.type"),
                                    .cache = fmq_config_text(config, "llm.cache.model"),
                                    .spec = &spec};
    if (fmq_engine_open_model(&engine, &how, err) < 0)
        return -1;
    int rc = fmq_engine_open_tokenizer(&engine, err);
    if (rc == 0)
        rc = fmq_engine_check_length(&engine, config, err);
    if (rc == 0)
        rc = try_examples(&engine, config, note, err);
    if (rc == 0)
        rc = offsite.use ? try_emulator(&engine, &offsite, err) : try_start(&engine, config, err);
    fmq_engine_close(&engine);
    return rc;
}

/* Where the run would write. */
static int try_directory(const fmq_config_t *config, char *note, fmq_error_t *err)
{
    (void)note;
    char *path = is_for_client(config) ? NULL : fmq_rundir_path(config, err);
    if (!path)
        return is_for_client(config) ? 0 : -1;
    int rc = fmq_obstacles_check_new(path, config, err);
    free(path);
    return rc;
}

static int try_endpoint(const fmq_config_t *config, char *note, fmq_error_t *err)
{
    (void)note;
    const char *endpoint = fmq_config_text(config, "fedmq.endpoint");
    bool insecure = fmq_config_bool(config, "fedmq.insecure");
    return *endpoint ? fmq_address_check(endpoint, FMQ_ENDPOINT_BIND, insecure, err) : 0;
}

/* What is to be known, though a run could start. */
static void say_note(bool json, const char *note)
{
    char *object = json && *note ? fmq_display_json_said("note", note) : NULL;
    if (object)
        (void)fputs(object, stdout);
    else if (*note)
        printf("note: %s\n", note);
    free(object);
}

static void say_why(bool json, const char *why)
{
    char line[FMQ_ERROR_TEXT_MAX + 32];
    (void)snprintf(line, sizeof line, "%s%s", json ? "" : "cannot start here: ", why);
    fmq_aside(json, "cannot-start", line);
}

int fmq_preflight(const fmq_config_t *config, bool json, fmq_error_t *err)
{
    /* note: what is to be known beside; LLM_FIT_TEXT_BYTES */
    static int (*const tries[])(const fmq_config_t *config, char *note, fmq_error_t *err) = {
        try_data, try_public_data, try_model, try_directory, try_endpoint};
    fmq_error_code_t first = FMQ_OK;
    size_t reasons = 0;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        fmq_error_t why = {0};
        char note[LLM_FIT_TEXT_BYTES] = "";
        int tried = tries[i](config, note, &why);
        say_note(json, note);
        if (tried == 0)
            continue;
        if (reasons++ == 0)
            first = why.code;
        say_why(json, why.text);
    }
    return reasons == 0 ? 0
                        : fmq_error_set(err, first, "a run could not start here, for %zu reason%s",
                                        reasons, reasons == 1 ? "" : "s");
}
