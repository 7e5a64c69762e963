/*
 * lending.h - the lender's side of fmq_lending_t.
 */
#ifndef FEDMQ_ACTORS_LAYERS_LENDING_H
#define FEDMQ_ACTORS_LAYERS_LENDING_H

#include "fedmq/actors/layers.h"

/* One more object borrows; one does not any more (from any thread). */
void fmq_lending_take(fmq_lending_t *self);
void fmq_lending_give(fmq_lending_t *self);

#endif
