/*
 * names.c - the one search through the tables of methods, rules and samplers.
 */
#include "actors/strategy/names.h"

#include <stdio.h>
#include <string.h>

int fmq_names_find(const fmq_names_t *self, const char *name, fmq_error_t *err)
{
    char names[256] = "";
    const char *row, *help;
    for (size_t i = 0; (row = self->at(i, &help)); i++) {
        size_t used = strlen(names);
        if (self->compare(row, name) == 0)
            return (int)i;
        (void)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", row);
    }
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "there is no %s '%s'; fedmq has: %s (%s)",
                         self->what, name, names, self->key);
}
