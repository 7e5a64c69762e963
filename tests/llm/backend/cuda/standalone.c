/*
 * standalone.c - what the reference backend takes from rooms that need
 * libraries, for programs that are built without those (scripts/device-check).
 */
#include "fedmq/base/schema.h"

const char *fmq_dtype_name(fmq_dtype_t dtype)
{
    return dtype == FMQ_BF16 ? "BF16" : dtype == FMQ_F16 ? "F16" : "F32";
}
