/*
 * keys.h - look-up in the table of declared keys.  Used inside base/config
 * only; everybody else asks a config.
 */
#ifndef FEDMQ_BASE_CONFIG_KEYS_H
#define FEDMQ_BASE_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "fedmq/base/config.h"

#define FMQ_KEY_PATH_MAX 256   /* bytes of a dotted path with the final NUL */
#define FMQ_KEY_MANY     1e300 /* as the most of a range: no upper limit */

/* What is built of adapter_package and adapter_method in llm.adapter.args, in any case. */
#define FMQ_KEY_ADAPTER_PACKAGES "peft"
#define FMQ_KEY_ADAPTER_METHODS  "lora|ia3|prompt|p-tuning|prefix"

/* The declared key of that path, or NULL. */
const fmq_key_t *fmq_key_find(const char *path);

/* True when declared keys lie below path ("train", "llm.adapter"). */
bool fmq_key_is_group(const char *path);

/* The open node that path lies below, or NULL. */
const fmq_key_t *fmq_key_open_above(const char *path);

/* The path that old name stands for (data.batch_size), or NULL. */
const char *fmq_key_renamed(const char *path);

/* True when word is one of "a|b|c"; true too when choices is NULL. */
bool fmq_key_has_choice(const char *choices, const char *word);
/* The same in capitals or small letters, "a|b". */
bool fmq_key_has_name(const char *names, const char *word);

/* True when word is one of those that the key takes without acting on them. */
bool fmq_key_is_dead(const fmq_key_t *key, const char *word);

/* The declared path (or group) that is most like an unknown one, written into
 * out; an empty text when none is near. */
void fmq_key_nearest(const char *path, char out[FMQ_KEY_PATH_MAX]);

/* "real", "acted on", ... for people. */
const char *fmq_key_type_name(fmq_key_type_t type);
const char *fmq_key_status_name(fmq_key_status_t status);
/* "same", "more", "free". */
const char *fmq_key_resume_name(fmq_key_resume_t resume);

/* Writes the range as "0 to 1", "at least 0" or nothing. */
void fmq_key_range(const fmq_key_t *key, char *out, size_t size);

#endif
