/*
 * federation.c - the actors of this process: started, watched, ended.
 */
#include "actors/launcher/federation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/client/crew.h"
#include "actors/launcher/exit_hint.h"
#include "actors/launcher/joining.h"
#include "actors/launcher/opening.h"
#include "actors/launcher/output.h"
#include "actors/launcher/process.h"
#include "actors/launcher/remarks.h"
#include "actors/launcher/reserve.h"
#include "actors/launcher/resuming.h"
#include "actors/launcher/rundir.h"
#include "actors/launcher/share.h"
#include "actors/launcher/signals.h"
#include "actors/launcher/watchdog.h"
#include "actors/runtime/pipe.h"
#include "actors/settings/settings.h"
#include "actors/storage/versions.h"
#include "fedmq/actors/model_transfer.h"
#include "fedmq/base/clock.h"
#include "fedmq/broker/router.h"

#define INPROC          "inproc://fedmq"
#define STORE_BYTES_MAX (UINT64_C(1) << 40)
#define FAREWELL_MS     3000 /* at most, for others to hear that the run is over */
#define AWAY_MS         300  /* for others to hear that the server has gone */
#define LENDING_MS      5000 /* at most, for sockets to end reading the model's parts */
#define WATCH_MS        500  /* between looks at whether work goes on */

typedef struct {
    const fmq_plan_t *plan;
    fmq_engine_t engine;
    fmq_devices_t *permits;
    fmq_store_t *store;
    fmq_hub_t *hub; /* of the links of all actors here */
    fmq_output_t *output;
    fmq_log_t *log;         /* borrowed from output */
    uint64_t first_version; /* of notes; 0: the clock says */
    fmq_router_t *router;
    int signals;
    bool interrupted;
    llm_prefix_budget_t *prefixes;
    fmq_pins_t *pins; /* of the model's memory, where others can join */
    fmq_context_t context;
    zactor_t *server, *splitter, *evaluator;
    fmq_crew_t *crew; /* the clients here; NULL: none */
    uint32_t clients_failed;
    fmq_watchdog_t watchdog;
} federation_t;

#define NO_PROGRESS_MS 300000 /* where fedmq.progress_timeout says nothing */

static fmq_log_level_t log_level(const federation_t *self)
{
    int64_t verbose = self->plan->config ? fmq_config_int(self->plan->config, "verbose") : 1;
    if (self->plan->quiet)
        return FMQ_LOG_ERROR;
    if (verbose > 1)
        return FMQ_LOG_DEBUG;
    return verbose == 0 || self->plan->server ? FMQ_LOG_WARNING : FMQ_LOG_INFO;
}

static int open_output(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    bool debug = plan->config && fmq_config_int(plan->config, "verbose") > 1;
    const fmq_output_options_t options = {.quiet = plan->quiet,
                                          .json = plan->json,
                                          .in_memory = plan->server && plan->clients > 0,
                                          .shown = log_level(self),
                                          .kept = debug ? FMQ_LOG_DEBUG : FMQ_LOG_INFO,
                                          .run_log = plan->directory != NULL};
    self->output = fmq_output_open(&options, err);
    if (!self->output)
        return -1;
    self->log = fmq_output_log(self->output);
    return 0;
}

/* The run will begin or go on here: its directory is written from now on. */
static int settle(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    char *text = fmq_config_dump(plan->config, false, err);
    int result = text ? fmq_rundir_write(plan->directory, "config.yaml", text, err) : -1;
    free(text);
    if (result == 0)
        result =
            fmq_versions_begin(plan->directory, fmq_clock_wall_ms(), &self->first_version, err);
    if (result < 0 || (plan->lock && fmq_lock_sign(plan->lock, plan->command, err) < 0))
        return -1;
    return fmq_output_keep(self->output, plan->directory, err);
}

/* The model is open: a run that goes on must have been made with it. */
static int accept_model(void *argument, const fmq_digest_t *model, fmq_error_t *err)
{
    federation_t *self = argument;
    if (!self->plan->directory || !self->plan->resume)
        return 0;
    if (fmq_resuming_check_model(self->plan->directory, model, err) < 0)
        return -1;
    return settle(self, err);
}

/* What of this run is not fedmq's own. */
static void log_extensions(const federation_t *self)
{
    const fmq_config_offers_t *offers =
        self->plan->config ? fmq_config_offers(self->plan->config) : NULL;
    for (size_t i = 0; offers && i < offers->size; i++)
        fmq_log_write(self->log, FMQ_LOG_INFO, "launcher", "extension", "key=%s name=%s",
                      offers->items[i].key, offers->items[i].name);
}

/* What is to be known before anything else happens. */
static int begin(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    fmq_writer_t *json = plan->json ? fmq_output_results(self->output) : NULL;
    if (plan->directory && !plan->resume && settle(self, err) < 0)
        return -1;
    log_extensions(self);
    if (plan->config)
        fmq_remarks_inert(plan->config, plan->asked, self->log, json);
    if (plan->changes)
        fmq_remarks_resumed(plan->directory, plan->changes, self->log, json);
    return 0;
}

static void say(void *argument, const char *line)
{
    fmq_output_line(argument, line);
}

static void say_where_it_listens(const federation_t *self)
{
    char line[FMQ_ENDPOINT_MAX + 16];
    const char *endpoint = fmq_router_endpoint(self->router, 1);
    (void)snprintf(line, sizeof line, "listening at %s", endpoint);
    fmq_log_write(self->log, FMQ_LOG_INFO, "router", "listening", "endpoint=%s", endpoint);
    if (self->plan->server)
        say(self->output, line);
}

/* A router that cannot listen: which settings say where. */
static int say_where_to_listen(const fmq_plan_t *plan, fmq_error_t *err)
{
    fmq_error_t why = *err;
    if (!plan->listen || why.code != FMQ_ERR_IO)
        return -1;
    return fmq_error_set(err, why.code, "%s%s", why.text,
                         plan->config ? " (distribute.server_host and distribute.server_port, or "
                                        "--listen)"
                                      : " (--listen)");
}

static int open_router(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    fmq_router_options_t options = {.endpoints = {INPROC, plan->listen},
                                    .insecure = plan->insecure,
                                    .store = self->store,
                                    .log = self->log};
    if (plan->connect)
        return 0;
    if (self->plan->config)
        fmq_settings_times(self->plan->config, &options.heartbeat_ms, &options.timeout_ms);
    self->router = fmq_router_new(&options, err);
    if (!self->router)
        return say_where_to_listen(plan, err);
    if (plan->listen)
        say_where_it_listens(self);
    return 0;
}

static bool was_interrupted(federation_t *self)
{
    if (!self->interrupted && fmq_signals_take(self->signals) != 0)
        self->interrupted = true;
    return self->interrupted;
}

static int stop_opening(void *argument)
{
    return was_interrupted(argument) ? 1 : 0;
}

/* Who leads the run has the full model; who joins one with offsite tuning gets
 * what the run gives. */
static int open_models(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    char directory[4096];
    if (!plan->server && fmq_config_bool(plan->config, "llm.offsite_tuning.use")) {
        const fmq_joining_t joining = {.config = plan->config,
                                       .endpoint = plan->connect,
                                       .evaluator = plan->evaluator,
                                       .log = self->log,
                                       .stop = stop_opening,
                                       .argument = self};
        return fmq_joining_open(&joining, &self->engine, err);
    }
    (void)snprintf(directory, sizeof directory, "%s/emulator",
                   plan->directory ? plan->directory : ".");
    const fmq_engine_building_t building = {.directory = directory,
                                            .log = self->log,
                                            .accept = accept_model,
                                            .stop = stop_opening,
                                            .argument = self};
    return fmq_engine_open(&self->engine, plan->config, &building, err);
}

static int open_prefixes(federation_t *self, fmq_error_t *err)
{
    uint64_t bytes = (uint64_t)fmq_config_int(self->plan->config, "fedmq.prefix_cache") << 20;
    if (bytes == 0)
        return 0;
    self->prefixes = llm_prefix_budget_new(bytes);
    return self->prefixes ? 0
                          : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a prefix cache");
}

static int open_lending(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    if (!plan->server || !self->engine.emulator || (!plan->connect && !plan->listen))
        return 0;
    self->pins = fmq_pins_new();
    return self->pins ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for published parts");
}

/* Sockets that are closed may still read what was published; a process that
 * ends may leave the model to the system rather than take it from them. */
static void close_models(federation_t *self)
{
    fmq_error_t why;
    if (self->pins && fmq_pins_await(self->pins, LENDING_MS, &why) < 0) {
        fmq_log_write(self->log, FMQ_LOG_WARNING, "launcher", "model-left-open", "reason=\"%s\"",
                      why.text);
        return;
    }
    fmq_pins_destroy(&self->pins);
    fmq_engine_close(&self->engine);
}

static void log_engine(const federation_t *self, uint64_t permits, uint64_t threads)
{
    const fmq_engine_t *engine = &self->engine;
    const llm_offsite_t *offsite = fmq_engine_offsite(engine);
    uint64_t trained = fmq_schema_elements(llm_adapter_schema(engine->adapter));
    if (!offsite) {
        fmq_log_write(self->log, FMQ_LOG_INFO, "launcher", "engine",
                      "parameters=%llu trained=%llu permits=%llu threads=%llu",
                      (unsigned long long)llm_shape_parameters(llm_model_shape(engine->model)),
                      (unsigned long long)trained, (unsigned long long)permits,
                      (unsigned long long)threads);
        return;
    }
    fmq_log_write(self->log, FMQ_LOG_INFO, "launcher", "engine",
                  "full-model=%s layers=%u of=%u emulated=%u..%u trained=%llu emulator=%llu "
                  "permits=%llu threads=%llu",
                  engine->model ? "here" : "none", llm_model_shape(offsite->student)->layers,
                  offsite->full->layers, offsite->l, offsite->r - 1, (unsigned long long)trained,
                  (unsigned long long)fmq_schema_elements(llm_adapter_schema(offsite->state)),
                  (unsigned long long)permits, (unsigned long long)threads);
}

/* Told once a process, before anything is trained. */
static void warn_of_endless_texts(const federation_t *self)
{
    char why[FMQ_ENDLESS_MAX];
    if (fmq_engine_is_endless(&self->engine, why))
        fmq_log_write(self->log, FMQ_LOG_WARNING, "launcher", "no-end-of-text", "reason=\"%s\"",
                      why);
}

static int open_permits(federation_t *self, uint32_t computing, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    fmq_share_t share = {.permits = plan->permits, .threads = plan->threads};
    if (share.permits == 0)
        share.permits = (uint64_t)fmq_config_int(plan->config, "fedmq.permits");
    if (share.threads == 0)
        share.threads = (uint64_t)fmq_config_int(plan->config, "fedmq.threads");
    fmq_compute_settings_t compute;
    if (fmq_settings_compute(plan->config, &compute, err) < 0)
        return -1;
    self->permits = fmq_share_open(&share, &compute, computing, fmq_opening_cores(), err);
    if (!self->permits)
        return -1;
    log_engine(self, share.permits, share.threads);
    fmq_remarks_compute(&compute, self->log);
    return computing > 0 ? fmq_engine_place(&self->engine, self->permits, err) : 0;
}

static int open_engine(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    uint32_t computing = plan->clients + (plan->evaluator ? 1 : 0);
    if (computing == 0 && !plan->server)
        return 0;
    if (open_models(self, err) < 0 || fmq_engine_check_length(&self->engine, plan->config, err) < 0)
        return -1;
    warn_of_endless_texts(self);
    if (open_prefixes(self, err) < 0 || open_lending(self, err) < 0)
        return -1;
    double limit = fmq_config_real(self->plan->config, "fedmq.progress_timeout");
    self->watchdog.limit_ms = limit > 0 ? (int64_t)(limit * 1000) : NO_PROGRESS_MS;
    return open_permits(self, computing, err);
}

static void on_event(void *argument, const fmq_run_event_t *event)
{
    federation_t *self = argument;
    fmq_output_event(self->output, event, fmq_clock_ms());
}

/* A few beyond those that may compute: who waits for a permit keeps a thread. */
static uint32_t threads_for_clients(const federation_t *self)
{
    uint32_t threads = (uint32_t)fmq_devices_size(self->permits) + FMQ_CREW_SPARE;
    return threads < self->plan->clients ? threads : self->plan->clients;
}

static int start_clients(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    fmq_crew_options_t options = {.client = {.context = &self->context,
                                             .client = plan->first_client,
                                             .directory = plan->keepsakes,
                                             .hosted = plan->server},
                                  .size = plan->clients};
    if (plan->clients == 0)
        return 0;
    options.threads = threads_for_clients(self);
    if (!plan->server)
        memcpy(options.client.own, plan->own, sizeof plan->own);
    self->crew = fmq_crew_new(&options, err);
    return self->crew ? 0 : -1;
}

static int start_actors(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    fmq_splitter_options_t splitter = {.context = &self->context};
    fmq_server_options_t server = {.context = &self->context,
                                   .directory = plan->directory,
                                   .on_event = on_event,
                                   .argument = self};
    fmq_evaluator_options_t evaluator = {
        .context = &self->context,
        .name = plan->evaluator_name,
        .own = plan->clients == 0 ? plan->own[2] : NULL,
        .once = plan->once,
        .out = plan->measurements ? fmq_output_results(self->output) : NULL};
    if (plan->splitter &&
        !(self->splitter = fmq_pipe_start(fmq_splitter_actor, &splitter, "the splitter", err)))
        return -1;
    if (plan->server &&
        !(self->server = fmq_pipe_start(fmq_server_actor, &server, "the server", err)))
        return -1;
    if (plan->evaluator &&
        !(self->evaluator = fmq_pipe_start(fmq_evaluator_actor, &evaluator, "the evaluator", err)))
        return -1;
    return start_clients(self, err);
}

/* Threads and files for the actors here and for those of others that will come. */
static int ask_the_system(const fmq_plan_t *plan, fmq_error_t *err)
{
    fmq_needs_t needs = {.actors = (uint32_t)plan->server + plan->splitter + plan->evaluator,
                         .clients = plan->clients,
                         .threads = fmq_opening_cores()};
    if (plan->permits > 0 && plan->threads > 0)
        needs.threads = (uint32_t)(plan->permits * plan->threads);
    if (plan->server && plan->listen)
        needs.peers = (uint32_t)fmq_config_int(plan->config, "federate.client_num");
    return fmq_process_ask(&needs, err);
}

static int open_all(federation_t *self, fmq_error_t *err)
{
    self->signals = fmq_signals_open(err);
    if (self->signals < 0 || ask_the_system(self->plan, err) < 0 || open_output(self, err) < 0 ||
        begin(self, err) < 0)
        return -1;
    self->store = fmq_store_new(STORE_BYTES_MAX);
    if (!self->store)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the store");
    self->hub = fmq_hub_new(err);
    if (!self->hub)
        return -1;
    if (open_router(self, err) < 0 || open_engine(self, err) < 0)
        return -1;
    self->context = (fmq_context_t){.config = self->plan->config,
                                    .model = self->engine.model,
                                    .adapter = self->engine.adapter,
                                    .offsite = fmq_engine_offsite(&self->engine),
                                    .prefixes = self->prefixes,
                                    .tokenizer = self->engine.tokenizer,
                                    .permits = self->permits,
                                    .store = self->store,
                                    .hub = self->hub,
                                    .log = self->log,
                                    .endpoint = self->plan->connect ? self->plan->connect : INPROC,
                                    .first_version = self->first_version,
                                    .leads = self->plan->server,
                                    .pins = self->pins,
                                    .say = self->plan->server ? say : NULL,
                                    .say_argument = self->output};
    return start_actors(self, err);
}

/* True when that actor has ended; err then says how, naming it. */
static bool has_ended(zactor_t *actor, const char *name, fmq_error_t *err)
{
    if (!actor || !fmq_pipe_ended(actor, err))
        return false;
    if (err->code != FMQ_OK)
        fmq_error_prefix(err, "%s", name);
    return true;
}

/* A client may fail while others go on; when all have, so has the run, and when
 * one has run out of memory, which is that of all. */
static bool clients_have_ended(federation_t *self, fmq_error_t *err)
{
    const fmq_plan_t *plan = self->plan;
    fmq_error_t why = {0};
    uint32_t client;
    while (self->crew && fmq_crew_ended(self->crew, &client, &why)) {
        if (why.code != FMQ_OK)
            fmq_error_prefix(&why, "client-%u", client);
        if (!plan->server || why.code == FMQ_ERR_NOMEM) {
            *err = why;
            return true;
        }
        if (why.code == FMQ_OK)
            continue;
        *err = why;
        if (++self->clients_failed == plan->clients)
            return true;
    }
    return false;
}

static bool over(federation_t *self, fmq_error_t *err)
{
    fmq_error_t clients = {0};
    if (was_interrupted(self)) {
        fmq_error_set(err, FMQ_ERR_STOPPED, "interrupted");
        return true;
    }
    if (fmq_reserve_is_spent()) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory while the run was going on");
        return true;
    }
    if (has_ended(self->server, "server", err))
        return true;
    if (!self->server && has_ended(self->evaluator, "evaluator", err))
        return true;
    fmq_error_t splitter = {0};
    if (has_ended(self->splitter, "splitter", &splitter) &&
        (splitter.code != FMQ_OK || (!self->server && !self->evaluator))) {
        *err = splitter;
        return true;
    }
    if (!clients_have_ended(self, &clients))
        return false;
    *err = clients;
    return true;
}

/* Waits until a signal comes or an actor says something. */
static void wait_a_little(const federation_t *self)
{
    zactor_t *actors[] = {self->server, self->splitter, self->evaluator};
    zmq_pollitem_t items[5] = {{.fd = self->signals, .events = ZMQ_POLLIN}};
    int size = 1;
    if (self->crew)
        items[size++] =
            (zmq_pollitem_t){.fd = fmq_crew_descriptor(self->crew), .events = ZMQ_POLLIN};
    for (size_t i = 0; i < sizeof actors / sizeof *actors; i++)
        if (actors[i])
            items[size++] =
                (zmq_pollitem_t){.socket = zsock_resolve(actors[i]), .events = ZMQ_POLLIN};
    zmq_poll(items, size, WATCH_MS);
}

static void watch_progress(federation_t *self)
{
    if (!self->permits)
        return;
    int64_t still_ms = fmq_watchdog_look(&self->watchdog, fmq_devices_taken(self->permits) > 0,
                                         fmq_devices_moves(self->permits), fmq_clock_ms());
    if (still_ms > 0)
        fmq_log_write(self->log, FMQ_LOG_WARNING, "launcher", "no-progress",
                      "seconds=%lld reason=\"what computes here has made no step; a server leaves "
                      "such clients out of its round (fedmq.progress_timeout)\"",
                      (long long)(still_ms / 1000));
}

/* The server has said that the run is over: the router stays until the others
 * have heard it and said goodbye, or for a while.  One that was stopped is
 * waited for, and nobody leaves: it stays until they can have heard that. */
static void let_members_leave(const federation_t *self, bool over)
{
    int64_t until = fmq_clock_ms() + (over ? FAREWELL_MS : AWAY_MS);
    while (fmq_router_counters(self->router).members > 0 && fmq_clock_ms() < until)
        zclock_sleep(10);
}

/* A client elsewhere sees no round end: it says how the run did. */
static void say_how_it_ended(const federation_t *self, const fmq_error_t *why)
{
    char line[sizeof why->text + 32];
    (void)snprintf(line, sizeof line, "the run has ended: %s", why->text);
    fmq_output_line(self->output, line);
}

/* The last words of a process whose run has ended well; the model is that which
 * was open. */
static void say_goodbye(const federation_t *self, const fmq_error_t *why, const char *model)
{
    const fmq_plan_t *plan = self->plan;
    if (!self->output || why->code != FMQ_OK)
        return;
    const fmq_exit_hint_t hint = {.config = plan->config,
                                  .directory = plan->directory,
                                  .model = model,
                                  .clients = plan->keepsakes != NULL,
                                  .json = plan->json};
    if (plan->server && plan->directory && model)
        fmq_exit_hint(&hint, self->output);
    else if (!plan->server && plan->clients > 0)
        say_how_it_ended(self, why);
}

static void close_all(federation_t *self, const fmq_error_t *why)
{
    bool led = self->server != NULL;
    const llm_model_t *full = self->engine.model;
    char *model = full ? strdup(llm_model_directory(full)) : NULL;
    if (why->code == FMQ_OK || why->code == FMQ_ERR_STOPPED)
        fmq_pipe_stop(&self->server);
    else
        fmq_pipe_stop_because(&self->server, why);
    if (led && self->router)
        let_members_leave(self, why->code != FMQ_ERR_STOPPED);
    fmq_crew_destroy(&self->crew);
    fmq_pipe_stop(&self->evaluator);
    fmq_pipe_stop(&self->splitter);
    fmq_hub_destroy(&self->hub);
    fmq_router_destroy(&self->router);
    fmq_devices_destroy(&self->permits);
    fmq_store_destroy(&self->store);
    llm_prefix_budget_destroy(&self->prefixes);
    close_models(self);
    say_goodbye(self, why, model);
    free(model);
    fmq_output_close(&self->output);
    fmq_signals_close(&self->signals);
}

int fmq_federation_run(const fmq_plan_t *plan, fmq_error_t *err)
{
    federation_t self = {.plan = plan, .signals = -1};
    fmq_error_t why = {0};
    int result = open_all(&self, &why);
    if (result == 0)
        while (!over(&self, &why)) {
            wait_a_little(&self);
            fmq_output_look(self.output);
            watch_progress(&self);
        }
    close_all(&self, &why);
    if (why.code == FMQ_OK)
        return 0;
    return fmq_error_copy(err, &why);
}
