/*
 * rope.c - rotary positions: their scalings, read and written, and the
 * frequencies that follow.  Turns nothing.
 */
#include "llm/shape/rope.h"

#include <string.h>

#include "base/real.h"

static void read_llama3(llm_json_reader_t *scaling, llm_shape_t *shape)
{
    shape->rope_low = (float)llm_json_positive(scaling, "low_freq_factor", 0);
    shape->rope_high = (float)llm_json_positive(scaling, "high_freq_factor", 0);
    shape->rope_original_context =
        (uint32_t)llm_json_integer(scaling, "original_max_position_embeddings", 1, LLM_CONTEXT_MAX);
    if (!(shape->rope_low > 0 && shape->rope_high > shape->rope_low))
        llm_json_fail(scaling, FMQ_ERR_FORMAT,
                      "rope scaling 'llama3' needs 0 < low_freq_factor < high_freq_factor");
}

/* Reads rope_scaling, or rope_parameters as transformers 5 calls it. */
static void read_rope_scaling(llm_json_reader_t *reader, const json_t *object, llm_shape_t *shape)
{
    llm_json_reader_t scaling = {.object = object, .path = reader->path, .err = reader->err};
    shape->rope_theta = (float)llm_json_positive(&scaling, "rope_theta", shape->rope_theta);
    const char *type = llm_json_string(&scaling, "type", "default");
    type = llm_json_string(&scaling, "rope_type", type);
    if (strcmp(type, "default") != 0) {
        shape->rope_factor = (float)llm_json_positive(&scaling, "factor", 0);
        if (!(shape->rope_factor >= 1))
            llm_json_fail(&scaling, FMQ_ERR_FORMAT,
                          "rope scaling '%s' needs a 'factor' of at least 1", type);
        if (strcmp(type, "llama3") == 0)
            read_llama3(&scaling, shape);
        else if (strcmp(type, "linear") != 0)
            llm_json_fail(&scaling, FMQ_ERR_UNSUPPORTED,
                          "rope scaling '%s' is not supported (known: linear, llama3)", type);
    }
    if (llm_json_positive(&scaling, "partial_rotary_factor", 1) != 1)
        llm_json_fail(&scaling, FMQ_ERR_UNSUPPORTED, "'partial_rotary_factor' is not supported");
    reader->failed = reader->failed || scaling.failed;
}

void llm_rope_read(llm_json_reader_t *reader, llm_shape_t *shape)
{
    shape->rope_theta = (float)llm_json_positive(reader, "rope_theta", shape->arch->rope_theta);
    shape->rope_factor = 1;
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2 && !reader->failed; i++) {
        const json_t *object = llm_json_get(reader, keys[i]);
        if (object && !json_is_object(object))
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be an object or null", keys[i]);
        else if (object)
            read_rope_scaling(reader, object, shape);
    }
    if (llm_json_positive(reader, "partial_rotary_factor", 1) != 1)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'partial_rotary_factor' is not supported");
}

static json_t *rope_scaling_json(const llm_shape_t *shape)
{
    if (shape->rope_factor == 1 && shape->rope_original_context == 0)
        return json_null();
    if (shape->rope_original_context == 0)
        return json_pack("{ss so}", "rope_type", "linear", "factor",
                         llm_json_float(shape->rope_factor));
    return json_pack("{ss so so so sI}", "rope_type", "llama3", "factor",
                     llm_json_float(shape->rope_factor), "low_freq_factor",
                     llm_json_float(shape->rope_low), "high_freq_factor",
                     llm_json_float(shape->rope_high), "original_max_position_embeddings",
                     (json_int_t)shape->rope_original_context);
}

int llm_rope_write(json_t *root, const llm_shape_t *shape)
{
    return json_object_set_new(root, "rope_theta", llm_json_float(shape->rope_theta)) |
           json_object_set_new(root, "rope_scaling", rope_scaling_json(shape));
}

/* Llama-3.1's scaling (HF _compute_llama3_parameters): long wavelengths are
 * stretched by the factor, short ones kept, those between blended. */
static float scale_llama3(const llm_shape_t *shape, float frequency)
{
    float original = (float)shape->rope_original_context;
    float wavelength = (float)(2 * 3.14159265358979323846) / frequency;
    if (wavelength < original / shape->rope_high)
        return frequency;
    float stretched = frequency / shape->rope_factor;
    if (wavelength > original / shape->rope_low)
        return stretched;
    float smooth = (original / wavelength - shape->rope_low) / (shape->rope_high - shape->rope_low);
    return (1 - smooth) * stretched + smooth * frequency;
}

void llm_shape_rope_frequencies(const llm_shape_t *shape, float *out)
{
    /* HF takes the exponent, the power and the reciprocal in fp32 one by one. */
    for (uint32_t i = 0; i < shape->head_width / 2; i++) {
        float exponent = (float)(2 * i) / (float)shape->head_width;
        float frequency = 1.0f / (float)fmq_pow((double)shape->rope_theta, (double)exponent);
        if (shape->rope_original_context)
            frequency = scale_llama3(shape, frequency);
        else
            frequency /= shape->rope_factor;
        out[i] = frequency;
    }
}
