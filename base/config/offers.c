/*
 * offers.c - names that somebody adds to those that the table of keys has.  What they stand for
 * is known to who has added them and to who asks for it, never to a config.
 */
#include "base/config/offers.h"

#include <stdio.h>
#include <string.h>

#include "base/config/config_private.h"

static const char *const offerable[] = {
    "aggregator.robust_rule", "data.splitter", "federate.method",
    "federate.sampler",       "fedmq.codec",   "fedmq.extension"};

bool fmq_offers_is_key(const char *path)
{
    for (size_t i = 0; i < sizeof offerable / sizeof *offerable; i++)
        if (strcmp(offerable[i], path) == 0)
            return true;
    return false;
}

const fmq_config_offer_t *fmq_offers_find(const fmq_config_offers_t *offers, const char *path,
                                          const char *name)
{
    for (size_t i = 0; offers && i < offers->size; i++)
        if (strcmp(offers->items[i].key, path) == 0 && strcmp(offers->items[i].name, name) == 0)
            return &offers->items[i];
    return NULL;
}

void fmq_offers_choices(const fmq_config_offers_t *offers, const fmq_key_t *key,
                        char out[FMQ_OFFERS_CHOICES_MAX])
{
    (void)snprintf(out, FMQ_OFFERS_CHOICES_MAX, "%s", key->choices ? key->choices : "");
    for (size_t i = 0; offers && i < offers->size; i++) {
        size_t used = strlen(out);
        if (strcmp(offers->items[i].key, key->path) == 0)
            (void)snprintf(out + used, FMQ_OFFERS_CHOICES_MAX - used, "%s%s", used ? "|" : "",
                           offers->items[i].name);
    }
}

void fmq_config_set_offers(fmq_config_t *self, const fmq_config_offers_t *offers)
{
    self->offers = offers;
}

const fmq_config_offers_t *fmq_config_offers(const fmq_config_t *self)
{
    return self->offers;
}

const void *fmq_config_offered(const fmq_config_t *self, const char *key, const char *name)
{
    const fmq_config_offer_t *offer = fmq_offers_find(self->offers, key, name);
    return offer ? offer->thing : NULL;
}
