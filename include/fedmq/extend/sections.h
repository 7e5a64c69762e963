/*
 * sections.h - what a checkpoint consists of: named vectors and bytes.
 */
#ifndef FEDMQ_EXTEND_SECTIONS_H
#define FEDMQ_EXTEND_SECTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "fedmq/base/api.h"
#include "fedmq/base/schema.h"

FMQ_API_BEGIN

#define FMQ_SECTIONS_MAX     16
#define FMQ_SECTION_NAME_MAX 64 /* bytes with NUL */

#define FMQ_SECTION_STATE    "state"
#define FMQ_SECTION_EMULATOR "emulator"
#define FMQ_SECTION_METHOD   "method." /* what a method keeps begins its names so */

/* A part of a checkpoint; everything is borrowed. */
typedef struct {
    const char *name;           /* fewer than FMQ_SECTION_NAME_MAX bytes */
    const fmq_schema_t *schema; /* of vector; NULL: the section is bytes */
    float *vector;
    void *bytes;
    size_t size;     /* of bytes; loading fills it */
    size_t capacity; /* room at bytes for loading */
    bool optional;   /* loading: a file that has no such section is right too */
    bool found;      /* loading fills it */
} fmq_section_t;

/* What a checkpoint consists of, in the order of the file.  Loading fills the
 * vectors and bytes by name, whatever the order; they are undefined when it
 * fails. */
typedef struct {
    fmq_section_t items[FMQ_SECTIONS_MAX];
    size_t size;
    const char *passed_over; /* loading: what a file holds beside items is refused, except
                                sections whose names begin with this; NULL: no exception */
} fmq_sections_t;

/* One more; more than FMQ_SECTIONS_MAX, which only a mistake of ours can be, is
 * found by saving and loading.  The section, for who sets more of it. */
fmq_section_t *fmq_sections_add(fmq_sections_t *self, const char *name, const fmq_schema_t *schema,
                                float *vector);
fmq_section_t *fmq_sections_add_bytes(fmq_sections_t *self, const char *name, void *bytes,
                                      size_t size, size_t capacity);
/* NULL when there is none. */
fmq_section_t *fmq_sections_find(fmq_sections_t *self, const char *name);

FMQ_API_END

#endif
