/*
 * roster.c - members by name and by connection.
 *
 * Members hang in a list in the order of their last changes, so that whoever
 * follows the changes need not look at all members.
 */
#include "broker/roster.h"

#include <stdlib.h>
#include <string.h>

struct fmq_roster {
    uint32_t timeout_ms, heartbeat_ms;
    uint32_t size, capacity, most, alive;
    fmq_member_t **members; /* owned, each */
    zhashx_t *names;        /* name -> member, borrowed */
    zhashx_t *routes;       /* route in hexadecimal -> member, borrowed */
    fmq_member_t *oldest, *newest;
    uint64_t serial;
};

#define LANE_DIGITS    8
#define ROUTE_KEY_SIZE (2 * FMQ_ROUTE_MAX + LANE_DIGITS + 1)

static void key_of(const fmq_route_t *route, char key[ROUTE_KEY_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < route->size; i++) {
        key[2 * i] = digits[route->bytes[i] >> 4];
        key[2 * i + 1] = digits[route->bytes[i] & 15];
    }
    char *lane = key + 2 * (size_t)route->size;
    for (int i = 0; i < LANE_DIGITS; i++)
        lane[i] = digits[route->lane >> (4 * i) & 15];
    lane[LANE_DIGITS] = '\0';
}

fmq_roster_t *fmq_roster_new(uint32_t timeout_ms, uint32_t heartbeat_ms, uint32_t members_max)
{
    fmq_roster_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->timeout_ms = timeout_ms;
    self->heartbeat_ms = heartbeat_ms;
    self->most = members_max;
    self->names = zhashx_new();
    self->routes = zhashx_new();
    if (!self->names || !self->routes)
        fmq_roster_destroy(&self);
    return self;
}

void fmq_roster_destroy(fmq_roster_t **self_p)
{
    fmq_roster_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->names);
    zhashx_destroy(&self->routes);
    for (uint32_t i = 0; i < self->size; i++)
        free(self->members[i]);
    free(self->members);
    free(self);
    *self_p = NULL;
}

fmq_member_t *fmq_roster_find(fmq_roster_t *self, const char *name)
{
    return zhashx_lookup(self->names, name);
}

fmq_member_t *fmq_roster_find_route(fmq_roster_t *self, const fmq_route_t *route)
{
    char key[ROUTE_KEY_SIZE];
    key_of(route, key);
    return zhashx_lookup(self->routes, key);
}

uint32_t fmq_roster_size(const fmq_roster_t *self)
{
    return self->size;
}

uint32_t fmq_roster_alive(const fmq_roster_t *self)
{
    return self->alive;
}

static void unlink_member(fmq_roster_t *self, fmq_member_t *member)
{
    if (member->older)
        member->older->newer = member->newer;
    else
        self->oldest = member->newer;
    if (member->newer)
        member->newer->older = member->older;
    else
        self->newest = member->older;
}

static void append_member(fmq_roster_t *self, fmq_member_t *member)
{
    member->older = self->newest;
    member->newer = NULL;
    if (self->newest)
        self->newest->newer = member;
    else
        self->oldest = member;
    self->newest = member;
    member->changed = ++self->serial;
}

static void note_change(fmq_roster_t *self, fmq_member_t *member)
{
    unlink_member(self, member);
    append_member(self, member);
}

static void set_alive(fmq_roster_t *self, fmq_member_t *member, bool alive)
{
    if (member->alive == alive)
        return;
    member->alive = alive;
    self->alive += alive ? 1u : UINT32_MAX;
    note_change(self, member);
}

void fmq_roster_disconnect(fmq_roster_t *self, fmq_member_t *member)
{
    if (!member->connected)
        return;
    char key[ROUTE_KEY_SIZE];
    key_of(&member->route, key);
    zhashx_delete(self->routes, key);
    member->connected = false;
}

static int connect_member(fmq_roster_t *self, fmq_member_t *member, const fmq_route_t *route,
                          fmq_error_t *err)
{
    fmq_roster_disconnect(self, member);
    char key[ROUTE_KEY_SIZE];
    key_of(route, key);
    if (zhashx_insert(self->routes, key, member) < 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the connection of '%s'",
                             member->name);
    member->route = *route;
    member->connected = true;
    return 0;
}

static void forget(fmq_roster_t *self, fmq_member_t *member)
{
    fmq_roster_disconnect(self, member);
    set_alive(self, member, false);
    unlink_member(self, member);
    zhashx_delete(self->names, member->name);
    self->members[member->place] = self->members[--self->size];
    self->members[member->place]->place = member->place;
    free(member);
}

/* Makes room for one more by forgetting the member that is gone longest. */
static int reserve_one(fmq_roster_t *self, fmq_error_t *err)
{
    if (self->size == self->most) {
        fmq_member_t *gone = self->oldest;
        while (gone && gone->alive)
            gone = gone->newer;
        if (!gone)
            return fmq_error_set(err, FMQ_ERR_LIMIT, "the router has %u members already",
                                 self->size);
        forget(self, gone);
    }
    if (self->size < self->capacity)
        return 0;
    uint32_t capacity = self->capacity ? 2 * self->capacity : 16;
    fmq_member_t **members = realloc(self->members, capacity * sizeof *members);
    if (!members)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u members", capacity);
    self->members = members;
    self->capacity = capacity;
    return 0;
}

static fmq_member_t *add(fmq_roster_t *self, const char *name, fmq_error_t *err)
{
    if (reserve_one(self, err) < 0)
        return NULL;
    fmq_member_t *member = calloc(1, sizeof *member);
    if (!member || zhashx_insert(self->names, name, member) < 0) {
        free(member);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a member");
        return NULL;
    }
    (void)snprintf(member->name, sizeof member->name, "%s", name);
    member->place = self->size;
    self->members[self->size++] = member;
    append_member(self, member);
    return member;
}

/* Another link wants the name of a member that may still be there. */
static fmq_hello_t judge_rival(fmq_roster_t *self, fmq_member_t *member, uint64_t rival,
                               int64_t now_ms, fmq_error_t *err)
{
    if (member->rival != rival) {
        member->rival = rival;
        member->rival_ms = now_ms;
    }
    if (member->seen_ms < member->rival_ms + (int64_t)self->heartbeat_ms)
        return FMQ_HELLO_WAIT;
    fmq_error_set(err, FMQ_ERR_DENIED,
                  "name '%s' is taken by a member that is alive: stop that one, or use another "
                  "name",
                  member->name);
    return FMQ_HELLO_REFUSED;
}

static fmq_hello_t begin_incarnation(fmq_member_t *member, const fmq_message_t *hello)
{
    member->role = hello->role;
    member->incarnation = hello->incarnation;
    member->step = member->steps = 0;
    member->offences = 0;
    member->rival = 0;
    member->shown = 0;
    return FMQ_HELLO_NEW;
}

fmq_hello_t fmq_roster_hello(fmq_roster_t *self, const fmq_route_t *route,
                             const fmq_message_t *hello, int64_t now_ms, fmq_error_t *err)
{
    fmq_member_t *holder = fmq_roster_find_route(self, route);
    fmq_member_t *member = fmq_roster_find(self, hello->name);
    if (holder && holder != member) {
        fmq_error_set(err, FMQ_ERR_DENIED, "this connection is '%s' already", holder->name);
        return FMQ_HELLO_REFUSED;
    }
    if (member && now_ms < member->barred_ms) {
        fmq_error_set(err, FMQ_ERR_DENIED, "'%s' sent too many bad messages: barred for %lld ms",
                      member->name, (long long)(member->barred_ms - now_ms));
        return FMQ_HELLO_REFUSED;
    }
    bool same = member && member->incarnation == hello->incarnation && member->role == hello->role;
    if (member && !same && member->alive && member->connected &&
        now_ms - member->seen_ms < (int64_t)self->timeout_ms)
        return judge_rival(self, member, hello->incarnation, now_ms, err);
    if (!member && !(member = add(self, hello->name, err)))
        return FMQ_HELLO_REFUSED;
    if (connect_member(self, member, route, err) < 0)
        return FMQ_HELLO_REFUSED;
    fmq_hello_t verdict = same ? FMQ_HELLO_AGAIN : begin_incarnation(member, hello);
    member->seen_ms = now_ms;
    member->shown = 0;
    set_alive(self, member, true);
    if (!same)
        note_change(self, member);
    return verdict;
}

void fmq_roster_touch(fmq_roster_t *self, fmq_member_t *member, int64_t now_ms)
{
    member->seen_ms = now_ms;
    set_alive(self, member, true);
}

void fmq_roster_progress(fmq_roster_t *self, fmq_member_t *member, uint64_t step, uint64_t steps)
{
    if (member->step == step && member->steps == steps)
        return;
    member->step = step;
    member->steps = steps;
    note_change(self, member);
}

void fmq_roster_leave(fmq_roster_t *self, fmq_member_t *member)
{
    fmq_roster_disconnect(self, member);
    set_alive(self, member, false);
}

fmq_member_t *fmq_roster_expire(fmq_roster_t *self, int64_t now_ms)
{
    for (uint32_t i = 0; i < self->size; i++) {
        fmq_member_t *member = self->members[i];
        if (member->alive && now_ms - member->seen_ms >= (int64_t)self->timeout_ms) {
            set_alive(self, member, false);
            return member;
        }
    }
    return NULL;
}

fmq_member_t *fmq_roster_changed_after(fmq_roster_t *self, uint64_t serial)
{
    fmq_member_t *found = NULL;
    for (fmq_member_t *at = self->newest; at && at->changed > serial; at = at->older)
        found = at;
    return found;
}

fmq_member_t *fmq_roster_next(fmq_roster_t *self, const fmq_member_t *member)
{
    uint32_t place = member ? member->place + 1 : 0;
    return place < self->size ? self->members[place] : NULL;
}
