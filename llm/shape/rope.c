/*
 * rope.c - rotary positions: their scalings, read and written, and the
 * frequencies that follow.  Turns nothing.
 */
#include "llm/shape/rope.h"

#include <math.h>
#include <string.h>

#include "base/real.h"

#define TAU 6.28318530717958647692

static void read_original_context(llm_json_reader_t *scaling, const llm_json_reader_t *whole,
                                  llm_shape_t *shape)
{
    static const char key[] = "original_max_position_embeddings";
    llm_json_reader_t reader = *scaling;
    if (!json_object_get(scaling->object, key))
        reader.object = whole->object;
    shape->rope_original_context = shape->context;
    if (json_object_get(reader.object, key))
        shape->rope_original_context = (uint32_t)llm_json_integer(&reader, key, 1, LLM_CONTEXT_MAX);
    scaling->failed = reader.failed;
}

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

/* What the paper's temperature makes of cosines and sines (YaRN, Peng et al.
 * 2023, 3.4), by scale and HF's mscale. */
static double yarn_temperature(double scale, double mscale)
{
    return scale <= 1 ? 1.0 : 0.1 * mscale * fmq_log(scale) + 1.0;
}

static void read_yarn(llm_json_reader_t *scaling, const llm_json_reader_t *whole,
                      llm_shape_t *shape)
{
    read_original_context(scaling, whole, shape);
    double factor = (double)shape->rope_factor;
    double mscale = llm_json_positive(scaling, "mscale", 0);
    double all = llm_json_positive(scaling, "mscale_all_dim", 0);
    double attention = mscale > 0 && all > 0
                           ? yarn_temperature(factor, mscale) / yarn_temperature(factor, all)
                           : yarn_temperature(factor, 1);
    shape->rope_attention = (float)llm_json_positive(scaling, "attention_factor", attention);
    shape->rope_high = (float)llm_json_positive(scaling, "beta_fast", 32);
    shape->rope_low = (float)llm_json_positive(scaling, "beta_slow", 1);
    shape->rope_exact = !llm_json_bool(scaling, "truncate", true);
}

static void read_factors(llm_json_reader_t *scaling, const char *key, float *out, size_t count)
{
    const json_t *list = llm_json_get(scaling, key);
    bool good = json_array_size(list) == count && count <= LLM_ROPE_PAIRS_MAX;
    for (size_t i = 0; good && i < count; i++) {
        double value = json_number_value(json_array_get(list, i));
        good = value > 0 && value < 1e9;
        out[i] = (float)value;
    }
    if (!good)
        llm_json_fail(
            scaling, FMQ_ERR_FORMAT,
            "rope scaling 'longrope': '%s' must be a list of %zu positive numbers, one for "
            "each pair of a head's channels (at most %d)",
            key, count, LLM_ROPE_PAIRS_MAX);
}

/* LongRoPE (Ding et al. 2024) as Phi-3 has it. */
static void read_longrope(llm_json_reader_t *scaling, const llm_json_reader_t *whole,
                          llm_shape_t *shape)
{
    read_original_context(scaling, whole, shape);
    if (scaling->failed)
        return;
    double original = (double)shape->rope_original_context;
    double factor = llm_json_positive(scaling, "factor", (double)shape->context / original);
    double attention =
        factor > 1 && original > 1 ? sqrt(1 + fmq_log(factor) / fmq_log(original)) : 1.0;
    shape->rope_attention = (float)llm_json_positive(scaling, "attention_factor", attention);
    shape->rope_factor = (float)factor;
    read_factors(scaling, "short_factor", shape->rope_short, llm_shape_rotary(shape) / 2);
    read_factors(scaling, "long_factor", shape->rope_long, llm_shape_rotary(shape) / 2);
}

/* By HF's names; "su" is what Phi-3 called longrope first. */
static const struct {
    const char *name;
    llm_rope_scaling_t scaling;
} scalings[] = {
    {"linear", LLM_ROPE_LINEAR}, {"llama3", LLM_ROPE_LLAMA3}, {"dynamic", LLM_ROPE_DYNAMIC},
    {"yarn", LLM_ROPE_YARN},     {"longrope", LLM_ROPE_LONG}, {"su", LLM_ROPE_LONG},
};

static bool find_scaling(const char *name, llm_rope_scaling_t *out)
{
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++) {
        if (strcmp(scalings[i].name, name) != 0)
            continue;
        *out = scalings[i].scaling;
        return true;
    }
    return false;
}

static const char *name_of(llm_rope_scaling_t scaling)
{
    size_t i = 0;
    while (scalings[i].scaling != scaling)
        i++;
    return scalings[i].name;
}

static void read_scaling(llm_json_reader_t *scaling, const llm_json_reader_t *whole,
                         const char *type, llm_shape_t *shape)
{
    if (!find_scaling(type, &shape->rope_scaling)) {
        llm_json_fail(scaling, FMQ_ERR_UNSUPPORTED,
                      "rope scaling '%s' is not supported (known: linear, llama3, dynamic, yarn, "
                      "longrope)",
                      type);
        return;
    }
    if (shape->rope_scaling == LLM_ROPE_LONG) {
        read_longrope(scaling, whole, shape);
        return;
    }
    shape->rope_factor = (float)llm_json_positive(scaling, "factor", 0);
    if (!(shape->rope_factor >= 1))
        llm_json_fail(scaling, FMQ_ERR_FORMAT, "rope scaling '%s' needs a 'factor' of at least 1",
                      type);
    if (shape->rope_scaling == LLM_ROPE_LLAMA3)
        read_llama3(scaling, shape);
    else if (shape->rope_scaling == LLM_ROPE_YARN)
        read_yarn(scaling, whole, shape);
}

/* Reads rope_scaling, or rope_parameters as transformers 5 calls it. */
static void read_rope_scaling(llm_json_reader_t *reader, const json_t *object, llm_shape_t *shape)
{
    llm_json_reader_t scaling = {.object = object, .path = reader->path, .err = reader->err};
    shape->rope_theta = (float)llm_json_positive(&scaling, "rope_theta", shape->rope_theta);
    const char *type = llm_json_string(&scaling, "type", "default");
    type = llm_json_string(&scaling, "rope_type", type);
    read_rotary(&scaling, "partial_rotary_factor", shape);
    if (!scaling.failed && strcmp(type, "default") != 0)
        read_scaling(&scaling, reader, type, shape);
    reader->failed = reader->failed || scaling.failed;
}

void llm_rope_read(llm_json_reader_t *reader, llm_shape_t *shape)
{
    shape->rope_theta = (float)llm_json_positive(reader, "rope_theta", shape->arch->rope_theta);
    const llm_arch_t *arch = shape->arch;
    shape->rotary =
        (uint32_t)(arch->rotary * (arch->rotary_channels ? 1 : (float)shape->head_width));
    if (shape->rotary >= shape->head_width)
        shape->rotary = 0;
    const char *rotary = arch->rotary_key ? arch->rotary_key : "partial_rotary_factor";
    read_rotary(reader, rotary, shape);
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2 && !reader->failed; i++) {
        const json_t *object = llm_json_get(reader, keys[i]);
        if (object && !json_is_object(object))
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be an object or null", keys[i]);
        else if (object)
            read_rope_scaling(reader, object, shape);
    }
    if (!reader->failed)
        read_rotary(reader, rotary, shape); /* which counts before that of the object */
    if (!reader->failed && (shape->rotary % 2 != 0 || shape->rotary == 1))
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "%u channels of a head would be turned; rotary positions need an even number",
                      shape->rotary);
}

static int set_factors(json_t *object, const char *key, const float *factors, size_t count)
{
    json_t *list = json_array();
    int status = list ? 0 : -1;
    for (size_t i = 0; i < count; i++)
        status |= json_array_append_new(list, llm_json_float(factors[i]));
    return status | json_object_set_new(object, key, list);
}

static int set_scaling(json_t *object, const llm_shape_t *shape)
{
    llm_rope_scaling_t kind = shape->rope_scaling;
    int status = llm_json_set_float(object, "factor", shape->rope_factor);
    if (kind == LLM_ROPE_LLAMA3)
        status |= llm_json_set_float(object, "low_freq_factor", shape->rope_low) |
                  llm_json_set_float(object, "high_freq_factor", shape->rope_high);
    if (kind == LLM_ROPE_YARN)
        status |= llm_json_set_float(object, "beta_slow", shape->rope_low) |
                  llm_json_set_float(object, "beta_fast", shape->rope_high) |
                  json_object_set_new(object, "truncate", json_boolean(!shape->rope_exact));
    if (kind == LLM_ROPE_LONG)
        status |=
            set_factors(object, "short_factor", shape->rope_short, llm_shape_rotary(shape) / 2) |
            set_factors(object, "long_factor", shape->rope_long, llm_shape_rotary(shape) / 2);
    if (kind == LLM_ROPE_YARN || kind == LLM_ROPE_LONG)
        status |= llm_json_set_float(object, "attention_factor", shape->rope_attention);
    if (shape->rope_original_context)
        status |= json_object_set_new(object, "original_max_position_embeddings",
                                      json_integer((json_int_t)shape->rope_original_context));
    return status;
}

static json_t *rope_scaling_json(const llm_shape_t *shape)
{
    if (shape->rope_factor == 1 && shape->rope_scaling == LLM_ROPE_LINEAR)
        return json_null();
    json_t *object = json_pack("{ss}", "rope_type", name_of(shape->rope_scaling));
    if (object && set_scaling(object, shape) == 0)
        return object;
    json_decref(object);
    return NULL;
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
    return llm_json_set_float(root, "rope_theta", shape->rope_theta) |
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

/* YaRN (Peng et al. 2023, 3.2; HF _compute_yarn_parameters): channels that turn
 * often within the original context keep their frequency, those that turn
 * seldom are stretched by the factor, those between are blended. */
typedef struct {
    float low, width; /* of the ramp, in pairs */
} ramp_t;

/* The pair that turns so many times within the original context. */
static double pair_that_turns(const llm_shape_t *shape, float times)
{
    double context = (double)shape->rope_original_context;
    return (double)llm_shape_rotary(shape) * fmq_log(context / ((double)times * TAU)) /
           (2 * fmq_log((double)shape->rope_theta));
}

static ramp_t yarn_ramp(const llm_shape_t *shape)
{
    double low = pair_that_turns(shape, shape->rope_high);
    double high = pair_that_turns(shape, shape->rope_low);
    if (!shape->rope_exact) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)llm_shape_rotary(shape) - 1);
    if (low == high)
        high += 0.001;
    return (ramp_t){(float)low, (float)(high - low)};
}

static float scale_yarn(const llm_shape_t *shape, ramp_t ramp, size_t pair, float power)
{
    float up = ((float)pair - ramp.low) / ramp.width;
    float kept = 1 - (up < 0 ? 0.0f : up > 1 ? 1.0f : up);
    return 1.0f / (shape->rope_factor * power) * (1 - kept) + 1.0f / power * kept;
}

void llm_shape_rope_frequencies(const llm_shape_t *shape, float *out)
{
    ramp_t ramp = shape->rope_scaling == LLM_ROPE_YARN ? yarn_ramp(shape) : (ramp_t){0, 1};
    /* HF takes the exponent, the power and the reciprocal in fp32 one by one. */
    for (uint32_t i = 0; i < llm_shape_rotary(shape) / 2; i++) {
        float exponent = (float)(2 * i) / (float)llm_shape_rotary(shape);
        float power = (float)fmq_pow((double)shape->rope_theta, (double)exponent);
        float frequency = 1.0f / power;
        if (shape->rope_scaling == LLM_ROPE_LLAMA3)
            frequency = scale_llama3(shape, frequency);
        else if (shape->rope_scaling == LLM_ROPE_YARN)
            frequency = scale_yarn(shape, ramp, i, power);
        else if (shape->rope_scaling == LLM_ROPE_LONG)
            frequency = 1.0f / (shape->rope_short[i] * power);
        else if (shape->rope_scaling == LLM_ROPE_LINEAR)
            frequency /= shape->rope_factor;
        out[i] = frequency;
    }
}

float llm_shape_rope_attention(const llm_shape_t *shape)
{
    return shape->rope_attention ? shape->rope_attention : 1.0f;
}
