/*
 * merge.h - a tree that was read against the table of keys, and into another
 * tree.
 */
#ifndef FEDMQ_BASE_CONFIG_MERGE_H
#define FEDMQ_BASE_CONFIG_MERGE_H

#include "base/config/mistakes.h"
#include "base/config/node.h"
#include "base/config/offers.h"

/* Removes from a map what is not declared or has a wrong value, adding a
 * mistake for each, and brings the rest into its declared form.  offers may be NULL.
 * -1: out of memory. */
int fmq_merge_check(fmq_node_t *map, const fmq_config_offers_t *offers, fmq_mistakes_t *mistakes);

/* Moves everything of *from_p, a checked map, into map, over what was there.
 * -1: out of memory; *from_p is destroyed in any case. */
int fmq_merge_graft(fmq_node_t *map, fmq_node_t **from_p);

/* Checks one value against its key; "" or what is wrong in words.  Words may be those of
 * key->choices, and of offers, which may be NULL. */
void fmq_merge_judge(const fmq_key_t *key, const fmq_config_offers_t *offers,
                     const fmq_node_t *node, char *out, size_t size);

#endif
