/*
 * matrix.c - frozen weights: how they get onto a device, and off it as
 * elements.
 *
 * What is read is converted on the host, a piece of whole rows at a time.  Codes
 * of the narrow forms are made there as well, [out][in] whatever the file's
 * order: their groups run along inputs.
 */
#include "llm/backend/cuda/matrix.h"

#include <stdlib.h>

#include "llm/backend/forms.h"
#include "llm/backend/half.h"

#define PIECE_BYTES ((size_t)4 << 20) /* about so much of a weight is converted at a time */

/* A weight in host memory. */
typedef struct {
    const void *data;
    fmq_dtype_t dtype;
} source_t;

static void matrix_destroy(llm_backend_t *be, llm_matrix_t **matrix_p)
{
    if (!matrix_p || !*matrix_p)
        return;
    llm_cuda_enter(be);
    llm_cuda_release((*matrix_p)->elements);
    llm_cuda_release((*matrix_p)->packed);
    llm_cuda_release((*matrix_p)->scales);
    free(*matrix_p);
    *matrix_p = NULL;
}

static size_t matrix_bytes(const llm_matrix_t *matrix)
{
    return matrix->bytes;
}

/* Without memory on the device yet. */
static llm_matrix_t *allocate(size_t out, size_t in, bool input_major)
{
    if (in && out > LLM_BACKEND_BYTES_MAX / sizeof(float) / llm_cuda_padded(in))
        return NULL;
    llm_matrix_t *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (llm_matrix_t){.out = out, .in = in, .input_major = input_major};
    w->rows = input_major ? in : out;
    w->columns = input_major ? out : in;
    w->stride = llm_cuda_padded(w->columns);
    return w;
}

/* Rows of a stored weight as elements of w, with zeros behind each. */
static void convert(const llm_matrix_t *w, void *to, const source_t *from, size_t first,
                    size_t count)
{
    memset(to, 0, count * w->stride * (w->bf16 ? 2 : 4));
    for (size_t r = 0; r < count; r++) {
        size_t at = (first + r) * w->columns;
        uint16_t *halves = (uint16_t *)to + r * w->stride;
        if (!w->bf16)
            llm_floats_at((float *)to + r * w->stride, from->data, from->dtype, at, w->columns);
        else if (from->dtype == FMQ_BF16)
            memcpy(halves, (const char *)from->data + 2 * at, 2 * w->columns);
        else
            for (size_t c = 0; c < w->columns; c++)
                halves[c] = fmq_bf16_of_float(llm_float_at(from->data, from->dtype, at + c));
    }
}

static size_t rows_of_piece(size_t row_bytes)
{
    return row_bytes < PIECE_BYTES ? PIECE_BYTES / (row_bytes ? row_bytes : 1) : 1;
}

static int place_elements(llm_cuda_t *self, llm_matrix_t *w, const source_t *from)
{
    size_t row = w->stride * (w->bf16 ? 2 : 4), some = rows_of_piece(row);
    w->bytes = w->rows * row;
    w->elements = llm_cuda_alloc(w->bytes);
    if (!w->elements)
        return -1;
    if (w->bf16 && from->dtype == FMQ_BF16 && w->stride == w->columns) {
        llm_cuda_send(self, w->elements, from->data, w->bytes);
        return 0;
    }
    void *piece = malloc(some * row);
    for (size_t first = 0; piece && first < w->rows; first += some) {
        size_t count = w->rows - first < some ? w->rows - first : some;
        convert(w, piece, from, first, count);
        llm_cuda_send(self, (char *)w->elements + first * row, piece, count * row);
    }
    free(piece);
    return piece ? 0 : -1;
}

static llm_matrix_t *matrix_new_elements(llm_backend_t *be, const source_t *from, size_t out,
                                         size_t in, bool input_major, bool bf16)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    llm_matrix_t *w = allocate(out, in, input_major);
    if (!w)
        return NULL;
    w->bf16 = bf16;
    if (place_elements(self, w, from) < 0)
        matrix_destroy(be, &w);
    return w;
}

/* Floats become what activations are. */
static llm_matrix_t *matrix_new(llm_backend_t *be, const void *data, fmq_dtype_t dtype, size_t out,
                                size_t in, bool input_major)
{
    source_t from = {data, dtype};
    return matrix_new_elements(be, &from, out, in, input_major, be->ops->act == FMQ_BF16);
}

/* Device memory for the codes and scales of w; form, group and size are set. */
static int allocate_codes(llm_matrix_t *w)
{
    llm_cuda_quantized_t *codes = &w->codes;
    size_t packed = codes->rows * llm_cuda_code_bytes(codes);
    size_t scales = codes->rows * llm_cuda_code_groups(codes) * sizeof(float);
    codes->codes = w->packed = llm_cuda_alloc(packed);
    codes->scales = w->scales = llm_cuda_alloc(scales);
    w->bytes = packed + scales;
    return w->packed && w->scales ? 0 : -1;
}

static llm_matrix_t *matrix_new_quantized(llm_backend_t *be, const llm_quantized_t *data,
                                          size_t out, size_t in, bool input_major)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    llm_matrix_t *w = out && in && data->group ? allocate(out, in, input_major) : NULL;
    if (!w)
        return NULL;
    w->codes = (llm_cuda_quantized_t){.rows = w->rows, .columns = w->columns, .group = data->group};
    w->codes.form = data->bits == 8 ? LLM_CUDA_INT8 : LLM_CUDA_INT4;
    if (allocate_codes(w) < 0) {
        matrix_destroy(be, &w);
        return NULL;
    }
    size_t row = llm_cuda_code_bytes(&w->codes), groups = llm_cuda_code_groups(&w->codes);
    llm_cuda_send(self, w->packed, data->codes, w->rows * row);
    llm_cuda_send(self, w->scales, data->scales, w->rows * groups * sizeof(float));
    return w;
}

/* Codes and scales of outputs first .. first + count. */
typedef struct {
    uint8_t *codes;
    float *scales;
    size_t first, count;
    llm_matrix_form_t form;
} encoded_t;

static void encode(const llm_matrix_t *w, const encoded_t *to, const source_t *from)
{
    float values[LLM_FORM_GROUP];
    uint8_t codes[LLM_FORM_GROUP + 1] = {0};
    size_t bits = llm_form_bits(to->form);
    size_t row = llm_cuda_code_bytes(&w->codes), groups = llm_cuda_code_groups(&w->codes);
    for (size_t r = 0; r < to->count; r++)
        for (size_t i = 0; i < w->in; i += LLM_FORM_GROUP) {
            size_t n = w->in - i < LLM_FORM_GROUP ? w->in - i : LLM_FORM_GROUP;
            size_t o = to->first + r;
            for (size_t j = 0; j < n; j++)
                values[j] = llm_float_at(from->data, from->dtype,
                                         w->input_major ? (i + j) * w->out + o : o * w->in + i + j);
            to->scales[r * groups + i / LLM_FORM_GROUP] =
                llm_form_encode(to->form, codes, values, n);
            codes[n] = 0; /* beside the last of an odd number */
            uint8_t *bytes = to->codes + r * row + i * bits / 8;
            for (size_t j = 0; j < n; j += 8 / bits)
                bytes[j * bits / 8] =
                    (uint8_t)(bits == 8 ? codes[j] : codes[j] | codes[j + 1] << 4);
        }
}

static int place_codes(llm_cuda_t *self, llm_matrix_t *w, const source_t *from,
                       llm_matrix_form_t form)
{
    size_t row = llm_cuda_code_bytes(&w->codes), groups = llm_cuda_code_groups(&w->codes);
    size_t some = rows_of_piece(row);
    some = some < w->out ? some : w->out;
    if (allocate_codes(w) < 0)
        return -1;
    encoded_t piece = {.codes = malloc(some * row + 1), .form = form};
    piece.scales = malloc(some * groups * sizeof(float) + 1);
    bool room = piece.codes && piece.scales;
    for (size_t first = 0; room && first < w->out; first += some) {
        piece.first = first;
        piece.count = w->out - first < some ? w->out - first : some;
        encode(w, &piece, from);
        llm_cuda_send(self, w->packed + first * row, piece.codes, piece.count * row);
        llm_cuda_send(self, w->scales + first * groups, piece.scales,
                      piece.count * groups * sizeof(float));
    }
    free(piece.codes);
    free(piece.scales);
    return room ? 0 : -1;
}

static llm_matrix_t *matrix_new_form(llm_backend_t *be, const void *data, fmq_dtype_t dtype,
                                     size_t out, size_t in, bool input_major,
                                     llm_matrix_form_t form)
{
    static const llm_cuda_codes_t forms[] = {[LLM_FORM_INT8] = LLM_CUDA_INT8,
                                             [LLM_FORM_INT4] = LLM_CUDA_INT4,
                                             [LLM_FORM_NF4] = LLM_CUDA_NF4};
    source_t from = {data, dtype};
    llm_cuda_t *self = llm_cuda_enter(be);
    if (form == LLM_FORM_F32)
        return matrix_new(be, data, dtype, out, in, input_major);
    if (form == LLM_FORM_BF16)
        return matrix_new_elements(be, &from, out, in, input_major, true);
    llm_matrix_t *w = allocate(out, in, input_major);
    if (!w)
        return NULL;
    w->codes = (llm_cuda_quantized_t){
        .rows = out, .columns = in, .group = LLM_FORM_GROUP, .form = forms[form]};
    if (place_codes(self, w, &from, form) < 0) {
        matrix_destroy(be, &w);
        return NULL;
    }
    w->input_major = false; /* from here on: as the codes lie */
    w->rows = out;
    w->columns = in;
    w->stride = llm_cuda_padded(in);
    return w;
}

/* Rows first .. first + count as activations in the room for weights. */
static void *widened(llm_cuda_t *self, const llm_matrix_t *w, size_t first, size_t count)
{
    llm_cuda_queue_t halves = self->queue;
    size_t element = self->queue.bf16 ? 2 : 4;
    halves.bf16 = true;
    void *to = llm_cuda_room(self, LLM_CUDA_ROOM_WEIGHT, count * w->stride * element);
    if (to && w->elements)
        llm_cuda_widen(&halves, to, (const uint16_t *)w->elements + first * w->stride,
                       count * w->stride, false);
    else if (to)
        llm_cuda_dequantize(&self->queue, to, w->stride, &w->codes, first, count);
    return to;
}

int llm_cuda_matrix_elements(llm_cuda_t *self, const llm_matrix_t *w, size_t first, size_t count,
                             llm_cuda_weight_t *out)
{
    size_t element = self->queue.bf16 ? 2 : 4;
    size_t row = w->input_major ? 0 : first, column = w->input_major ? first : 0;
    const char *at = w->elements;
    if (!w->elements || w->bf16 != self->queue.bf16) {
        at = widened(self, w, row, w->input_major ? w->rows : count);
        row = 0;
    }
    *out = (llm_cuda_weight_t){
        .at = at + (row * w->stride + column) * element,
        .stride = w->stride,
        .input_major = w->input_major,
    };
    return at ? 0 : -1;
}

/* Outputs of a weight that lies [in][out] are its columns. */
static void gather_columns(llm_cuda_t *self, llm_act_t *out, const llm_matrix_t *w,
                           const int32_t *ids, size_t T)
{
    llm_cuda_weight_t all;
    if (llm_cuda_matrix_elements(self, w, 0, w->out, &all) == 0)
        llm_cuda_gather_columns(&self->queue, out, all.at, all.stride, ids, T, w->in);
}

static void matrix_gather(llm_backend_t *be, llm_act_t *out, const llm_matrix_t *w,
                          const int32_t *ids, size_t T)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (w->input_major) {
        gather_columns(self, out, w, ids, T);
        return;
    }
    if (!w->elements) {
        llm_cuda_gather_quantized(&self->queue, out, &w->codes, ids, T);
        return;
    }
    void *rows = out; /* as long as those of the weight */
    if (w->stride != w->in)
        rows = llm_cuda_room(self, LLM_CUDA_ROOM_OPERAND, T * w->stride * sizeof(float));
    if (!rows)
        return;
    if (w->bf16)
        llm_cuda_embed_forward_bf16(&self->queue, rows, w->elements, ids, T, w->stride);
    else
        llm_cuda_embed_forward(&self->queue, rows, w->elements, ids, T, w->stride);
    if (rows != out)
        llm_cuda_copy_rows(&self->queue, out, w->in, rows, w->stride, T, w->in);
}

void llm_cuda_matrix_ops(llm_ops_t *ops)
{
    ops->matrix_new = matrix_new;
    ops->matrix_new_quantized = matrix_new_quantized;
    ops->matrix_new_form = matrix_new_form;
    ops->forms = LLM_FORMS_ALL;
    ops->matrix_destroy = matrix_destroy;
    ops->matrix_bytes = matrix_bytes;
    ops->matrix_gather = matrix_gather;
}
