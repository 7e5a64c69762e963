/*
 * client_list.h - a list of clients in a file of its own: who was asked in a
 * round, and whose updates its state is made of.
 *
 * "<run> <round> <count> <client>...", a newline, and the digest of that line in
 * hexadecimal.
 */
#ifndef FEDMQ_ACTORS_STORAGE_CLIENT_LIST_H
#define FEDMQ_ACTORS_STORAGE_CLIENT_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"
#include "fedmq/base/log.h"

typedef struct {
    const char *folder, *name; /* of the file */
    const char *run;
    uint32_t round;
    fmq_log_t *log; /* may be NULL */
} fmq_client_list_t;

/* Makes the list durable, in the place of what is there. */
int fmq_client_list_save(const fmq_client_list_t *self, const uint32_t *clients, size_t size,
                         fmq_error_t *err);
/* 1, and the list is the caller's to free; 0 when there is none that is intact
 * and of this run and round; -1. */
int fmq_client_list_load(const fmq_client_list_t *self, uint32_t **clients, size_t *size,
                         fmq_error_t *err);

#endif
