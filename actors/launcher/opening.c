/*
 * opening.c - opens what commands work on: configuration, model, records.
 */
#include "actors/launcher/opening.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/launcher/aside.h"
#include "actors/launcher/obstacles.h"
#include "actors/launcher/resuming.h"
#include "actors/launcher/rundir.h"
#include "actors/settings/settings.h"
#include "actors/splitter/pieces.h"

/* --cfg, or with --resume --directory the run's own configuration. */
static int find_config(const fmq_arguments_t *arguments, char path[PATH_MAX], fmq_error_t *err)
{
    int size = -1;
    if (arguments->cfg)
        size = snprintf(path, PATH_MAX, "%s", arguments->cfg);
    else if (arguments->resume && arguments->directory)
        size = snprintf(path, PATH_MAX, "%s/config.yaml", arguments->directory);
    else
        return fmq_error_set(err, FMQ_ERR_CONFIG, "no configuration: give --cfg FILE");
    if (size < 0 || size >= PATH_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the path of the configuration is too long");
    if (access(path, R_OK) == 0)
        return 0;
    return fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO,
                         "cannot read '%s': %s", path, strerror(errno));
}

/* Mistakes are kept in the config, so that all are reported together. */
fmq_config_t *fmq_opening_merge(const fmq_arguments_t *arguments, const fmq_words_t *words,
                                fmq_error_t *err)
{
    char path[PATH_MAX];
    if (find_config(arguments, path, err) < 0)
        return NULL;
    fmq_config_t *config = fmq_config_new();
    if (!config) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration");
        return NULL;
    }
    fmq_config_set_offers(config, arguments->offers);
    fmq_config_load(config, path, NULL);
    if (arguments->client_cfg)
        fmq_config_load_clients(config, arguments->client_cfg, NULL);
    for (size_t i = 0; i + 1 < words->size; i += 2)
        fmq_config_set(config, words->items[i], words->items[i + 1], NULL);
    return config;
}

static size_t check_settings(const fmq_config_t *config, bool json, fmq_error_code_t *first)
{
    llm_train_options_t train;
    llm_adapter_spec_t adapter;
    fmq_split_settings_t split;
    fmq_offsite_settings_t offsite;
    llm_record_fields_t fields;
    fmq_compute_settings_t compute;
    fmq_error_t errors[6] = {{0}};
    int failed[6] = {
        fmq_settings_train(config, &train, &errors[0]),
        fmq_settings_adapter(config, &adapter, &errors[1]),
        fmq_settings_split(config, &split, &errors[2]),
        fmq_settings_offsite(config, &offsite, &errors[3]),
        llm_record_fields_parse(&fields, fmq_config_text(config, "fedmq.data_fields"), &errors[4]),
        fmq_settings_compute(config, &compute, &errors[5])};
    /* What the others say of the keys that it reads too is said already. */
    if (failed[0] != 0 || failed[1] != 0)
        failed[3] = 0;
    if (failed[4] != 0)
        fmq_error_prefix(&errors[4], "%s: fedmq.data_fields",
                         fmq_config_origin(config, "fedmq.data_fields"));
    size_t mistakes = 0;
    for (size_t i = 0; i < 6; i++) {
        if (failed[i] == 0)
            continue;
        if (mistakes++ == 0)
            *first = errors[i].code;
        fmq_aside(json, "mistake", errors[i].text);
    }
    return mistakes;
}

/* Every mistake of the configuration is a line. */
static int check_config(fmq_config_t *config, bool json, fmq_log_t *log, fmq_error_t *err)
{
    char *mistakes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&mistakes, &size);
    int result = fmq_config_check(config, out, log, err);
    if (out && fclose(out) == 0)
        fmq_aside(json, "mistake", mistakes);
    free(mistakes);
    return result;
}

int fmq_opening_check(fmq_config_t *config, bool json, fmq_log_t *log, fmq_error_t *err)
{
    fmq_error_code_t first = FMQ_OK;
    if (check_config(config, json, log, err) < 0)
        return -1;
    size_t mistakes = check_settings(config, json, &first);
    if (mistakes == 0)
        return 0;
    return fmq_error_set(err, first, "%zu mistake%s in the configuration", mistakes,
                         mistakes == 1 ? "" : "s");
}

fmq_config_t *fmq_opening_config(const fmq_arguments_t *arguments, const fmq_words_t *words,
                                 fmq_error_t *err)
{
    fmq_config_t *config = fmq_opening_merge(arguments, words, err);
    if (config && fmq_opening_check(config, arguments->json, NULL, err) < 0)
        fmq_config_destroy(&config);
    return config;
}

/* Whether the run in place can go on.  Its data is looked at too, where it is
 * here: nobody else would say that it is missing before the run is touched. */
static int check_resumed(fmq_run_place_t *place, const fmq_arguments_t *arguments,
                         const fmq_config_t *config, fmq_error_t *err)
{
    if (fmq_resuming_check(place->path, config, arguments->json, &place->changes, err) < 0)
        return -1;
    if (arguments->no_splitter || fmq_config_bool(config, "fedmq.own_data"))
        return 0;
    llm_records_t *records = fmq_pieces_load(config, err);
    int result = records ? 0 : -1;
    llm_records_destroy(&records);
    return result;
}

int fmq_opening_directory(fmq_run_place_t *place, const fmq_arguments_t *arguments,
                          const fmq_config_t *config, fmq_error_t *err)
{
    struct stat status;
    const char *given = arguments->directory;
    fmq_run_place_t found = {.path =
                                 fmq_rundir_open(config, given, arguments->resume, time(NULL), err),
                             .made = !arguments->resume && !(given && stat(given, &status) == 0)};
    int result = -1;
    if (found.path && (found.lock = fmq_lock_take(found.path, err)) != NULL)
        result = arguments->resume ? check_resumed(&found, arguments, config, err)
                                   : fmq_rundir_check_free(found.path, err);
    if (result == 0)
        result = fmq_obstacles_check(found.path, config, err);
    if (result == 0) {
        *place = found;
        return 0;
    }
    fmq_lock_release(&found.lock);
    if (found.path && found.made)
        (void)rmdir(found.path);
    fmq_run_place_release(&found);
    return -1;
}

bool fmq_opening_evaluator(const fmq_arguments_t *arguments, const fmq_config_t *config)
{
    if (arguments->no_evaluator)
        return false;
    return arguments->evaluator || fmq_config_bool(config, "federate.make_global_eval") ||
           fmq_config_int(config, "fedmq.match_tokens") > 0;
}

unsigned fmq_opening_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : (unsigned)cores;
}

static int load_file(llm_records_t *records, const char *path, const char *type, const char *names,
                     fmq_error_t *err)
{
    char full[256];
    size_t size = strlen(path);
    llm_record_fields_t fields;
    if (llm_record_fields_parse(&fields, names, err) < 0)
        return -1;
    llm_records_source_t source = {
        .root = "", .type = full, .subsample = 1, .file = path, .keys = &fields.keys};
    if (!type && size > 4 && strcmp(path + size - 4, ".txt") == 0)
        type = "text.txt";
    if (!type)
        return llm_records_load(records, path, &fields.keys, err);
    snprintf(full, sizeof full, "%s%s", type, strchr(type, '@') ? "" : "@llm");
    return llm_records_load_source(records, &source, err);
}

llm_records_t *fmq_opening_file(const char *path, const char *type, const char *names,
                                fmq_error_t *err)
{
    llm_records_t *records = llm_records_new();
    if (!records)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    else if (load_file(records, path, type, names, err) < 0)
        llm_records_destroy(&records);
    return records;
}

/* The data.type whose field names own files have; NULL where it says none. */
static const char *type_of_own(const fmq_config_t *config)
{
    const char *type = fmq_config_text(config, "data.type");
    return strchr(type, '.') || !strchr(type, '@') ? NULL : type;
}

static llm_records_t *load_own(const char *path, const fmq_config_t *config, fmq_error_t *err)
{
    return fmq_opening_file(path, type_of_own(config), fmq_config_text(config, "fedmq.data_fields"),
                            err);
}

/* Takes the records, splits them by data.splits. */
static int split_records(llm_records_t *records, const fmq_config_t *config, llm_records_t *out[3],
                         fmq_error_t *err)
{
    fmq_split_settings_t split;
    llm_part_t parts[3] = {{0}};
    int result = -1;
    if (records && fmq_settings_split(config, &split, err) == 0 &&
        llm_split_three(llm_records_size(records), split.train, split.val, FMQ_SETTINGS_SPLIT_SEED,
                        parts, err) == 0)
        result = 0;
    for (size_t i = 0; i < 3; i++) {
        if (result == 0 && (out[i] = fmq_pieces_select(records, &parts[i], err)) == NULL)
            result = -1;
        llm_part_release(&parts[i]);
    }
    llm_records_destroy(&records);
    return result;
}

static int load_three(const char *const paths[3], const fmq_config_t *config, llm_records_t *out[3],
                      fmq_error_t *err)
{
    for (size_t i = 0; i < 3; i++)
        if (paths[i] && (out[i] = load_own(paths[i], config, err)) == NULL)
            return -1;
    return 0;
}

int fmq_opening_records(const fmq_arguments_t *arguments, const fmq_config_t *config,
                        llm_records_t *out[3], fmq_error_t *err)
{
    const char *const paths[3] = {arguments->train, arguments->val, arguments->test};
    bool three = paths[0] || paths[1] || paths[2];
    int result = 0;
    for (size_t i = 0; i < 3; i++)
        out[i] = NULL;
    if (arguments->data && three)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "--data is split in three: give it alone, or --train, --val, --test");
    if (arguments->data)
        result = split_records(load_own(arguments->data, config, err), config, out, err);
    else if (three)
        result = load_three(paths, config, out, err);
    else if (fmq_config_bool(config, "fedmq.own_data"))
        result = split_records(fmq_pieces_load(config, err), config, out, err);
    for (size_t i = 0; i < 3 && result < 0; i++)
        llm_records_destroy(&out[i]);
    return result;
}
