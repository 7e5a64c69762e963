/*
 * config_private.h - the inside of a config, for the files of this folder.
 */
#ifndef FEDMQ_BASE_CONFIG_PRIVATE_H
#define FEDMQ_BASE_CONFIG_PRIVATE_H

#include "base/config/mistakes.h"
#include "base/config/node.h"

typedef struct {
    uint32_t client;
    fmq_node_t *overrides; /* owned; a map without a name */
} fmq_config_client_t;

struct fmq_config {
    fmq_node_t *root; /* owned; every declared key and what was added to open nodes */
    fmq_mistakes_t mistakes;
    fmq_config_client_t *clients; /* owned */
    size_t clients_size, clients_capacity;
    const fmq_config_offers_t *offers; /* borrowed; NULL: none */
    unsigned pairs;                    /* KEY VALUE pairs so far: the "line" of the command line */
};

/* A tree of all the declared keys at their defaults.  NULL: out of memory. */
fmq_node_t *fmq_config_defaults(void);

/* Puts *leaf_p at a dotted path below map, with the maps between.  -1: out of
 * memory. */
int fmq_config_put(fmq_node_t *map, const char *path, fmq_node_t **leaf_p);

/* The overrides of a client, made when missing.  NULL: out of memory. */
fmq_node_t *fmq_config_client_overrides(fmq_config_t *self, uint32_t client);

/* The k of "client_<k>", or -1. */
long fmq_config_client_number(const char *name);

/* Checks and merges a whole tree, which it takes in any case; the nodes
 * client_<k> of its first level become overrides.  -1: out of memory. */
int fmq_config_merge(fmq_config_t *self, fmq_node_t **root_p, bool clients_only);

/* What a loading function returns, given what it met (rc < 0: out of memory)
 * and the number of mistakes before it. */
int fmq_config_outcome(const fmq_config_t *self, int rc, size_t before, fmq_error_t *err);

/* The default of one key as a node.  NULL: out of memory. */
fmq_node_t *fmq_config_default_of(const fmq_key_t *key);

/* A value on one line, as YAML; the caller's.  NULL: out of memory. */
char *fmq_config_flow(const fmq_node_t *node);

/* True when the switch `use` of a node above path is False. */
bool fmq_config_switched_off(const fmq_config_t *self, const char *path);

/* True when the key was given with another value than its default. */
bool fmq_config_differs(const fmq_config_t *self, const fmq_key_t *key);

/* The metric that decides, "val_loss", when its part of the data is not among
 * those that are evaluated; else NULL. */
const char *fmq_config_unmeasured(const fmq_config_t *self);

/* Adds a mistake for everything that does not fit together. */
void fmq_config_cross_check(const fmq_config_t *self, fmq_mistakes_t *mistakes);

#endif
