/*
 * sampler.c - uniform choice without replacement.  Every client draws a number
 * from a stream of its own and the smallest ones win, so that a client that is
 * missing changes as little as possible for the others.
 */
#include "fedmq/extend/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "actors/strategy/names.h"
#include "fedmq/base/rng.h"

typedef struct {
    uint64_t draw;
    uint32_t client;
} ticket_t;

static int by_draw(const void *a, const void *b)
{
    const ticket_t *x = a, *y = b;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return (x->client > y->client) - (x->client < y->client);
}

static int by_client(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static int choose_uniform(const fmq_sampling_t *sampling, uint32_t *chosen, size_t *count,
                          fmq_error_t *err)
{
    size_t wanted = sampling->wanted < sampling->size ? sampling->wanted : sampling->size;
    *count = wanted;
    if (wanted == 0)
        return 0;
    ticket_t *tickets = calloc(sampling->size, sizeof *tickets);
    if (!tickets)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to sample %zu clients", sampling->size);
    for (size_t i = 0; i < sampling->size; i++) {
        fmq_rng_name_t name = {.seed = sampling->seed,
                               .purpose = FMQ_RNG_SAMPLER,
                               .client = sampling->candidates[i],
                               .round = sampling->round};
        fmq_rng_t rng;
        fmq_rng_init(&rng, &name);
        tickets[i] = (ticket_t){fmq_rng_u64(&rng), sampling->candidates[i]};
    }
    qsort(tickets, sampling->size, sizeof *tickets, by_draw);
    for (size_t i = 0; i < wanted; i++)
        chosen[i] = tickets[i].client;
    free(tickets);
    qsort(chosen, wanted, sizeof *chosen, by_client);
    return 0;
}

static const fmq_sampler_t samplers[] = {
    {"uniform", "every set of clients is equally likely", choose_uniform},
};

const char *fmq_sampler_at(size_t index, const char **help)
{
    const fmq_sampler_t *sampler =
        index < sizeof samplers / sizeof *samplers ? &samplers[index] : NULL;
    *help = sampler ? sampler->help : NULL;
    return sampler ? sampler->name : NULL;
}

const fmq_sampler_t *fmq_sampler_find(const char *name, fmq_error_t *err)
{
    static const fmq_names_t names = {"sampler", "federate.sampler", fmq_sampler_at, strcmp};
    int index = fmq_names_find(&names, name, err);
    return index < 0 ? NULL : &samplers[index];
}

const fmq_sampler_t *fmq_sampler_of(const fmq_config_t *config, fmq_error_t *err)
{
    const char *name = fmq_config_text(config, "federate.sampler");
    const fmq_sampler_t *own = fmq_config_offered(config, "federate.sampler", name);
    return own ? own : fmq_sampler_find(name, err);
}

/* Is there one among the candidates?  They are in any order. */
static bool all_are_candidates(const fmq_sampling_t *sampling, const uint32_t *chosen, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < sampling->size; i++)
        found +=
            bsearch(&sampling->candidates[i], chosen, count, sizeof *chosen, by_client) != NULL;
    return found == count;
}

int fmq_sampler_choose(const fmq_sampler_t *self, const fmq_sampling_t *sampling, uint32_t *chosen,
                       size_t *count, fmq_error_t *err)
{
    size_t wanted = sampling->wanted < sampling->size ? sampling->wanted : sampling->size;
    *count = 0;
    if (self->choose(sampling, chosen, count, err) < 0)
        return -1;
    bool right = *count == wanted;
    for (size_t i = 1; right && i < *count; i++)
        right = chosen[i - 1] < chosen[i];
    if (right && (*count == 0 || all_are_candidates(sampling, chosen, *count)))
        return 0;
    return fmq_error_set(err, FMQ_ERR_INTERNAL,
                         "sampler '%s' was asked for %zu of %zu clients, and did not give as many, "
                         "ascending, each of them once",
                         self->name, wanted, sampling->size);
}

size_t fmq_sampler_wanted(int64_t number, double rate, size_t participating)
{
    if (participating == 0)
        return 0;
    if (rate > 0 && rate <= 1) {
        size_t wanted = (size_t)(rate * (double)participating);
        return wanted > 0 ? wanted : 1;
    }
    if (number > 0 && (uint64_t)number <= participating)
        return (size_t)number;
    return participating;
}
