/*
 * tables.h - the notes' tables of keys, for whoever compares them with the page
 * that shows them (docs/runs.md).  Actors use the codecs of
 * fedmq/actors/notes.h.
 */
#ifndef FEDMQ_ACTORS_NOTES_TABLES_H
#define FEDMQ_ACTORS_NOTES_TABLES_H

#include "actors/notes/fields.h"

/* The table of one note after the other; NULL behind the last. */
const fmq_fields_t *fmq_note_table(size_t index);

#endif
