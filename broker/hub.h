/*
 * hub.h - how the actors' ends of links reach the hub's thread.
 */
#ifndef FEDMQ_BROKER_HUB_H
#define FEDMQ_BROKER_HUB_H

#include "broker/link_pipe.h"
#include "fedmq/broker/hub.h"

/* Queues a command for its port; the hub owns it.  OPEN comes first and takes
 * the port, CLOSE last.  Any thread. */
void fmq_hub_give(fmq_hub_t *self, fmq_command_t *command);

#endif
