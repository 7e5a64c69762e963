/*
 * extensions.h - shared objects that add methods, rules, samplers, splitters and codecs (--load).
 *
 * What they bring is checked before anybody is asked, and becomes names that a configuration may
 * choose (fmq_config_set_offers()).  An object stays loaded as long as the process lives.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_EXTENSIONS_H
#define FEDMQ_ACTORS_LAUNCHER_EXTENSIONS_H

#include "fedmq/base/config.h"

#define FMQ_EXTENSIONS_OFFERS_MAX 128  /* names of all that are loaded */
#define FMQ_EXTENSIONS_LINE_MAX   1024 /* bytes of a line about one */

typedef struct fmq_extensions fmq_extensions_t;

/* NULL: out of memory. */
fmq_extensions_t *fmq_extensions_new(void);
void fmq_extensions_destroy(fmq_extensions_t **self_p);

/* Loads one more; line then says what it has brought.  -1 with nothing added: FMQ_ERR_NOTFOUND,
 * FMQ_ERR_FORMAT (not a shared object that can be loaded), FMQ_ERR_MISMATCH (of another version,
 * or no extension), FMQ_ERR_CONFIG (a name that is taken), FMQ_ERR_UNSUPPORTED (a table that
 * lacks what it must have), FMQ_ERR_LIMIT. */
int fmq_extensions_load(fmq_extensions_t *self, const char *file,
                        char line[FMQ_EXTENSIONS_LINE_MAX], fmq_error_t *err);

/* All that was loaded; borrowed. */
const fmq_config_offers_t *fmq_extensions_offers(const fmq_extensions_t *self);

#endif
