/*
 * hub.c - attends the ports that something happened to, and sleeps.
 *
 * A turn costs what happened in it, however many ports there are: commands and
 * messages name their port, timers lie in a heap, and ports that wait for a
 * connection to take more are tried one by one, until it is full again.
 */
#include "broker/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bell.h"
#include "base/thread.h"
#include "broker/actor.h"
#include "broker/port.h"
#include "fedmq/base/clock.h"

#define MESSAGES_A_TURN 256 /* of a connection */
#define SLEEP_MS        60000
#define SLOT_BITS       17 /* of a lane; above them is how often the slot was given out */
#define SLOT_MASK       ((1u << SLOT_BITS) - 1)
#define ITEMS_MIN       4
_Static_assert(FMQ_HUB_LINKS_MAX == 1u << SLOT_BITS, "a slot for every link");

typedef struct {
    fmq_port_t *port; /* owned, or NULL: free */
    uint32_t lane;    /* of who has it, or will have it next */
    uint32_t next;    /* free: the one that is given out after it */
} slot_t;

struct fmq_hub {
    pthread_t thread;
    pthread_mutex_t lock;        /* guards the queue and `ending` */
    fmq_command_t *first, *last; /* owned */
    bool ending;
    int bell; /* readable when the queue is not empty, or the end has come */
    /* The thread's alone: */
    int64_t now_ms;
    slot_t *slots; /* owned array */
    uint32_t size, capacity, free;
    fmq_timers_t timers;
    fmq_port_list_t busy; /* to be attended in this turn */
    fmq_connections_t connections;
    zmq_pollitem_t *items; /* owned array */
    size_t items_max;
};

void fmq_hub_give(fmq_hub_t *self, fmq_command_t *command)
{
    command->next = NULL;
    pthread_mutex_lock(&self->lock);
    bool first = !self->first;
    *(first ? &self->first : &self->last->next) = command;
    self->last = command;
    pthread_mutex_unlock(&self->lock);
    if (first)
        fmq_bell_ring(self->bell);
}

static int grow(fmq_hub_t *self, fmq_error_t *err)
{
    uint32_t capacity = self->capacity ? 2 * self->capacity : 16;
    if (fmq_timers_reserve(&self->timers, capacity, err) < 0)
        return -1;
    slot_t *slots = realloc(self->slots, capacity * sizeof *slots);
    if (!slots)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u links", capacity);
    memset(slots + self->capacity, 0, (capacity - self->capacity) * sizeof *slots);
    self->slots = slots;
    self->capacity = capacity;
    return 0;
}

/* Gives a port a slot, whose lane no port had before.  Lanes of the first are
 * plain: a process with one link speaks without lane frames. */
static int add(fmq_hub_t *self, fmq_port_t *port, fmq_error_t *err)
{
    uint32_t place = self->free ? self->free - 1 : self->size;
    if (place == FMQ_HUB_LINKS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a process has at most %d links",
                             FMQ_HUB_LINKS_MAX);
    if (place == self->capacity && grow(self, err) < 0)
        return -1;
    slot_t *slot = &self->slots[place];
    if (self->free)
        self->free = slot->next;
    else
        slot->lane = self->size++;
    slot->port = port;
    port->route.lane = slot->lane;
    port->connections = &self->connections;
    return 0;
}

static void drop(fmq_hub_t *self, fmq_port_t *port)
{
    uint32_t place = port->route.lane & SLOT_MASK;
    slot_t *slot = &self->slots[place];
    fmq_timers_unset(&self->timers, &port->timer);
    fmq_port_destroy(&slot->port);
    slot->lane += 1u << SLOT_BITS;
    slot->next = self->free;
    self->free = place + 1;
}

static fmq_port_t *find(const fmq_hub_t *self, uint32_t lane)
{
    uint32_t place = lane & SLOT_MASK;
    if (place >= self->size || self->slots[place].lane != lane)
        return NULL;
    return self->slots[place].port;
}

/* A port without a slot has no life, but an actor that must be told and that
 * will close it. */
static void open_port(fmq_hub_t *self, fmq_port_t *port)
{
    fmq_error_t err;
    if (add(self, port, &err) == 0) {
        if (strncmp(port->pipe->endpoint, "tcp://", 6) == 0)
            fmq_log_write(port->pipe->log, FMQ_LOG_INFO, port->pipe->name, "connecting",
                          "endpoint=%s", port->pipe->endpoint);
        return;
    }
    port->homeless = true;
    fmq_port_refuse(port, &err);
}

static void attend_homeless(fmq_port_t *port, int64_t now_ms)
{
    fmq_port_attend(port, now_ms);
    if (port->over)
        fmq_port_destroy(&port);
}

static void take_commands(fmq_hub_t *self)
{
    fmq_bell_silence(self->bell);
    pthread_mutex_lock(&self->lock);
    fmq_command_t *command = self->first;
    self->first = NULL;
    pthread_mutex_unlock(&self->lock);
    while (command) {
        fmq_command_t *next = command->next;
        fmq_port_t *port = command->port;
        if (command->type == FMQ_COMMAND_OPEN)
            open_port(self, port);
        fmq_port_obey(port, command, self->now_ms);
        if (port->homeless)
            attend_homeless(port, self->now_ms);
        else
            fmq_port_move(port, &self->busy);
        fmq_command_destroy(&command);
        command = next;
    }
}

/* What comes for a lane that nobody has, or has on another connection, is late. */
static void deliver(fmq_hub_t *self, const fmq_connection_t *connection, fmq_received_t *in,
                    const fmq_error_t *malformed)
{
    fmq_port_t *port = find(self, in->route.lane);
    if (!port || port->connection != connection)
        return;
    if (malformed) {
        fmq_log_write(port->pipe->log, FMQ_LOG_WARNING, port->pipe->name, "message-dropped",
                      "reason=\"%s\"", malformed->text);
        return;
    }
    fmq_port_hear(port, in, self->now_ms);
    fmq_port_move(port, &self->busy);
}

static void receive(fmq_hub_t *self, fmq_connection_t *connection)
{
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        fmq_error_t err;
        fmq_received_t in;
        int rc = fmq_socket_receive(connection->socket, false, &in, &err);
        if (rc == 0)
            return;
        deliver(self, connection, &in, rc < 0 ? &err : NULL);
        fmq_frame_destroy(&in.payload);
    }
}

static void attend(fmq_hub_t *self, fmq_port_t *port)
{
    fmq_port_attend(port, self->now_ms);
    if (port->now_ms > self->now_ms) /* it took its time */
        self->now_ms = port->now_ms;
    if (port->over) {
        drop(self, port);
        return;
    }
    fmq_timers_set(&self->timers, &port->timer, fmq_port_due(port));
    if (port->blocked && port->connection)
        fmq_port_move(port, &port->connection->waiting);
}

static void attend_busy(fmq_hub_t *self)
{
    fmq_timer_t *timer;
    fmq_port_t *port;
    while ((timer = fmq_timers_first(&self->timers)) && timer->due_ms <= self->now_ms) {
        fmq_timers_unset(&self->timers, timer);
        fmq_port_move((fmq_port_t *)timer, &self->busy);
    }
    while ((port = fmq_port_list_take(&self->busy)))
        attend(self, port);
}

/* A port that waits for a connection which takes more, or NULL. */
static fmq_port_t *next_waiting(fmq_hub_t *self)
{
    for (fmq_connection_t *at = self->connections.first; at; at = at->next)
        if (!at->blocked && at->waiting.first)
            return fmq_port_list_take(&at->waiting);
    return NULL;
}

static void turn(fmq_hub_t *self)
{
    fmq_port_t *port;
    self->now_ms = fmq_clock_ms();
    take_commands(self);
    for (fmq_connection_t *at = self->connections.first; at; at = at->next)
        receive(self, at);
    attend_busy(self);
    while ((port = next_waiting(self)))
        attend(self, port);
}

static size_t fill_items(fmq_hub_t *self)
{
    size_t size = 1;
    self->items[0] = (zmq_pollitem_t){.fd = self->bell, .events = ZMQ_POLLIN};
    for (fmq_connection_t *at = self->connections.first; at && size < self->items_max;
         at = at->next)
        self->items[size++] = (zmq_pollitem_t){
            .socket = zsock_resolve(at->socket),
            .events = (short)(at->blocked ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN)};
    return size;
}

/* Room for an item a connection; without memory for it those beyond wait. */
static void make_room(fmq_hub_t *self)
{
    size_t wanted = self->connections.size + 1;
    if (wanted <= self->items_max)
        return;
    zmq_pollitem_t *items = realloc(self->items, 2 * wanted * sizeof *items);
    if (!items)
        return;
    self->items = items;
    self->items_max = 2 * wanted;
}

static void sleep_until_something_happens(fmq_hub_t *self)
{
    make_room(self);
    size_t size = fill_items(self), i = 1;
    int pause = fmq_timers_wait(&self->timers, fmq_clock_ms(), SLEEP_MS);
    if (zmq_poll(self->items, (int)size, pause) <= 0)
        return;
    for (fmq_connection_t *at = self->connections.first; at && i < size; at = at->next, i++)
        if (self->items[i].revents & ZMQ_POLLOUT)
            at->blocked = false;
}

static bool has_ended(fmq_hub_t *self)
{
    pthread_mutex_lock(&self->lock);
    bool ended = self->ending && !self->first;
    pthread_mutex_unlock(&self->lock);
    return ended;
}

static void *run(void *argument)
{
    fmq_hub_t *self = argument;
    while (!has_ended(self)) {
        sleep_until_something_happens(self);
        turn(self);
    }
    for (uint32_t i = 0; i < self->size; i++)
        fmq_port_destroy(&self->slots[i].port);
    return NULL;
}

static void release(fmq_hub_t *self)
{
    if (self->bell >= 0)
        close(self->bell);
    fmq_timers_release(&self->timers);
    free(self->slots);
    free(self->items);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static int start(fmq_hub_t *self, fmq_error_t *err)
{
    if (fmq_actor_ask("the links", err) < 0)
        return -1;
    self->bell = fmq_bell_open();
    self->items = calloc(ITEMS_MIN, sizeof *self->items);
    self->items_max = ITEMS_MIN;
    if (self->bell < 0 || !self->items)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory or files for the links: %s",
                             strerror(errno));
    int failed = fmq_thread_start(&self->thread, run, self);
    return failed == 0
               ? 0
               : fmq_error_set(err, FMQ_ERR_NOMEM, "no thread for the links: %s", strerror(failed));
}

fmq_hub_t *fmq_hub_new(fmq_error_t *err)
{
    fmq_hub_t *self = calloc(1, sizeof *self);
    if (!self || pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the links");
        return NULL;
    }
    self->bell = -1;
    if (start(self, err) == 0)
        return self;
    release(self);
    return NULL;
}

void fmq_hub_destroy(fmq_hub_t **self_p)
{
    fmq_hub_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock(&self->lock);
    self->ending = true;
    pthread_mutex_unlock(&self->lock);
    fmq_bell_ring(self->bell);
    pthread_join(self->thread, NULL);
    release(self);
    *self_p = NULL;
}
