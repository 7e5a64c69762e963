/*
 * tables.h - the notes' tables of keys, for whoever compares them with the page
 * that shows them (docs/runs.md).  Actors use the codecs of
 * fedmq/actors/messages.h.
 */
#ifndef FEDMQ_ACTORS_PROTOCOL_TABLES_H
#define FEDMQ_ACTORS_PROTOCOL_TABLES_H

#include "actors/protocol/fields.h"

/* The table of one note after the other; NULL behind the last. */
const fmq_fields_t *fmq_message_table(size_t index);

#endif
