/*
 * proc.c - reads those files anew each time; keeps nothing.
 */
#include "base/proc.h"

#include <stdio.h>
#include <string.h>

uint64_t fmq_proc_number(const char *path)
{
    unsigned long long number = 0;
    FILE *file = fopen(path, "r");
    int found = file ? fscanf(file, "%llu", &number) : 0;
    if (file)
        fclose(file);
    return found == 1 ? number : UINT64_MAX;
}

uint64_t fmq_proc_kilobytes(const char *path, const char *name)
{
    char line[256];
    unsigned long long kilobytes = 0;
    bool found = false;
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, name, strlen(name)) == 0 &&
                sscanf(line + strlen(name), ": %llu", &kilobytes) == 1;
    if (file)
        fclose(file);
    return found ? (uint64_t)kilobytes << 10 : UINT64_MAX;
}

uint64_t fmq_proc_memory(bool *container)
{
    uint64_t there = fmq_proc_kilobytes("/proc/meminfo", "MemAvailable");
    uint64_t most = fmq_proc_number("/sys/fs/cgroup/memory.max");
    uint64_t in_use = fmq_proc_number("/sys/fs/cgroup/memory.current");
    uint64_t left = most > in_use ? most - in_use : 0;
    bool less = most != UINT64_MAX && in_use != UINT64_MAX && left < there;
    if (container)
        *container = less;
    return less ? left : there;
}
