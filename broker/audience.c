/*
 * audience.c - checks and matches the names of members and audiences.
 */
#include "broker/audience.h"

#include <string.h>

static const char *const role_names[FMQ_ROLES] = {
    [FMQ_ROLE_SERVER] = "server",       [FMQ_ROLE_CLIENT] = "client",
    [FMQ_ROLE_EVALUATOR] = "evaluator", [FMQ_ROLE_SPLITTER] = "splitter",
    [FMQ_ROLE_OBSERVER] = "observer",
};

const char *fmq_role_name(fmq_role_t role)
{
    return (unsigned)role < FMQ_ROLES ? role_names[role] : "unknown";
}

bool fmq_name_valid(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size < FMQ_MEMBER_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

int fmq_audience_role(const char *audience)
{
    for (int role = 0; audience[0] == '@' && role < FMQ_ROLES; role++)
        if (strcmp(audience + 1, role_names[role]) == 0)
            return role;
    return -1;
}

bool fmq_audience_is_many(const char *audience)
{
    return audience[0] == '*' || audience[0] == '@';
}

bool fmq_audience_valid(const char *audience)
{
    return strcmp(audience, "*") == 0 || fmq_audience_role(audience) >= 0 ||
           fmq_name_valid(audience);
}

bool fmq_audience_includes(const char *audience, const char *name, const char *role)
{
    if (audience[0] == '*')
        return true;
    return audience[0] == '@' ? strcmp(audience + 1, role) == 0 : strcmp(audience, name) == 0;
}
