/*
 * packer.c - writes msgpack into a fixed buffer, by msgpack-c's packer.  It
 * never grows the buffer: what does not fit makes the sticky error.
 */
#include "fedmq/broker/pack.h"

#include <string.h>

#include <msgpack.h>

static int append(void *argument, const char *data, size_t size)
{
    fmq_packer_t *self = argument;
    if (self->failed || size > self->capacity - self->size) {
        self->failed = true;
        return -1;
    }
    if (size > 0)
        memcpy(self->data + self->size, data, size);
    self->size += size;
    return 0;
}

static msgpack_packer writer(fmq_packer_t *self)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, self, append);
    return packer;
}

void fmq_packer_init(fmq_packer_t *self, void *out, size_t capacity)
{
    *self = (fmq_packer_t){.data = out, .capacity = capacity};
}

void fmq_pack_nil(fmq_packer_t *self)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_nil(&packer);
}

void fmq_pack_bool(fmq_packer_t *self, bool value)
{
    msgpack_packer packer = writer(self);
    (void)(value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
}

void fmq_pack_uint(fmq_packer_t *self, uint64_t value)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_uint64(&packer, value);
}

void fmq_pack_int(fmq_packer_t *self, int64_t value)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_int64(&packer, value);
}

void fmq_pack_real(fmq_packer_t *self, double value)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_double(&packer, value);
}

void fmq_pack_str(fmq_packer_t *self, const char *text)
{
    msgpack_packer packer = writer(self);
    size_t size = strlen(text);
    (void)msgpack_pack_str(&packer, size);
    (void)append(self, text, size);
}

void *fmq_pack_bin_place(fmq_packer_t *self, size_t size)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_bin(&packer, size);
    if (self->failed || size > UINT32_MAX || size > self->capacity - self->size) {
        self->failed = true;
        return NULL;
    }
    void *place = self->data + self->size;
    self->size += size;
    return place;
}

void fmq_pack_bin(fmq_packer_t *self, const void *data, size_t size)
{
    void *place = fmq_pack_bin_place(self, size);
    if (place && size > 0)
        memcpy(place, data, size);
}

void fmq_pack_array(fmq_packer_t *self, uint32_t items)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_array(&packer, items);
}

void fmq_pack_map(fmq_packer_t *self, uint32_t pairs)
{
    msgpack_packer packer = writer(self);
    (void)msgpack_pack_map(&packer, pairs);
}

size_t fmq_packer_end(const fmq_packer_t *self, fmq_error_t *err)
{
    if (!self->failed)
        return self->size;
    fmq_error_set(err, FMQ_ERR_LIMIT, "message does not fit into %zu bytes", self->capacity);
    return 0;
}
