/*
 * figures.c - numbers as people read them.
 */
#include "actors/launcher/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void fmq_figure_bytes(uint64_t bytes, char *out, size_t capacity)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;
    if (bytes < 1000) {
        snprintf(out, capacity, "%u B", (unsigned)bytes);
        return;
    }
    while (value >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    snprintf(out, capacity, "%.1f %s", value, units[unit]);
}

void fmq_figure_duration(int64_t milliseconds, char *out, size_t capacity)
{
    int64_t seconds = milliseconds < 0 ? 0 : (milliseconds + 500) / 1000;
    if (seconds < 3600)
        snprintf(out, capacity, "%d:%02d", (int)(seconds / 60), (int)(seconds % 60));
    else
        snprintf(out, capacity, "%lld:%02d:%02d", (long long)(seconds / 3600),
                 (int)(seconds / 60 % 60), (int)(seconds % 60));
}

void fmq_figure_bar(double share, size_t width, char *out, size_t capacity)
{
    if (capacity < width + 3)
        return;
    double part = isfinite(share) ? fmin(fmax(share, 0), 1) : 0;
    size_t full = (size_t)(part * (double)width + 0.5);
    out[0] = '[';
    memset(out + 1, '#', full);
    memset(out + 1 + full, '.', width - full);
    out[width + 1] = ']';
    out[width + 2] = '\0';
}
