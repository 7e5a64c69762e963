/*
 * fence.c - the two mappings, the memory that is given out of them, and the
 * handles of matrices.
 *
 * Sizes are rounded up to powers of two and go back to a list of their size, so
 * that a long run needs no more room than the most it held at once.
 */
#define _GNU_SOURCE /* memfd_create */
#include "fence.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPACE     ((size_t)16 << 30) /* of addresses; pages are there once they are used */
#define HEAD      64                 /* bytes before what is given out */
#define TAIL      64                 /* bytes behind it that nobody writes */
#define SMALLEST  8                  /* a class; its size is more than what lies around */
#define CLASSES   40
#define UNTOUCHED 0xA5
#define NAN_BYTE  0xFF
#define MATRIX    UINT64_C(0x6d61747269782121)

typedef struct {
    size_t class, bytes; /* as asked for */
    size_t next;         /* offset of the next free one of its class; 0: none */
} head_t;

typedef struct {
    uint64_t magic;
    llm_matrix_t *matrix; /* owned: the inner backend's */
    size_t bytes;
} handle_t;

/* Of the process: pointers travel between instances. */
static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    char *outer, *inner; /* the same pages: nobody may touch the first */
    size_t used;
    size_t free[CLASSES];
} space = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static void open_space(void)
{
    int file = memfd_create("fence", 0);
    if (file < 0 || ftruncate(file, (off_t)SPACE) < 0) {
        perror("fence: no memory to fence in");
        abort();
    }
    space.inner = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    space.outer = mmap(NULL, SPACE, PROT_NONE, MAP_SHARED | MAP_NORESERVE, file, 0);
    (void)close(file);
    if (space.inner == MAP_FAILED || space.outer == MAP_FAILED) {
        perror("fence: no addresses to fence off");
        abort();
    }
    space.used = (size_t)sysconf(_SC_PAGESIZE);
}

static bool is_fenced(const void *memory)
{
    uintptr_t at = (uintptr_t)memory, first = (uintptr_t)space.outer;
    return at >= first && at < first + SPACE;
}

void *fence_inside(const void *memory, const char *op, const char *argument)
{
    if (!memory)
        return NULL;
    if (!is_fenced(memory)) {
        fprintf(stderr, "fence: %s is given host memory as %s\n", op, argument);
        abort();
    }
    return space.inner + ((uintptr_t)memory - (uintptr_t)space.outer);
}

void fence_outside(const void *memory, const char *op, const char *argument)
{
    if (!is_fenced(memory))
        return;
    fprintf(stderr, "fence: %s is given the backend's memory as %s\n", op, argument);
    abort();
}

typedef struct {
    llm_instance_t instance; /* first: see instance.h */
    llm_backend_t *inner;    /* owned */
} fence_t;

llm_backend_t *fence_inner(const llm_backend_t *be)
{
    const fence_t *self = be->context;
    return self->inner;
}

static head_t *head_at(size_t offset)
{
    return (head_t *)(void *)(space.inner + offset);
}

/* The offset of a block of this class, or 0; with the lock. */
static size_t take(size_t class)
{
    size_t offset = space.free[class], size = (size_t)1 << class;
    if (offset) {
        space.free[class] = head_at(offset)->next;
        return offset;
    }
    if (space.used + size > SPACE)
        return 0;
    offset = space.used;
    space.used += size;
    return offset;
}

static void *alloc(llm_backend_t *be, size_t bytes)
{
    size_t class = SMALLEST;
    (void)be;
    while (class < CLASSES && ((size_t)1 << class) - (HEAD + TAIL) < bytes)
        class ++;
    if (class == CLASSES)
        return NULL;
    pthread_mutex_lock(&space.lock);
    size_t offset = take(class);
    pthread_mutex_unlock(&space.lock);
    if (!offset)
        return NULL;
    *head_at(offset) = (head_t){.class = class, .bytes = bytes};
    memset(space.inner + offset + HEAD, NAN_BYTE, bytes);
    memset(space.inner + offset + HEAD + bytes, UNTOUCHED, TAIL);
    return space.outer + offset + HEAD;
}

static void release(llm_backend_t *be, void *memory)
{
    (void)be;
    if (!memory)
        return;
    char *at = fence_inside(memory, "release", "memory");
    head_t *head = (head_t *)(void *)(at - HEAD);
    for (size_t i = 0; i < TAIL; i++) {
        if ((unsigned char)at[head->bytes + i] == UNTOUCHED)
            continue;
        fprintf(stderr, "fence: something wrote behind the end of %zu bytes\n", head->bytes);
        abort();
    }
    memset(at, NAN_BYTE, head->bytes);
    pthread_mutex_lock(&space.lock);
    head->next = space.free[head->class];
    space.free[head->class] = (size_t)((char *)head - space.inner);
    pthread_mutex_unlock(&space.lock);
}

static handle_t *handle_of(const llm_matrix_t *matrix, const char *op)
{
    handle_t *handle = fence_inside(matrix, op, "w");
    if (handle && handle->magic == MATRIX)
        return handle;
    fprintf(stderr, "fence: %s is given what is no matrix as w\n", op);
    abort();
}

llm_matrix_t *fence_matrix(const llm_matrix_t *handle, const char *op)
{
    return handle_of(handle, op)->matrix;
}

/* A handle of a matrix, which is taken; or NULL. */
static llm_matrix_t *hold(llm_backend_t *be, llm_matrix_t *matrix)
{
    llm_backend_t *inner = fence_inner(be);
    if (!matrix)
        return NULL;
    llm_matrix_t *held = alloc(be, sizeof(handle_t));
    if (!held) {
        inner->ops->matrix_destroy(inner, &matrix);
        return NULL;
    }
    *(handle_t *)fence_inside(held, "matrix_new", "w") =
        (handle_t){.magic = MATRIX, .matrix = matrix, .bytes = inner->ops->matrix_bytes(matrix)};
    return held;
}

static llm_matrix_t *matrix_new(llm_backend_t *be, const void *data, fmq_dtype_t dtype, size_t out,
                                size_t in, bool input_major)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(data, __func__, "data");
    return hold(be, inner->ops->matrix_new(inner, data, dtype, out, in, input_major));
}

static llm_matrix_t *matrix_new_quantized(llm_backend_t *be, const llm_quantized_t *data,
                                          size_t out, size_t in, bool input_major)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(data->codes, __func__, "data->codes");
    fence_outside(data->scales, __func__, "data->scales");
    return hold(be, inner->ops->matrix_new_quantized(inner, data, out, in, input_major));
}

static llm_matrix_t *matrix_new_form(llm_backend_t *be, const void *data, fmq_dtype_t dtype,
                                     size_t out, size_t in, bool input_major,
                                     llm_matrix_form_t form)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(data, __func__, "data");
    return hold(be, inner->ops->matrix_new_form(inner, data, dtype, out, in, input_major, form));
}

static void matrix_destroy(llm_backend_t *be, llm_matrix_t **matrix_p)
{
    llm_backend_t *inner = fence_inner(be);
    if (!matrix_p || !*matrix_p)
        return;
    inner->ops->matrix_destroy(inner, &handle_of(*matrix_p, __func__)->matrix);
    release(be, *matrix_p);
    *matrix_p = NULL;
}

static size_t matrix_bytes(const llm_matrix_t *matrix)
{
    return handle_of(matrix, __func__)->bytes;
}

static void destroy(llm_backend_t *be)
{
    fence_t *self = be->context;
    llm_backend_destroy(&self->inner);
    free(self);
}

static llm_backend_t *another(const llm_backend_t *be, unsigned threads, fmq_error_t *err)
{
    llm_backend_t *inner = fence_inner(be);
    inner = inner->ops->another(inner, threads, err);
    llm_backend_t *self = inner ? fence_new(&inner, err) : NULL;
    llm_backend_destroy(&inner);
    return self;
}

/* Entries that the inner backend leaves out are left out.  Whoever gives the
 * table an op gives the fence one, too. */
static int match_table(const llm_ops_t *inner, llm_ops_t *own, fmq_error_t *err)
{
    static const char none[sizeof(void (*)(void))];
    for (size_t at = offsetof(llm_ops_t, destroy); at + sizeof none <= sizeof *inner;
         at += sizeof none) {
        char *ours = (char *)own + at;
        if (memcmp((const char *)inner + at, none, sizeof none) == 0)
            memset(ours, 0, sizeof none);
        else if (memcmp(ours, none, sizeof none) == 0)
            return fmq_error_set(err, FMQ_ERR_INTERNAL,
                                 "the fence lacks the op at byte %zu of llm_ops_t, which '%s' has: "
                                 "write it in tests/llm/backend/fence_ops.c",
                                 at, inner->name);
    }
    return 0;
}

static void fill_table(llm_ops_t *ops, const llm_ops_t *inner)
{
    ops->name = inner->name;
    ops->act = inner->act;
    ops->head_rows = inner->head_rows;
    ops->head_bytes = inner->head_bytes;
    ops->device_starts = true;
    ops->forms = inner->forms;
    ops->destroy = destroy;
    ops->another = another;
    ops->alloc = alloc;
    ops->release = release;
    ops->matrix_new = matrix_new;
    ops->matrix_new_quantized = matrix_new_quantized;
    ops->matrix_new_form = matrix_new_form;
    ops->matrix_destroy = matrix_destroy;
    ops->matrix_bytes = matrix_bytes;
    fence_fill_ops(ops);
}

llm_backend_t *fence_new(llm_backend_t **inner_p, fmq_error_t *err)
{
    (void)pthread_once(&space.once, open_space);
    fence_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a fence");
        return NULL;
    }
    fill_table(&self->instance.ops, (*inner_p)->ops);
    if (match_table((*inner_p)->ops, &self->instance.ops, err) < 0) {
        free(self);
        return NULL;
    }
    self->instance.variant = llm_backend_variant(*inner_p);
    self->instance.backend = (llm_backend_t){.ops = &self->instance.ops, .context = self};
    self->inner = *inner_p;
    *inner_p = NULL;
    return &self->instance.backend;
}
