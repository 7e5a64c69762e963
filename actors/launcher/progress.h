/*
 * progress.h - a round that is going on as one line that fits a terminal.
 *
 * A line as wide as the terminal, or wider, would begin a second one, and every
 * redraw would leave the first behind; so a line has at most columns - 1 cells,
 * and what matters least is left out: traffic, the bar, steps, the loss, the time left,
 * clients.  Pure: no clock, no terminal.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_PROGRESS_H
#define FEDMQ_ACTORS_LAUNCHER_PROGRESS_H

#include "fedmq/actors/actors.h"

#define FMQ_PROGRESS_MAX     512 /* bytes of a line with NUL, colours included */
#define FMQ_PROGRESS_COLUMNS 80  /* of a terminal that does not say */

typedef struct {
    unsigned columns; /* 0: FMQ_PROGRESS_COLUMNS */
    bool color;
    double share;                  /* of the round that is done */
    int64_t left_ms;               /* of the run; < 0: unknown */
    uint64_t bytes_up, bytes_down; /* that travelled in the round; both 0: not shown */
} fmq_progress_look_t;

void fmq_progress_line(const fmq_run_event_t *event, const fmq_progress_look_t *look,
                       char out[FMQ_PROGRESS_MAX]);

/* Cuts a line without colours so that it fits. */
void fmq_progress_cut(char *line, unsigned columns);

/* Share of the round that is done: finished clients, and the step of the
 * slowest one for those that are not. */
double fmq_progress_share(const fmq_run_event_t *event);

/* The round that is going on, from 1: event->round counts complete ones, and a
 * round that is evaluated is the last complete one. */
uint32_t fmq_progress_round(const fmq_run_event_t *event);

#endif
