/*
 * batch.c - bounds of a packed batch.  Touches host memory only.
 */
#include "llm/pass/batch.h"

#include <inttypes.h>

static int check_starts(const llm_batch_t *batch, const llm_shape_t *shape, size_t tokens_max,
                        fmq_error_t *err)
{
    if (!batch->sequences || !batch->starts || batch->starts[0] != 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "a batch needs at least one sequence, the first starting at row 0");
    if (batch->sequences > tokens_max)
        return fmq_error_set(
            err, FMQ_ERR_LIMIT,
            "the batch has %zu sequences; the workspace was planned for %zu tokens",
            batch->sequences, tokens_max);
    for (size_t s = 0; s < batch->sequences; s++) {
        uint32_t from = batch->starts[s], to = batch->starts[s + 1];
        if (to <= from)
            return fmq_error_set(err, FMQ_ERR_FORMAT, "sequence %zu of the batch is empty", s);
        if (to > tokens_max)
            return fmq_error_set(err, FMQ_ERR_LIMIT,
                                 "the batch does not fit: sequence %zu ends at token %" PRIu32
                                 ", the workspace was planned for %zu",
                                 s, to, tokens_max);
        if (to - from > llm_shape_reach(shape))
            return fmq_error_set(err, FMQ_ERR_LIMIT,
                                 "sequence %zu of the batch has %" PRIu32
                                 " tokens; the model's context is %" PRIu32,
                                 s, to - from, llm_shape_reach(shape));
    }
    return 0;
}

int llm_batch_check_tokens(const llm_batch_t *batch, const llm_shape_t *shape, size_t tokens_max,
                           fmq_error_t *err)
{
    if (check_starts(batch, shape, tokens_max, err) < 0)
        return -1;
    for (uint32_t t = 0; t < batch->starts[batch->sequences]; t++) {
        if (batch->ids[t] < 0 || (uint32_t)batch->ids[t] >= shape->vocab)
            return fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "token %" PRIu32 " of the batch is id %" PRId32
                                 "; the model's vocabulary has %" PRIu32,
                                 t, batch->ids[t], shape->vocab);
    }
    return 0;
}

int llm_batch_check_targets(const llm_batch_t *batch, const llm_shape_t *shape,
                            size_t supervised_max, fmq_error_t *err)
{
    if (batch->supervised > supervised_max)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "the batch supervises %zu rows; the workspace was planned for %zu",
                             batch->supervised, supervised_max);
    int64_t last = -1, tokens = (int64_t)batch->starts[batch->sequences];
    for (size_t i = 0; i < batch->supervised; i++) {
        if (batch->rows[i] <= last || batch->rows[i] >= tokens)
            return fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "supervised row %zu of the batch is %" PRId32
                                 "; rows ascend and lie below %" PRId64,
                                 i, batch->rows[i], tokens);
        if (batch->targets[i] < 0 || (uint32_t)batch->targets[i] >= shape->vocab)
            return fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "target %zu of the batch is id %" PRId32
                                 "; the model's vocabulary has %" PRIu32,
                                 i, batch->targets[i], shape->vocab);
        last = batch->rows[i];
    }
    return 0;
}

void llm_batch_positions(const llm_batch_t *batch, int32_t *out)
{
    for (size_t s = 0; s < batch->sequences; s++) {
        for (uint32_t t = batch->starts[s]; t < batch->starts[s + 1]; t++)
            out[t] = (int32_t)(t - batch->starts[s]);
    }
}
