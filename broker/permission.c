/*
 * permission.c - the table of roles.
 */
#include "broker/permission.h"

#include "broker/audience.h"

#define TYPE(word)  (1u << FMQ_MESSAGE_##word)
#define REACH(word) (1u << FMQ_ROLE_##word)

/* HELLO is judged before there is a role; everybody lives, leaves and reads. */
#define LIVE  (TYPE(PING) | TYPE(BYE) | TYPE(NOTE_ACK))
#define READ  (TYPE(FETCH) | TYPE(CREDIT) | TYPE(CANCEL))
#define WRITE (TYPE(NOTE) | TYPE(PUBLISH) | TYPE(WITHDRAW) | TYPE(CHUNK) | TYPE(GONE))

#define EVERY_ROLE ((1u << FMQ_ROLES) - 1)

static const struct {
    unsigned types;
    unsigned reach;
} roles[FMQ_ROLES] = {
    [FMQ_ROLE_SERVER] = {LIVE | READ | WRITE, EVERY_ROLE},
    [FMQ_ROLE_CLIENT] = {LIVE | READ | WRITE, REACH(SERVER) | REACH(SPLITTER)},
    [FMQ_ROLE_EVALUATOR] = {LIVE | READ | WRITE, REACH(SERVER) | REACH(OBSERVER)},
    [FMQ_ROLE_SPLITTER] = {LIVE | READ | WRITE, EVERY_ROLE},
    [FMQ_ROLE_OBSERVER] = {LIVE | READ, 0},
};

bool fmq_role_may_send(fmq_role_t role, fmq_message_type_t type)
{
    return (unsigned)role < FMQ_ROLES && (roles[role].types >> type & 1u);
}

bool fmq_role_may_reach(fmq_role_t from, fmq_role_t to)
{
    return (unsigned)from < FMQ_ROLES && (unsigned)to < FMQ_ROLES && (roles[from].reach >> to & 1u);
}

bool fmq_role_may_address(fmq_role_t from, const char *audience)
{
    if ((unsigned)from >= FMQ_ROLES)
        return false;
    if (audience[0] == '*')
        return roles[from].reach == EVERY_ROLE;
    int role = fmq_audience_role(audience);
    return role < 0 ? roles[from].reach != 0 : fmq_role_may_reach(from, (fmq_role_t)role);
}
