/*
 * manifest.h - what the parts of this room know of manifests and the public
 * header does not say.
 */
#ifndef FEDMQ_ACTORS_MODEL_TRANSFER_MANIFEST_H
#define FEDMQ_ACTORS_MODEL_TRANSFER_MANIFEST_H

#include "fedmq/actors/model_transfer.h"

/* Names of a tokenizer's files that may travel, NULL at the end. */
const char *fmq_manifest_file_name(size_t index);

/* Part `index` of all there are: the stem, the layers, the files; NULL behind
 * the last. */
const fmq_blob_t *fmq_manifest_at(const fmq_manifest_t *self, size_t index);
/* Whether an earlier part is the same. */
bool fmq_manifest_repeats(const fmq_manifest_t *self, size_t index);

#endif
