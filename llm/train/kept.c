/*
 * kept.c - the optimizer's state of an update as bytes, and back.
 *
 * A head, and then every array of moments.h whole: ranks' ranges lie one behind the
 * other, so that it does not show who had what.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/train/update.h"

#define MAGIC UINT64_C(0x314d4f4d514d46) /* FMQMOM1 */

typedef struct {
    uint64_t magic, kind, elements, steps;
    uint64_t bytes[LLM_MOMENTS_ARRAYS];
} head_t;

/* One rank's part of a copy between its arrays and the whole ones. */
typedef struct {
    llm_update_t *update;
    unsigned char *whole; /* what follows the head */
    bool out;
} copy_t;

void llm_kept_optimizer_release(llm_kept_optimizer_t *self)
{
    free(self->bytes);
    *self = (llm_kept_optimizer_t){0};
}

static head_t head_of(const llm_update_t *update)
{
    head_t head = {.magic = MAGIC,
                   .kind = (uint64_t)update->optimizers[0].how->kind,
                   .elements = update->n,
                   .steps = update->optimizers[0].steps};
    for (unsigned r = 0; r < update->ranks; r++)
        for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++)
            head.bytes[a] += update->optimizers[r].moments.arrays[a].bytes;
    return head;
}

static size_t body(const head_t *head)
{
    size_t bytes = 0;
    for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++)
        bytes += (size_t)head->bytes[a];
    return bytes;
}

static int copy_rank(void *argument, unsigned rank, fmq_error_t *err)
{
    const copy_t *copy = argument;
    const llm_update_t *update = copy->update;
    llm_backend_t *be = update->optimizers[rank].be;
    unsigned char *at = copy->whole;
    for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++)
        for (unsigned r = 0; r < update->ranks; r++) {
            const llm_moments_array_t *array = &update->optimizers[r].moments.arrays[a];
            if (r == rank && array->bytes && copy->out)
                be->ops->download(be, at, array->memory, array->bytes);
            if (r == rank && array->bytes && !copy->out)
                be->ops->upload(be, array->memory, at, array->bytes);
            at += array->bytes;
        }
    return be->ops->synchronize(be, err);
}

static int copy_all(copy_t *copy, fmq_error_t *err)
{
    llm_update_t *update = copy->update;
    return update->ranks > 1 ? llm_team_do(update->team, copy_rank, copy, err)
                             : copy_rank(copy, 0, err);
}

int llm_update_keep(llm_update_t *self, llm_kept_optimizer_t *kept, fmq_error_t *err)
{
    head_t head = head_of(self);
    size_t size = sizeof head + body(&head);
    unsigned char *bytes = malloc(size);
    if (!bytes)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for the %zu bytes of an optimizer's state", size);
    copy_t copy = {.update = self, .whole = bytes + sizeof head, .out = true};
    memcpy(bytes, &head, sizeof head);
    if (copy_all(&copy, err) < 0) {
        free(bytes);
        return -1;
    }
    llm_kept_optimizer_release(kept);
    *kept = (llm_kept_optimizer_t){.bytes = bytes, .size = size};
    return 0;
}

int llm_update_resume(llm_update_t *self, const llm_kept_optimizer_t *kept, fmq_error_t *err)
{
    head_t head = {0}, own = head_of(self);
    if (kept->size >= sizeof head)
        memcpy(&head, kept->bytes, sizeof head);
    if (head.magic != MAGIC)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "what is kept of an optimizer is no optimizer's state");
    if (head.kind != own.kind || head.elements != own.elements ||
        memcmp(head.bytes, own.bytes, sizeof own.bytes) != 0 || head.steps > UINT32_MAX ||
        kept->size != sizeof head + body(&head))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "what is kept of an optimizer belongs to another one, or to another "
                             "adapter");
    copy_t copy = {.update = self, .whole = (unsigned char *)kept->bytes + sizeof head};
    for (unsigned r = 0; r < self->ranks; r++)
        self->optimizers[r].steps = (uint32_t)head.steps;
    return copy_all(&copy, err);
}
