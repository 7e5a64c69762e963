/*
 * reader.h - text to tree: YAML by libyaml's events, and Python literals.
 */
#ifndef FEDMQ_BASE_CONFIG_READER_H
#define FEDMQ_BASE_CONFIG_READER_H

#include <stddef.h>

#include "base/config/mistakes.h"
#include "base/config/node.h"

#define FMQ_MAP_CHILDREN_MAX 4096 /* entries of one map */

/* Reads one YAML document in UTF-8, with a byte order mark or not.  Every mistake is added to
 * mistakes as "name:line:column: ..."; what could be read is returned all the same. NULL: nothing
 * could be read (an empty document gives an empty map). */
fmq_node_t *fmq_yaml_read(const char *name, const char *text, size_t size,
                          fmq_mistakes_t *mistakes);

/* Reads one Python literal: tuples, lists, dicts, quoted texts, numbers, True,
 * False, None.  NULL when text is anything else, or when memory is short. */
fmq_node_t *fmq_literal_read(const char *text);

/* Turns a scalar that starts with ( [ or { into the literal that it holds;
 * leaves it as it is when it holds none. */
void fmq_literal_decode(fmq_node_t *node);

#endif
