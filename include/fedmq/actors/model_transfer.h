/*
 * model_transfer.h - how a client that holds no model gets the one it trains.
 *
 * The server publishes the client's model (llm/offsite.h) part by part, and a
 * manifest that says what it is made of and that the run's note names.  Parts
 * of the full model that the client's lacks are not published.  Whoever has a
 * client's or an evaluator's role fetches what its cache does not hold, and
 * puts the model together.
 *
 * The cache is a directory of files named by the digests of what they hold
 * (hexadecimal); "<digest>.part" is one on its way, and is taken up again
 * where it ended.  Processes may share it.  docs/protocol.md has the bytes.
 */
#ifndef FEDMQ_ACTORS_MODEL_TRANSFER_H
#define FEDMQ_ACTORS_MODEL_TRANSFER_H

#include "fedmq/actors/blob.h"
#include "fedmq/actors/messages.h"
#include "fedmq/base/api.h"
#include "fedmq/broker/link.h"
#include "fedmq/llm/offsite.h"
#include "fedmq/llm/tokenizer.h"

FMQ_API_BEGIN

#define FMQ_MANIFEST_CONFIG_MAX (16u * 1024)  /* bytes of config.json with NUL */
#define FMQ_MANIFEST_FILES_MAX  8             /* of the tokenizer */
#define FMQ_MANIFEST_NAME_MAX   32            /* bytes of a file's name with NUL */
#define FMQ_MANIFEST_MAX        (192u * 1024) /* bytes of a manifest */

typedef struct {
    char name[FMQ_MANIFEST_NAME_MAX]; /* "tokenizer.json": one of a few, never a path */
    fmq_blob_t part;
} fmq_manifest_file_t;

/* What a client's model is made of: see llm_offsite_t. */
typedef struct {
    char config[FMQ_MANIFEST_CONFIG_MAX]; /* config.json of the full model */
    uint32_t l, r, behind;
    uint32_t layers; /* of the client's model */
    uint32_t source[LLM_LAYERS_MAX];
    fmq_blob_t stem, parts[LLM_LAYERS_MAX];
    uint32_t files;
    fmq_manifest_file_t file[FMQ_MANIFEST_FILES_MAX];
} fmq_manifest_t;

/* The size written into out, or 0 with FMQ_ERR_LIMIT. */
size_t fmq_manifest_encode(const fmq_manifest_t *self, void *out, size_t capacity,
                           fmq_error_t *err);
/* Takes a stranger's bytes: FMQ_ERR_FORMAT unless layers, source and names make
 * sense; *out is untouched on failure. */
int fmq_manifest_decode(fmq_manifest_t *out, const void *data, size_t size, fmq_error_t *err);
/* Reads the full model's shape.  FMQ_ERR_MISMATCH when its layers are not what
 * the rest says, FMQ_ERR_LIMIT when a part is larger than any part of such a
 * model can be. */
int fmq_manifest_shape(const fmq_manifest_t *self, llm_shape_t *full, fmq_error_t *err);
/* Bytes of all parts and files, those that occur twice counted once. */
uint64_t fmq_manifest_bytes(const fmq_manifest_t *self);

/* How many objects borrow the memory of a model.  Sockets that are closed may
 * read an object for a moment more, so whoever owns the model awaits that. */
typedef struct fmq_pins fmq_pins_t;

fmq_pins_t *fmq_pins_new(void);
/* Nothing may be lent any more. */
void fmq_pins_destroy(fmq_pins_t **self_p);
/* 0 when nothing is lent; FMQ_ERR_TIMEOUT when something still is: then neither
 * the model nor self may be destroyed. */
int fmq_pins_await(fmq_pins_t *self, uint32_t timeout_ms, fmq_error_t *err);

typedef struct {
    const llm_offsite_t *offsite;
    const char *tokenizer; /* directory of its files; those that are not there are left out */
    fmq_pins_t *pins;
} fmq_model_offer_t;

/* Publishes the parts of the offsite student, the tokenizer's files, and the
 * manifest, whose digest and size are for the run's note.  Weights are not
 * copied: the models must live until nothing is lent. */
int fmq_model_publish(fmq_link_t *link, const fmq_model_offer_t *offer, fmq_blob_t *manifest,
                      fmq_error_t *err);

/* Whether full is the model that the manifest's parts were taken from, by the
 * bytes of the stem and of the layers that are trained: 0, or FMQ_ERR_MISMATCH. */
int fmq_model_match(const llm_model_t *full, const fmq_manifest_t *manifest, fmq_error_t *err);

typedef struct {
    uint32_t part, parts; /* the one that is being fetched, from 1, of those that are missing */
    uint64_t bytes;       /* here so far, of those that are missing */
    uint64_t bytes_total;
    bool waiting; /* another process is fetching this one */
} fmq_model_progress_t;

typedef struct {
    fmq_link_t *link;      /* of a client's or evaluator's role; no fetch may be under way */
    const char *directory; /* the cache */
    void (*show)(void *argument, const fmq_model_progress_t *progress); /* may be NULL; often */
    int (*stop)(void *argument); /* may be NULL; other than 0: FMQ_ERR_STOPPED */
    /* May be NULL: is handed every event of the link, and NULL when none came for
     * a while; -1 with err ends it. */
    int (*watch)(void *argument, const fmq_event_t *event, fmq_error_t *err);
    void *argument; /* of all */
} fmq_model_download_t;

/* Waits for a run, reads its manifest and fetches all parts that the cache
 * does not hold whole and right.  Goes on through restarts of the server.
 * Takes every event of the link.  FMQ_ERR_MISMATCH when the run has no
 * manifest, FMQ_ERR_LIMIT when the disk has no room, FMQ_ERR_NOTFOUND when the
 * run ended meanwhile. */
int fmq_model_download(const fmq_model_download_t *self, fmq_manifest_t *manifest,
                       fmq_error_t *err);

/* What a client computes with instead of the full model; both owned. */
typedef struct {
    llm_emulator_t *emulator;
    llm_tokenizer_t *tokenizer;
} fmq_assembled_t;

/* Puts it together from a cache that holds all parts.  spec: of the adapter,
 * as the run's configuration says it.  Placed with be, or, when that is NULL,
 * where it is first computed with. */
int fmq_assembled_open(fmq_assembled_t *self, const char *directory, const fmq_manifest_t *manifest,
                       const llm_adapter_spec_t *spec, llm_backend_t *be, fmq_error_t *err);
void fmq_assembled_close(fmq_assembled_t *self);

FMQ_API_END

#endif
