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

/* The part of a head that is turned, of families that have a key for it. */
static void read_rotary(llm_json_reader_t *reader, const char *key, llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    bool channels = arch->rotary_channels;
    if (!llm_json_get(reader, key))
        return;
    double part = llm_json_positive(reader, key, 1);
    double turned = channels ? part : (double)shape->head_width * part;
    if (!arch->rotary_key && part != 1)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s' is not supported", key);
    else if (!(turned >= 2 && turned <= shape->head_width) || (uint32_t)turned % 2 != 0)
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "'%s' %g turns %g channels of a head that has %u; it must be an even number "
                      "from 2 on",
                      key, part, turned, shape->head_width);
    else
        shape->rotary = turned < shape->head_width ? (uint32_t)turned : 0;
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
    read_rotary(&scaling, "partial_rotary_factor", shape);
    reader->failed = reader->failed || scaling.failed;
}

void llm_rope_read(llm_json_reader_t *reader, llm_shape_t *shape)
{
    shape->rope_theta = (float)llm_json_positive(reader, "rope_theta", shape->arch->rope_theta);
    shape->rope_factor = 1;
    const llm_arch_t *arch = shape->arch;
    shape->rotary =
        (uint32_t)(arch->rotary * (arch->rotary_channels ? 1 : (float)shape->head_width));
    if (shape->rotary >= shape->head_width)
        shape->rotary = 0;
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2 && !reader->failed; i++) {
        const json_t *object = llm_json_get(reader, keys[i]);
        if (object && !json_is_object(object))
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be an object or null", keys[i]);
        else if (object)
            read_rope_scaling(reader, object, shape);
    }
    read_rotary(reader, arch->rotary_key ? arch->rotary_key : "partial_rotary_factor", shape);
    if (!reader->failed && (shape->rotary % 2 != 0 || shape->rotary == 1))
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "%u channels of a head would be turned; rotary positions need an even number",
                      shape->rotary);
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

/* The share of a head that int(width * share) makes these channels of. */
static json_t *rotary_json(const llm_shape_t *shape)
{
    if (shape->arch->rotary_channels)
        return json_integer((json_int_t)llm_shape_rotary(shape));
    double share = (double)llm_shape_rotary(shape) / shape->head_width;
    while ((uint32_t)(share * shape->head_width) < llm_shape_rotary(shape))
        share += 1e-9;
    return json_real(share);
}

int llm_rope_write(json_t *root, const llm_shape_t *shape)
{
    if (shape->arch->rotary_key &&
        json_object_set_new(root, shape->arch->rotary_key, rotary_json(shape)) != 0)
        return -1;
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
    for (uint32_t i = 0; i < llm_shape_rotary(shape) / 2; i++) {
        float exponent = (float)(2 * i) / (float)llm_shape_rotary(shape);
        float frequency = 1.0f / (float)fmq_pow((double)shape->rope_theta, (double)exponent);
        if (shape->rope_original_context)
            frequency = scale_llama3(shape, frequency);
        else
            frequency /= shape->rope_factor;
        out[i] = frequency;
    }
}
