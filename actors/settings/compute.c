/*
 * compute.c - where a process computes, and what it keeps frozen weights as.
 *
 * A GPU that is asked for is opened once to see whether it can be: nobody else
 * could say so before a run begins.
 */
#include <stdio.h>
#include <string.h>

#include "actors/settings/settings.h"
#include "fedmq/actors/context.h"

/* A whole model that trains is fp32 in one vector: nothing of it is frozen. */
static int check_frozen(const fmq_config_t *config, const llm_form_choice_t *weights,
                        fmq_error_t *err)
{
    if (!weights->given || weights->form == LLM_FORM_F32 ||
        fmq_config_bool(config, "llm.adapter.use"))
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: fedmq.weights is %s, but llm.adapter.use is False: the model's own "
                         "weights train, in fp32, and none is frozen; leave fedmq.weights out, or "
                         "train an adapter",
                         fmq_config_origin(config, "fedmq.weights"), llm_form_choice_name(weights));
}

static bool is_gpu(const char *name)
{
    return strncmp(name, "cuda", 4) == 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), last = strlen(end);
    return size > last && strcmp(name + size - last, end) == 0;
}

static bool has_type(const char *name)
{
    return ends_with(name, ":f32") || ends_with(name, ":bf16");
}

/* Where and in what: a name that does not say what activations are is told. */
static int add(fmq_device_list_t *list, const char *name, bool half, fmq_error_t *err)
{
    bool told = has_type(name) || (!half && !is_gpu(name));
    if (list->size == FMQ_DEVICE_LIST_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there are more than %d devices",
                             FMQ_DEVICE_LIST_MAX);
    int size = snprintf(list->names[list->size], sizeof list->names[0], "%s%s", name,
                        told   ? ""
                        : half ? ":bf16"
                               : ":f32");
    if (size < 0 || (size_t)size >= sizeof list->names[0])
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no device '%.40s'", name);
    list->size++;
    return 0;
}

typedef struct {
    const fmq_config_t *config;
    const char *key;
    bool gpu; /* what a number is one of; else of the CPU's workers */
    bool half;
} reading_t;

/* A number, or a name. */
static int read_one(const reading_t *self, const char *path, fmq_device_list_t *out,
                    fmq_error_t *err)
{
    int64_t number = 0;
    const char *name = NULL;
    char made[FMQ_DEVICE_NAME_MAX] = "cpu";
    fmq_error_t why;
    if (fmq_config_get_text(self->config, path, &name, &why) == 0 && *name)
        return add(out, name, self->half, err);
    if (fmq_config_get_int(self->config, path, &number, err) < 0)
        return -1;
    if (number < -1 || number > 1023)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%lld is no device's number", (long long)number);
    if (self->gpu && number >= 0)
        (void)snprintf(made, sizeof made, "cuda:%lld", (long long)number);
    else if (self->gpu)
        (void)snprintf(made, sizeof made, "cuda");
    return add(out, made, self->half, err);
}

static int read_list(const reading_t *self, fmq_device_list_t *out, fmq_error_t *err)
{
    size_t size = fmq_config_size(self->config, self->key);
    int rc = 0;
    for (size_t i = 0; i < size && rc == 0; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s.%zu", self->key, i);
        rc = read_one(self, path, out, err);
    }
    return rc < 0 ? fmq_error_prefix(err, "%s: %s", fmq_config_origin(self->config, self->key),
                                     self->key)
                  : 0;
}

/* The permits' devices: those of `device`, else the first of the team's, which
 * is also meant where it is the only one. */
static int read_devices(const reading_t *self, fmq_compute_settings_t *out, fmq_error_t *err)
{
    int64_t number;
    const reading_t team = {self->config, "train.data_para_dids", self->gpu, self->half};
    if (read_list(&team, &out->team, err) < 0)
        return -1;
    if (out->team.size == 1) {
        out->devices = out->team;
        return 0;
    }
    if (fmq_config_size(self->config, "device") > 0)
        return read_list(self, &out->devices, err);
    bool any = fmq_config_get_int(self->config, "device", &number, NULL) == 0 &&
               (!self->gpu || number < 0);
    if (any && out->team.size > 0)
        return add(&out->devices, out->team.names[0], self->half, err);
    if (read_one(self, "device", &out->devices, err) < 0)
        return fmq_error_prefix(err, "%s: device", fmq_config_origin(self->config, "device"));
    return 0;
}

/* Opens a GPU to see whether it is there. */
static int probe(const char *name, fmq_compute_settings_t *out, fmq_error_t *err)
{
    fmq_error_t why;
    llm_backend_t *be = llm_backend_open(name, 1, &why);
    if (!be && why.code == FMQ_ERR_CONFIG)
        return fmq_error_copy(err, &why);
    if (!be && !out->lacks_gpu) {
        out->lacks_gpu = true;
        (void)snprintf(out->why, sizeof out->why, "%s", why.text);
    }
    llm_backend_destroy(&be);
    return 0;
}

static int probe_all(const fmq_device_list_t *list, fmq_compute_settings_t *out, fmq_error_t *err)
{
    for (size_t i = 0; i < list->size; i++)
        if (probe(list->names[i], out, err) < 0)
            return -1;
    return 0;
}

static void go_to_cpu(fmq_device_list_t *list, bool half)
{
    for (size_t i = 0; i < list->size; i++)
        (void)snprintf(list->names[i], sizeof list->names[i], "%s", fmq_compute_device(half));
}

static bool has_gpu(const fmq_device_list_t *list)
{
    for (size_t i = 0; i < list->size; i++)
        if (is_gpu(list->names[i]))
            return true;
    return false;
}

static int check_gpu(const fmq_config_t *config, fmq_compute_settings_t *out, fmq_error_t *err)
{
    if (probe_all(&out->team, out, err) < 0) /* they may be the devices, too */
        return fmq_error_prefix(err, "%s: train.data_para_dids",
                                fmq_config_origin(config, "train.data_para_dids"));
    if (probe_all(&out->devices, out, err) < 0)
        return fmq_error_prefix(err, "%s: device", fmq_config_origin(config, "device"));
    if (fmq_config_bool(config, "use_gpu") && !out->lacks_gpu && !has_gpu(&out->devices) &&
        !has_gpu(&out->team)) {
        out->lacks_gpu = true;
        (void)snprintf(out->why, sizeof out->why, "device is '%s'", out->devices.names[0]);
    }
    if (out->lacks_gpu && fmq_config_bool(config, "fedmq.require_gpu"))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%s: fedmq.require_gpu is True, but %s; set it to False to compute on "
                             "the CPU",
                             fmq_config_origin(config, "fedmq.require_gpu"), out->why);
    return 0;
}

static int check_types(const fmq_config_t *config, const fmq_device_list_t *team, fmq_error_t *err)
{
    for (size_t i = 1; i < team->size; i++)
        if (ends_with(team->names[i], ":bf16") != ends_with(team->names[0], ":bf16"))
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "%s: train.data_para_dids names '%s' and '%s', but devices that "
                                 "compute together need activations of one type",
                                 fmq_config_origin(config, "train.data_para_dids"), team->names[0],
                                 team->names[i]);
    return 0;
}

/* A device with nothing to do in any batch was named by mistake. */
static int check_team(const fmq_config_t *config, const fmq_deepspeed_t *deepspeed,
                      fmq_compute_settings_t *out, fmq_error_t *err)
{
    llm_train_options_t train = {.batch_size =
                                     (uint32_t)fmq_config_int(config, "dataloader.batch_size")};
    if (fmq_deepspeed_apply(deepspeed, out->team.size, &train, err) < 0)
        return -1;
    int64_t batch = train.batch_size;
    out->sharded = deepspeed->use && deepspeed->sharded;
    memcpy(out->told, deepspeed->told, sizeof out->told);
    if (out->team.size <= 1 || (int64_t)out->team.size <= batch)
        return check_types(config, &out->team, err);
    return fmq_error_set(
        err, FMQ_ERR_CONFIG,
        "%s: train.data_para_dids names %zu devices, but a batch has %lld example%s "
        "and is dealt out by whole examples; raise dataloader.batch_size, or name "
        "fewer devices",
        fmq_config_origin(config, "train.data_para_dids"), out->team.size, (long long)batch,
        batch == 1 ? "" : "s");
}

/* use_gpu that was written down as False against a GPU's name. */
static int check_named(const fmq_config_t *config, const fmq_compute_settings_t *settings,
                       fmq_error_t *err)
{
    const fmq_device_list_t *lists[] = {&settings->team, &settings->devices};
    if (fmq_config_bool(config, "use_gpu") || !fmq_config_given(config, "use_gpu"))
        return 0;
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->size; i++)
            if (is_gpu(lists[l]->names[i]) && strncmp(lists[l]->names[i], "cuda-", 5) != 0)
                return fmq_error_set(err, FMQ_ERR_CONFIG,
                                     "%s: use_gpu is False, but %s names '%s'; leave one of them "
                                     "out",
                                     fmq_config_origin(config, "use_gpu"),
                                     l == 1 ? "device" : "train.data_para_dids",
                                     lists[l]->names[i]);
    return 0;
}

/* What an entry of deepspeed's configuration says goes before the key. */
static bool computes_half(const fmq_config_t *config, const fmq_deepspeed_t *deepspeed)
{
    return deepspeed->use && deepspeed->says_half ? deepspeed->half
                                                  : fmq_config_bool(config, "train.is_enable_half");
}

int fmq_settings_compute(const fmq_config_t *config, fmq_compute_settings_t *out, fmq_error_t *err)
{
    fmq_deepspeed_t deepspeed;
    fmq_compute_settings_t settings = {0};
    if (fmq_settings_deepspeed(config, &deepspeed, err) < 0)
        return -1;
    bool half = computes_half(config, &deepspeed);
    const reading_t reading = {config, "device", fmq_config_bool(config, "use_gpu"), half};
    if (llm_form_choice_parse(fmq_config_text(config, "fedmq.weights"), &settings.weights, err) < 0)
        return fmq_error_prefix(err, "%s", fmq_config_origin(config, "fedmq.weights"));
    if (check_frozen(config, &settings.weights, err) < 0 ||
        read_devices(&reading, &settings, err) < 0 || check_named(config, &settings, err) < 0 ||
        check_gpu(config, &settings, err) < 0 || check_team(config, &deepspeed, &settings, err) < 0)
        return -1;
    if (settings.lacks_gpu) {
        go_to_cpu(&settings.devices, half);
        go_to_cpu(&settings.team, half);
    }
    memcpy(settings.device, settings.devices.names[0], sizeof settings.device);
    *out = settings;
    return 0;
}

/* Whoever cannot read deepspeed's configuration does not compute: that is refused elsewhere. */
void fmq_context_computes(const fmq_context_t *self, char out[FMQ_REASON_MAX])
{
    fmq_deepspeed_t deepspeed = {0};
    const char *weights = fmq_config_text(self->config, "fedmq.weights");
    if (fmq_settings_deepspeed(self->config, &deepspeed, NULL) < 0)
        deepspeed.use = false;
    bool half = computes_half(self->config, &deepspeed);
    if (strcmp(weights, "auto") == 0)
        weights = half ? "bf16" : "f32";
    (void)snprintf(out, FMQ_REASON_MAX, "train.is_enable_half=%s fedmq.weights=%s",
                   half ? "True" : "False", weights);
}

const char *fmq_compute_device(bool half)
{
    return half ? "cpu:bf16" : "cpu";
}

bool fmq_compute_on_gpu(const fmq_compute_settings_t *self)
{
    return is_gpu(self->device);
}
