/*
 * computing.c - compares what members say, once for each thing that each says.
 */
#include "actors/server/computing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "fedmq/llm/adapter.h"

int fmq_computing_open(fmq_computing_t *self, const fmq_computing_options_t *options,
                       fmq_error_t *err)
{
    uint32_t clients = options->clients;
    self->options = *options;
    self->known = calloc(clients, sizeof *self->known);
    return self->known ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %u clients", clients);
}

void fmq_computing_release(fmq_computing_t *self)
{
    free(self->known);
    memset(self, 0, sizeof *self);
}

static void tell(fmq_computing_t *self, const char *member, const llm_difference_t *difference)
{
    char line[512];
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "computes-otherwise",
                  "name=%s key=%s there=%s here=%s", member, difference->key, difference->here,
                  difference->there);
    if (self->told)
        return;
    self->told = true;
    (void)snprintf(line, sizeof line,
                   "%s computes with %s %s, the settings here say %s: what it learns and measures "
                   "is of that, and counts all the same (run.log names others: computes-otherwise)",
                   member, difference->key, difference->here, difference->there);
    if (self->options.say)
        self->options.say(self->options.argument, line);
}

void fmq_computing_hear(fmq_computing_t *self, const char *member, uint64_t *known,
                        const char *computes)
{
    llm_difference_t difference;
    uint64_t said = fmq_checksum(computes, strlen(computes));
    if (!*self->options.own || !*computes || said == *known)
        return;
    *known = said;
    if (llm_meaning_differs(self->options.own, computes, &difference))
        tell(self, member, &difference);
}

void fmq_computing_hear_client(fmq_computing_t *self, uint32_t client, const char *member,
                               const char *computes)
{
    fmq_computing_hear(self, member, &self->known[client - 1], computes);
}
