/*
 * part.c - opens part files and finds a part's tensors in them.  Every number
 * of a file is taken for a stranger's.
 */
#include "llm/weights/part.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A weight may be in a file under its own name or in two pieces. */
typedef struct {
    const llm_tensor_view_t *dense, *codes, *scales, *mask, *values;
} pieces_t;

static bool may_be_in_pieces(const llm_parameter_t *parameter)
{
    return parameter->role == LLM_ROLE_MODULE && !parameter->bias;
}

static const llm_tensor_view_t *find_piece(const llm_weights_t *file, const char *name,
                                           const char *suffix)
{
    char full[FMQ_SCHEMA_NAME_MAX];
    int size = snprintf(full, sizeof full, "%s%s", name, suffix);
    return size < (int)sizeof full ? llm_weights_find(file, full) : NULL;
}

static pieces_t find_pieces(const llm_model_part_t *part, const llm_shape_t *shape,
                            const llm_parameter_t *parameter)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    pieces_t found = {0};
    llm_parameter_part_name(shape, parameter, name);
    found.dense = llm_weights_find(part->file, name);
    if (!may_be_in_pieces(parameter))
        return found;
    found.codes = find_piece(part->file, name, LLM_PART_CODES);
    found.scales = find_piece(part->file, name, LLM_PART_SCALES);
    found.mask = find_piece(part->file, name, LLM_PART_MASK);
    found.values = find_piece(part->file, name, LLM_PART_VALUES);
    return found;
}

static size_t count_pieces(const pieces_t *found)
{
    const llm_tensor_view_t *all[] = {found->dense, found->codes, found->scales, found->mask,
                                      found->values};
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        count += all[i] ? 1 : 0;
    return count;
}

/* The codes of a row: one a byte or two a byte. */
static int take_codes(llm_source_t *source, const llm_tensor_view_t *codes, fmq_error_t *err)
{
    if (codes->dtype == FMQ_U8 && codes->rank == 2 && codes->shape[0] == source->rows) {
        if (codes->shape[1] == source->columns)
            source->bits = 8;
        else if (source->columns % 2 == 0 && codes->shape[1] == source->columns / 2)
            source->bits = 4;
    }
    if (!source->bits)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "'%s' is not U8 of %" PRIu64 " x %" PRIu64 " codes of 8 or 4 bits",
                             codes->name, source->rows, source->columns);
    return 0;
}

/* The group is the power of two that gives so many scales a row. */
static int take_scales(llm_source_t *source, const llm_tensor_view_t *scales, fmq_error_t *err)
{
    uint64_t groups = scales->rank == 2 && scales->dtype == FMQ_F32 ? scales->shape[1] : 0;
    source->group = 1;
    while (source->group < source->columns &&
           (source->columns + source->group - 1) / source->group > groups)
        source->group *= 2;
    if (!groups || scales->shape[0] != source->rows ||
        (source->columns + source->group - 1) / source->group != groups)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "'%s' is not F32 with a scale for each 2^n of the %" PRIu64
                             " x %" PRIu64 " weights",
                             scales->name, source->rows, source->columns);
    return 0;
}

/* How many bits are set; UINT64_MAX when one is set behind the last weight. */
static uint64_t count_bits(const uint8_t *mask, uint64_t count)
{
    uint64_t set = 0;
    for (uint64_t i = 0; i < (count + 7) / 8; i++)
        set += (uint64_t)__builtin_popcount(mask[i]);
    bool clean = count % 8 == 0 || mask[count / 8] >> count % 8 == 0;
    return clean ? set : UINT64_MAX;
}

static int take_sparse(llm_source_t *source, const llm_tensor_view_t *mask,
                       const llm_tensor_view_t *values, fmq_error_t *err)
{
    if (mask->dtype != FMQ_U8 || mask->rank != 1 || mask->bytes != (source->count + 7) / 8)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "'%s' is not U8 with a bit for each of %" PRIu64 " x %" PRIu64
                             " weights",
                             mask->name, source->rows, source->columns);
    bool floats = values->dtype == FMQ_F32 || values->dtype == FMQ_F16 || values->dtype == FMQ_BF16;
    if (!floats || values->rank != 1 || values->shape[0] != count_bits(mask->data, source->count))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "'%s' is not F32, F16 or BF16 with a value for each bit of '%s'",
                             values->name, mask->name);
    return 0;
}

static llm_stored_t stored(const llm_tensor_view_t *view)
{
    return (llm_stored_t){.data = view->data, .bytes = view->bytes, .dtype = view->dtype};
}

static int take_pieces(llm_source_t *source, const pieces_t *found,
                       const llm_parameter_t *parameter, fmq_error_t *err)
{
    size_t count = count_pieces(found);
    if (count == 1 && found->dense) {
        source->main = stored(found->dense);
        return llm_parameter_check(parameter, found->dense, err);
    }
    if (count == 2 && found->codes && found->scales) {
        source->form = LLM_QUANTIZED;
        source->main = stored(found->codes);
        source->more = stored(found->scales);
        return take_codes(source, found->codes, err) < 0 ? -1
                                                         : take_scales(source, found->scales, err);
    }
    if (count == 2 && found->mask && found->values) {
        source->form = LLM_SPARSE;
        source->main = stored(found->mask);
        source->more = stored(found->values);
        return take_sparse(source, found->mask, found->values, err);
    }
    return fmq_error_set(err, FMQ_ERR_MISMATCH, "it has to be there, once, and whole");
}

int llm_part_find(llm_source_t *source, const llm_model_t *model, const llm_parameter_t *parameter,
                  fmq_error_t *err)
{
    const llm_model_part_t *part = llm_model_part_of(model, parameter);
    pieces_t found = find_pieces(part, &model->shape, parameter);
    if (take_pieces(source, &found, parameter, err) == 0)
        return 0;
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_part_name(&model->shape, parameter, name);
    return fmq_error_prefix(err, "part file '%s': tensor '%s'", part->path, name);
}

/* Tensors that belong to the part, each stored in a way that is known, must be
 * all that the file holds. */
static int check_names(const llm_model_t *model, const llm_model_part_t *part, fmq_error_t *err)
{
    size_t known = 0;
    for (size_t i = 0; i < model->parameters.size; i++) {
        const llm_parameter_t *parameter = &model->parameters.items[i];
        if (llm_model_part_of(model, parameter) != part)
            continue;
        pieces_t found = find_pieces(part, &model->shape, parameter);
        known += count_pieces(&found);
    }
    size_t held = llm_weights_size(part->file);
    if (known != held)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "part file '%s' holds %zu tensors that such a part does not have",
                             part->path, held - known);
    return 0;
}

/* The MLP's channels are the rows of up, or of down where a weight is stored
 * [in][out]. */
static uint64_t channels_of(const llm_model_t *model, uint32_t layer)
{
    const llm_shape_t *shape = &model->shape;
    if (shape->arch->modules[LLM_GATE_UP])
        return shape->ffn; /* gate and up in one tensor are all of them, or do not fit */
    llm_parameter_t weight = {.role = LLM_ROLE_MODULE,
                              .layer = layer,
                              .module = shape->arch->input_major ? LLM_DOWN : LLM_UP};
    pieces_t found = find_pieces(&model->parts[layer], shape, &weight);
    const llm_tensor_view_t *view = found.dense ? found.dense : found.codes;
    return view && view->rank == 2 ? view->shape[0] : shape->ffn;
}

static int take_channels(llm_model_t *model, uint32_t layer, fmq_error_t *err)
{
    llm_model_part_t *part = &model->parts[layer];
    uint64_t channels = channels_of(model, layer);
    if (channels < 1 || channels > model->shape.ffn)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "part file '%s' has an MLP of %" PRIu64
                             " channels; 1 to %u are possible",
                             part->path, channels, model->shape.ffn);
    part->ffn = (uint32_t)channels;
    llm_parameters_narrow(&model->parameters, &model->shape, layer, part->ffn);
    return 0;
}

int llm_part_open(llm_model_t *model, uint32_t number, const char *path, fmq_error_t *err)
{
    llm_model_part_t *part = &model->parts[number];
    part->path = strdup(path);
    if (!part->path)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    part->file = llm_weights_open(path, err);
    if (!part->file || check_names(model, part, err) < 0)
        return -1;
    return number < model->shape.layers ? take_channels(model, number, err) : 0;
}
