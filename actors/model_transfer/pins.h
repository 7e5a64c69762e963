/*
 * pins.h - the lender's side of fmq_pins_t.
 */
#ifndef FEDMQ_ACTORS_MODEL_TRANSFER_PINS_H
#define FEDMQ_ACTORS_MODEL_TRANSFER_PINS_H

#include "fedmq/actors/model_transfer.h"

/* One more object borrows; one does not any more (from any thread). */
void fmq_pins_take(fmq_pins_t *self);
void fmq_pins_give(fmq_pins_t *self);

#endif
