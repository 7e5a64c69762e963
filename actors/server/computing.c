/*
 * computing.c - who computes with something else than the server's settings say:
 * other frozen weights, or another precision.
 *
 * Their updates count like any other.  But they were learnt over another base, and
 * losses are of that, so whoever runs the server must hear of it.
 */
#include <stdio.h>
#include <string.h>

#include "actors/server/coordinator_private.h"
#include "base/checksum.h"

static void tell(coordinator_t *self, const char *member, const llm_difference_t *difference)
{
    char line[512];
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "computes-otherwise",
                  "name=%s key=%s there=%s here=%s", member, difference->key, difference->here,
                  difference->there);
    if (self->computing_told)
        return;
    self->computing_told = true;
    (void)snprintf(line, sizeof line,
                   "%s computes with %s %s, the settings here say %s: what it learns and measures "
                   "is of that, and counts all the same (run.log names others: computes-otherwise)",
                   member, difference->key, difference->here, difference->there);
    if (self->options.say)
        self->options.say(self->options.say_argument, line);
}

void fmq_coordinator_compare_computing(coordinator_t *self, const char *member, uint64_t *known,
                                       const char *computes)
{
    llm_difference_t difference;
    const char *own = self->options.computes ? self->options.computes : "";
    uint64_t said = fmq_checksum(computes, strlen(computes));
    if (!*own || !*computes || said == *known)
        return;
    *known = said;
    if (llm_meaning_differs(own, computes, &difference))
        tell(self, member, &difference);
}
