/*
 * damaged_updates.h - breaks one update of a log on purpose.
 */
#ifndef FEDMQ_TESTS_ACTORS_DAMAGED_UPDATES_H
#define FEDMQ_TESTS_ACTORS_DAMAGED_UPDATES_H

#include <stdint.h>

/* Flips a bit of the first chunk of what this client's committed update consists
 * of; fails the test where the log has none. */
void damage_update(const char *path, uint32_t client);

#endif
