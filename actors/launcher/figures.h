/*
 * figures.h - numbers as people read them: "12.3 MB", "1:05", "[####....]".
 *
 * Each writes a text with NUL into out, cut where capacity is too small.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_FIGURES_H
#define FEDMQ_ACTORS_LAUNCHER_FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* In powers of 1000. */
void fmq_figure_bytes(uint64_t bytes, char *out, size_t capacity);
/* Minutes and seconds, and hours where there are any; a negative one is 0:00. */
void fmq_figure_duration(int64_t milliseconds, char *out, size_t capacity);
/* Of width cells between brackets; writes nothing where it does not fit whole. */
void fmq_figure_bar(double share, size_t width, char *out, size_t capacity);

#endif
