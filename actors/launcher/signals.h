/*
 * signals.h - Ctrl-C and SIGTERM as a file descriptor.
 *
 * The first signal makes the descriptor readable; the second one finds the
 * system's default behaviour again and ends the process at once.  One watch a
 * process.  Signals are not blocked: libraries start threads of their own
 * before main, and one that lets a signal through would be killed by it.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_SIGNALS_H
#define FEDMQ_ACTORS_LAUNCHER_SIGNALS_H

#include "fedmq/base/error.h"

/* A descriptor that is readable once a signal has come, or -1 with err.
 * Also keeps CZMQ from watching for signals itself. */
int fmq_signals_open(fmq_error_t *err);
/* Takes the signal that has come: its number, or 0 when there was none. */
int fmq_signals_take(int descriptor);
void fmq_signals_close(int *descriptor_p);

#endif
