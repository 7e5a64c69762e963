/*
 * offers.h - names that somebody adds to those that the table of keys has.
 */
#ifndef FEDMQ_BASE_CONFIG_OFFERS_H
#define FEDMQ_BASE_CONFIG_OFFERS_H

#include "fedmq/base/config.h"

#define FMQ_OFFERS_CHOICES_MAX 512 /* bytes of a list that is said; a longer one is cut */

/* May names be added to this key? */
bool fmq_offers_is_key(const char *path);

/* NULL when there is none; offers may be NULL. */
const fmq_config_offer_t *fmq_offers_find(const fmq_config_offers_t *offers, const char *path,
                                          const char *name);

/* key's choices and what is offered beside them, as "a|b|c". */
void fmq_offers_choices(const fmq_config_offers_t *offers, const fmq_key_t *key,
                        char out[FMQ_OFFERS_CHOICES_MAX]);

#endif
