/*
 * progress.c - chooses the pieces of a line, and gives the bar what is left.
 */
#include "actors/launcher/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "actors/launcher/figures.h"

#define BAR_LEAST 8 /* cells between the brackets */
#define BAR_MOST  24
#define PIECE_MAX 64
#define COLOR_ON  "\033[36m"
#define COLOR_OFF "\033[0m"

typedef enum { HEAD, BAR, CLIENTS, STEP, TRAFFIC, LOSS, ETA, PIECES } piece_t; /* as shown */

typedef struct {
    char text[PIECES][PIECE_MAX]; /* "": not there */
    bool taken[PIECES];
} pieces_t;

double fmq_progress_share(const fmq_run_event_t *event)
{
    if (event->clients == 0)
        return 0;
    double rest = event->steps > 0 ? (double)event->step / (double)event->steps : 0;
    double done = (double)event->clients_done;
    return (done + ((double)event->clients - done) * fmin(rest, 1) * 0.95) / (double)event->clients;
}

uint32_t fmq_progress_round(const fmq_run_event_t *event)
{
    bool complete = event->evaluating || event->round >= event->rounds;
    return complete ? event->round : event->round + 1;
}

static void fill(pieces_t *self, const fmq_run_event_t *event, const fmq_progress_look_t *look)
{
    char up[32], down[32];
    snprintf(self->text[HEAD], PIECE_MAX, "round %u/%u%s", fmq_progress_round(event), event->rounds,
             event->evaluating ? " evaluating" : "");
    snprintf(self->text[CLIENTS], PIECE_MAX, "%u/%u clients", event->clients_done, event->clients);
    fmq_figure_bar(look->share, BAR_LEAST, self->text[BAR], PIECE_MAX);
    if (event->steps > 0)
        snprintf(self->text[STEP], PIECE_MAX, "step %llu/%llu", (unsigned long long)event->step,
                 (unsigned long long)event->steps);
    if (look->bytes_up > 0 || look->bytes_down > 0) {
        fmq_figure_bytes(look->bytes_up, up, sizeof up);
        fmq_figure_bytes(look->bytes_down, down, sizeof down);
        snprintf(self->text[TRAFFIC], PIECE_MAX, "up %s  down %s", up, down);
    }
    if (isfinite(event->train_loss))
        snprintf(self->text[LOSS], PIECE_MAX, "loss %.4f", event->train_loss);
    if (look->left_ms >= 0) {
        fmq_figure_duration(look->left_ms, up, sizeof up);
        snprintf(self->text[ETA], PIECE_MAX, "eta %s", up);
    }
}

/* Between pieces are two spaces, around the bar one. */
static size_t gap(piece_t piece)
{
    return piece == HEAD ? 0 : piece == BAR || piece == CLIENTS ? 1 : 2;
}

/* Takes pieces by how much they matter, as long as they fit.  Returns the cells
 * that are left. */
static size_t choose(pieces_t *self, size_t room)
{
    static const piece_t order[] = {HEAD, CLIENTS, ETA, LOSS, STEP, BAR, TRAFFIC};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        size_t size = strlen(self->text[order[i]]) + gap(order[i]);
        if (!*self->text[order[i]] || size > room)
            continue;
        self->taken[order[i]] = true;
        room -= size;
    }
    return room;
}

static size_t room_of(unsigned columns)
{
    unsigned cells = columns ? columns : FMQ_PROGRESS_COLUMNS;
    return cells > FMQ_PROGRESS_MAX / 2 ? FMQ_PROGRESS_MAX / 2 : cells - 1;
}

void fmq_progress_cut(char *line, unsigned columns)
{
    if (strlen(line) > room_of(columns))
        line[room_of(columns)] = '\0';
}

void fmq_progress_line(const fmq_run_event_t *event, const fmq_progress_look_t *look,
                       char out[FMQ_PROGRESS_MAX])
{
    pieces_t pieces = {.taken = {false}};
    size_t used = 0;
    fill(&pieces, event, look);
    fmq_progress_cut(pieces.text[HEAD], look->columns);
    size_t left = choose(&pieces, room_of(look->columns));
    size_t width = BAR_LEAST + left < BAR_MOST ? BAR_LEAST + left : BAR_MOST;
    fmq_figure_bar(look->share, width, pieces.text[BAR], PIECE_MAX);
    out[0] = '\0';
    for (piece_t i = HEAD; i < PIECES; i++) {
        bool colored = i == BAR && look->color;
        if (!pieces.taken[i])
            continue;
        int size = snprintf(out + used, FMQ_PROGRESS_MAX - used, "%*s%s%s%s", (int)gap(i), "",
                            colored ? COLOR_ON : "", pieces.text[i], colored ? COLOR_OFF : "");
        used += size > 0 ? (size_t)size : 0;
    }
}
