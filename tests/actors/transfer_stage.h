/*
 * transfer_stage.h - what the tests of manifests, caches and fetching share: a
 * model that is not there, its manifest and its parts.
 */
#ifndef FEDMQ_TESTS_ACTORS_TRANSFER_STAGE_H
#define FEDMQ_TESTS_ACTORS_TRANSFER_STAGE_H

#include "actors/model_transfer/manifest.h"
#include "fedmq/broker/object.h"

/* Part `index` of the model of a seed, sizes beyond one chunk for index 2. */
fmq_object_t *stage_part(uint32_t index, uint32_t seed);

/* Six layers, [1, 5) emulated by its layers 1 and 4: stem, four layers, of
 * which the last two are the same, and two files.  objects (may be NULL) takes
 * the parts; part i of fmq_manifest_at() is objects[i]. */
#define STAGE_PARTS 7
fmq_manifest_t *stage_manifest(uint32_t seed, fmq_object_t *objects[STAGE_PARTS]);

/* The whole of a file, the caller's; NULL when it is not there. */
void *stage_read(const char *path, size_t *size);
void stage_write(const char *path, const void *data, size_t size);
/* Whether the file holds exactly the object's bytes. */
bool stage_holds(const char *path, const fmq_object_t *object);

#endif
