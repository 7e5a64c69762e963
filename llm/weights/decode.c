/*
 * decode.c - the elements of a stored tensor as F32, whether it is dense,
 * quantized or sparse.  What it is given has been checked.
 */
#include <string.h>

#include "llm/hub/half.h"
#include "llm/weights/source.h"

static void widen(const llm_stored_t *from, float *out)
{
    if (from->dtype == FMQ_F16)
        llm_half_from_f16(from->data, (size_t)from->bytes / 2, out);
    else if (from->dtype == FMQ_BF16)
        llm_half_from_bf16(from->data, (size_t)from->bytes / 2, out);
    else if (from->bytes)
        memcpy(out, from->data, (size_t)from->bytes);
}

/* w = (code - 2^(bits-1)) scale, one scale for each group of a row. */
static void dequantize_row(const llm_source_t *source, uint64_t row, float *out)
{
    const uint8_t *codes = source->main.data;
    const char *scales = source->more.data;
    uint64_t groups = (source->columns + source->group - 1) / source->group;
    codes += row * (source->columns * source->bits / 8);
    scales += row * groups * sizeof(float);
    int zero = 1 << (source->bits - 1);
    for (uint64_t i = 0; i < source->columns; i++) {
        float scale;
        memcpy(&scale, scales + i / source->group * sizeof scale, sizeof scale);
        int code = source->bits == 8 ? codes[i] : codes[i / 2] >> 4 * (i % 2) & 15;
        out[i] = (float)(code - zero) * scale;
    }
}

static void spread(const llm_source_t *source, float *out)
{
    const uint8_t *mask = source->main.data;
    llm_stored_t one = source->more;
    one.bytes = fmq_dtype_size(one.dtype);
    for (uint64_t i = 0; i < source->count; i++) {
        out[i] = 0.0f;
        if (!(mask[i / 8] >> i % 8 & 1))
            continue;
        widen(&one, &out[i]);
        one.data = (const char *)one.data + one.bytes;
    }
}

void llm_source_read(const llm_source_t *source, float *out)
{
    if (source->form == LLM_DENSE)
        widen(&source->main, out);
    else if (source->form == LLM_SPARSE)
        spread(source, out);
    else
        for (uint64_t row = 0; row < source->rows; row++)
            dequantize_row(source, row, out + row * source->columns);
}
