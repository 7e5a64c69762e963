/*
 * frame.c - payload frames.
 */
#include "broker/frame.h"

#include <stdlib.h>
#include <string.h>

#include <zmq.h>

/* Over inproc a chunk's bytes are not copied: who sends them has written what
 * who receives them reads.  ZeroMQ orders the two, and ThreadSanitizer, which
 * cannot see that, is told by the address of the bytes. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

static void tell_sent(void *data)
{
    __tsan_release(data);
}

static void tell_received(void *data)
{
    __tsan_acquire(data);
}
#else
static void tell_sent(void *data)
{
    (void)data;
}

static void tell_received(void *data)
{
    (void)data;
}
#endif

struct fmq_frame {
    const void *data;
    size_t size;
    fmq_object_t *object; /* owned reference, or NULL: message holds the bytes */
    zmq_msg_t message;
};

/* Room for size bytes of its own. */
static fmq_frame_t *frame_new(size_t size)
{
    fmq_frame_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    if (zmq_msg_init_size(&self->message, size) != 0) {
        free(self);
        return NULL;
    }
    self->data = zmq_msg_data(&self->message);
    self->size = size;
    return self;
}

fmq_frame_t *fmq_frame_copy(const void *data, size_t size)
{
    fmq_frame_t *self = frame_new(size);
    if (self && size > 0)
        memcpy(zmq_msg_data(&self->message), data, size);
    return self;
}

static fmq_frame_t *render(const fmq_object_t *object, uint32_t index, size_t size,
                           fmq_error_t *err)
{
    fmq_frame_t *self = frame_new(size);
    if (!self)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk of %zu bytes", size);
    else if (fmq_object_copy(object, index, zmq_msg_data(&self->message), err) < 0)
        fmq_frame_destroy(&self);
    return self;
}

fmq_frame_t *fmq_frame_of_chunk(fmq_object_t *object, uint32_t index, fmq_error_t *err)
{
    size_t size;
    const void *data = fmq_object_chunk(object, index, &size);
    if (!data && size > 0)
        return render(object, index, size, err);
    fmq_frame_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk");
        return NULL;
    }
    self->data = data;
    self->size = size;
    self->object = fmq_object_hold(object);
    return self;
}

fmq_frame_t *fmq_frame_take(void *zmq_message)
{
    fmq_frame_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    (void)zmq_msg_init(&self->message);
    (void)zmq_msg_move(&self->message, zmq_message);
    self->data = zmq_msg_data(&self->message);
    self->size = zmq_msg_size(&self->message);
    tell_received(zmq_msg_data(&self->message));
    return self;
}

void fmq_frame_destroy(fmq_frame_t **self_p)
{
    fmq_frame_t *self = *self_p;
    if (!self)
        return;
    if (self->object)
        fmq_object_drop(&self->object);
    else
        (void)zmq_msg_close(&self->message);
    free(self);
    *self_p = NULL;
}

const void *fmq_frame_data(const fmq_frame_t *self)
{
    return self->data;
}

size_t fmq_frame_size(const fmq_frame_t *self)
{
    return self->size;
}

/* Called by ZeroMQ, from any thread, when it needs a chunk's bytes no more. */
static void drop_object(void *data, void *hint)
{
    (void)data;
    fmq_object_t *object = hint;
    fmq_object_drop(&object);
}

/* Lends the object's bytes to a message that holds a reference of its own. */
static int wrap_object(fmq_frame_t *self)
{
    const void *shared = self->data;
    void *data;
    memcpy(&data, &shared, sizeof data); /* ZeroMQ takes a plain pointer but does not write */
    if (zmq_msg_init_data(&self->message, data, self->size, drop_object, self->object) != 0)
        return -1;
    self->object = NULL; /* the reference is the message's now */
    return 0;
}

int fmq_frame_send(fmq_frame_t **self_p, void *socket, int flags)
{
    fmq_frame_t *self = *self_p;
    if (self->object && wrap_object(self) < 0)
        return -1;
    tell_sent(zmq_msg_data(&self->message));
    if (zmq_msg_send(&self->message, socket, flags) < 0)
        return -1;
    fmq_frame_destroy(self_p);
    return 0;
}
