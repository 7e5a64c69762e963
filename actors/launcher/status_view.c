/*
 * status_view.c - lines of at most 80 columns, and JSON.
 */
#include "actors/launcher/status_view.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "actors/launcher/figures.h"

#define BAR_CELLS 20
#define TEXT_MAX  64

static const char *phase_text(const fmq_status_t *status, bool stopped)
{
    bool over = fmq_run_phase_is_over(status->phase);
    return stopped && !over ? "stopped" : fmq_run_phase_name(status->phase);
}

/* Does a server work at it now? */
static bool is_under_way(const fmq_status_t *status, bool stopped)
{
    return !stopped && status->phase < FMQ_RUN_PHASE_ENDED;
}

/* Text that does not fit is cut where the line ends. */
static void print_line(FILE *out, const char *line)
{
    fprintf(out, "%.*s\n", FMQ_STATUS_WIDTH, line);
}

static void print_head(const fmq_status_t *status, bool stopped, FILE *out)
{
    char took[TEXT_MAX], phase[TEXT_MAX], line[2 * FMQ_REASON_MAX];
    fmq_figure_duration((int64_t)status->run_seconds * 1000, took, sizeof took);
    fmq_figure_duration((int64_t)status->phase_seconds * 1000, phase, sizeof phase);
    bool runs = is_under_way(status, stopped);
    (void)snprintf(line, sizeof line, "run %.12s  round %u of %u  %s%s%s  %s in all", status->run,
                   status->round, status->rounds, phase_text(status, stopped), runs ? " for " : "",
                   runs ? phase : "", took);
    print_line(out, line);
    if (*status->reason) {
        (void)snprintf(line, sizeof line, "  %s", status->reason);
        print_line(out, line);
    }
}

static void print_figures(const fmq_status_t *status, FILE *out)
{
    char up[TEXT_MAX], down[TEXT_MAX], memory[TEXT_MAX], loss[TEXT_MAX] = "not known yet";
    char line[4 * TEXT_MAX + 64];
    fmq_figure_bytes(status->bytes_up, up, sizeof up);
    fmq_figure_bytes(status->bytes_down, down, sizeof down);
    fmq_figure_bytes(status->memory, memory, sizeof memory);
    if (!isnan(status->loss))
        (void)snprintf(loss, sizeof loss, "%.4f", status->loss);
    (void)snprintf(line, sizeof line, "loss %s  up %s  down %s  memory %s", loss, up, down, memory);
    print_line(out, line);
}

static void print_counts(const fmq_status_t *status, FILE *out)
{
    char line[512];
    (void)snprintf(line, sizeof line, "clients %u:", status->clients);
    const char *comma = " ";
    for (int i = 0; i < FMQ_STANDINGS; i++) {
        size_t used = strlen(line);
        if (status->counts[i] == 0)
            continue;
        (void)snprintf(line + used, sizeof line - used, "%s%u %s", comma, status->counts[i],
                       fmq_standing_name((fmq_standing_t)i));
        comma = ", ";
    }
    print_line(out, line);
}

static void print_client(const fmq_status_client_t *row, FILE *out)
{
    char bar[BAR_CELLS + 3] = "", name[TEXT_MAX], line[4 * TEXT_MAX];
    (void)snprintf(name, sizeof name, "client-%u", row->client);
    if (row->steps == 0) {
        (void)snprintf(line, sizeof line, "  %-14s %s", name, fmq_standing_name(row->standing));
    } else {
        fmq_figure_bar((double)row->step / (double)row->steps, BAR_CELLS, bar, sizeof bar);
        (void)snprintf(line, sizeof line, "  %-14s %-10s step %llu of %llu  %s", name,
                       fmq_standing_name(row->standing), (unsigned long long)row->step,
                       (unsigned long long)row->steps, bar);
    }
    print_line(out, line);
}

/* Those who do something, then the others while there is room. */
static bool is_busy(const fmq_status_client_t *row)
{
    return row->standing != FMQ_STANDING_IDLE && row->standing != FMQ_STANDING_AWAITED;
}

static void print_clients(const fmq_status_t *status, FILE *out)
{
    uint32_t shown = 0;
    for (int busy = 1; busy >= 0; busy--)
        for (uint32_t i = 0; i < status->listed && shown < FMQ_STATUS_ROWS; i++)
            if (is_busy(&status->list[i]) == (busy == 1)) {
                print_client(&status->list[i], out);
                shown++;
            }
    if (shown < status->clients)
        fprintf(out, "  and %u more\n", status->clients - shown);
}

static void print_evaluators(const fmq_status_t *status, FILE *out)
{
    for (uint32_t i = 0; i < status->evaluators; i++) {
        const fmq_status_evaluator_t *row = &status->evaluator[i];
        char line[2 * TEXT_MAX + 64], measured[TEXT_MAX] = "has measured nothing yet";
        if (row->measured)
            (void)snprintf(measured, sizeof measured, "measured round %u", row->round);
        (void)snprintf(line, sizeof line, "  %-14s %s, %s", row->name, row->alive ? "here" : "gone",
                       measured);
        print_line(out, line);
    }
}

void fmq_status_print(const fmq_status_t *status, bool stopped, FILE *out)
{
    print_head(status, stopped, out);
    print_figures(status, out);
    print_counts(status, out);
    if (!is_under_way(status, stopped))
        return;
    print_clients(status, out);
    print_evaluators(status, out);
}

static json_t *counts_json(const fmq_status_t *status)
{
    json_t *counts = json_object();
    for (int i = 0; i < FMQ_STANDINGS; i++)
        json_object_set_new(counts, fmq_standing_name((fmq_standing_t)i),
                            json_integer(status->counts[i]));
    return counts;
}

static json_t *list_json(const fmq_status_t *status)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < status->listed; i++) {
        const fmq_status_client_t *row = &status->list[i];
        json_array_append_new(list,
                              json_pack("{s:I, s:s, s:I, s:I}", "client", (json_int_t)row->client,
                                        "state", fmq_standing_name(row->standing), "step",
                                        (json_int_t)row->step, "steps", (json_int_t)row->steps));
    }
    return list;
}

static json_t *evaluators_json(const fmq_status_t *status)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < status->evaluators; i++) {
        const fmq_status_evaluator_t *row = &status->evaluator[i];
        json_array_append_new(
            list, json_pack("{s:s, s:b, s:o}", "name", row->name, "here", row->alive, "measured",
                            row->measured ? json_integer(row->round) : json_null()));
    }
    return list;
}

char *fmq_status_json(const fmq_status_t *status, bool stopped)
{
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:o, s:o, s:o}",
        "event", "status", "run", status->run, "phase", phase_text(status, stopped), "round",
        (json_int_t)status->round, "rounds", (json_int_t)status->rounds, "loss",
        isfinite(status->loss) ? json_real(status->loss) : json_null(), "bytes_up",
        (json_int_t)status->bytes_up, "bytes_down", (json_int_t)status->bytes_down, "memory",
        (json_int_t)status->memory, "run_seconds", (json_int_t)status->run_seconds, "phase_seconds",
        (json_int_t)status->phase_seconds, "written_ms", (json_int_t)status->written_ms, "reason",
        status->reason, "clients", (json_int_t)status->clients, "counts", counts_json(status),
        "list", list_json(status), "evaluators", evaluators_json(status));
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}
