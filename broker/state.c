/*
 * state.c - cuts a flat vector into ranges and ranges into slices, and puts
 * them together again.
 *
 * A slice is the part of one tensor that lies in the chunk's range.  Since
 * both ends hold the schema, there is exactly one right list of slices for a
 * chunk: decoding compares with that list instead of believing the message.
 */
#include "fedmq/broker/state.h"

#include <string.h>

#include "broker/codec.h"
#include "broker/lent_state.h"
#include "fedmq/broker/pack.h"

#define SLICE_FIELDS   5u
#define SLICE_HEAD_MAX 26u /* array 1, tensor 5, offset 9, count 5, codec 1, data 5 */
#define CHUNK_HEAD_MAX 5u

/* The part of tensor `index` that lies in a range. */
typedef struct {
    size_t tensor;
    uint64_t offset; /* within the tensor */
    uint64_t start;  /* within the range */
    uint64_t count;
} slice_t;

uint32_t fmq_state_chunks(const fmq_schema_t *schema)
{
    uint64_t elements = fmq_schema_elements(schema);
    uint64_t chunks = elements / FMQ_STATE_RANGE_MAX + (elements % FMQ_STATE_RANGE_MAX != 0);
    return chunks > UINT32_MAX ? UINT32_MAX : (uint32_t)chunks;
}

void fmq_state_range(const fmq_schema_t *schema, uint32_t index, uint64_t *first, uint64_t *count)
{
    uint64_t elements = fmq_schema_elements(schema);
    *first = (uint64_t)index * FMQ_STATE_RANGE_MAX;
    if (*first >= elements) {
        *first = elements;
        *count = 0;
        return;
    }
    *count = elements - *first < FMQ_STATE_RANGE_MAX ? elements - *first : FMQ_STATE_RANGE_MAX;
}

/* The tensor that holds the element, by bisection over ascending offsets. */
static size_t tensor_of(const fmq_schema_t *schema, uint64_t element)
{
    size_t low = 0, high = fmq_schema_size(schema);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (fmq_schema_at(schema, middle)->offset <= element)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The slice that begins `start` elements into the range [first, first+count). */
static slice_t slice_at(const fmq_schema_t *schema, size_t index, uint64_t first, uint64_t count,
                        uint64_t start)
{
    const fmq_tensor_t *tensor = fmq_schema_at(schema, index);
    uint64_t offset = first + start - tensor->offset;
    uint64_t rest = tensor->count - offset;
    uint64_t room = count - start;
    return (slice_t){index, offset, start, rest < room ? rest : room};
}

static uint32_t slices_in(const fmq_schema_t *schema, uint64_t first, uint64_t count)
{
    return (uint32_t)(tensor_of(schema, first + count - 1) - tensor_of(schema, first) + 1);
}

/* values: of the chunk's range. */
static int pack_slices(const fmq_schema_t *schema, const float *values,
                       const fmq_codec_ops_t *codec, fmq_packer_t *packer, uint32_t index)
{
    uint64_t first, count;
    fmq_state_range(schema, index, &first, &count);
    size_t tensor = tensor_of(schema, first);
    bool finite = true;
    fmq_pack_array(packer, slices_in(schema, first, count));
    for (uint64_t start = 0; start < count; tensor++) {
        slice_t slice = slice_at(schema, tensor, first, count, start);
        fmq_pack_array(packer, SLICE_FIELDS);
        fmq_pack_uint(packer, slice.tensor);
        fmq_pack_uint(packer, slice.offset);
        fmq_pack_uint(packer, slice.count);
        fmq_pack_uint(packer, codec->number);
        void *data = fmq_pack_bin_place(packer, codec->bytes((size_t)slice.count));
        if (data)
            finite &= codec->encode(data, values + start, (size_t)slice.count);
        start += slice.count;
    }
    return finite ? 0 : -1;
}

/* Names the first element of a range that the codec cannot hold. */
static int blame_element(const fmq_schema_t *schema, const float *values,
                         const fmq_codec_ops_t *codec, uint32_t index, fmq_error_t *err)
{
    uint64_t first, count, at = 0;
    unsigned char scratch[FMQ_CODEC_ONE_MAX];
    fmq_state_range(schema, index, &first, &count);
    while (at + 1 < count && codec->encode(scratch, values + at, 1))
        at++;
    const fmq_tensor_t *tensor = fmq_schema_at(schema, tensor_of(schema, first + at));
    return fmq_error_set(err, FMQ_ERR_NUMERIC,
                         "tensor '%s': element %llu is %g, which codec %s cannot hold",
                         tensor->name, (unsigned long long)(first + at - tensor->offset),
                         (double)values[at], codec->name);
}

/* Bytes that a chunk cannot have more of. */
static size_t chunk_room(const fmq_schema_t *schema, const fmq_codec_ops_t *codec, uint32_t index)
{
    uint64_t first, count;
    fmq_state_range(schema, index, &first, &count);
    uint64_t size = CHUNK_HEAD_MAX;
    size_t tensor = tensor_of(schema, first);
    for (uint64_t start = 0; start < count; tensor++) {
        slice_t slice = slice_at(schema, tensor, first, count, start);
        size += SLICE_HEAD_MAX + codec->bytes((size_t)slice.count);
        start += slice.count;
    }
    return size < FMQ_CHUNK_MAX ? (size_t)size : FMQ_CHUNK_MAX;
}

bool fmq_state_knows(const fmq_schema_t *schema, uint32_t codec)
{
    return fmq_codec_of(schema, codec) != NULL;
}

/* NULL with err. */
static const fmq_codec_ops_t *known(const fmq_schema_t *schema, fmq_codec_t number,
                                    fmq_error_t *err)
{
    const fmq_codec_ops_t *codec = fmq_codec_of(schema, number);
    if (!codec)
        fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "codec %u is not known here", (unsigned)number);
    return codec;
}

static size_t encode_chunk(const fmq_schema_t *schema, uint32_t index, const float *values,
                           const fmq_codec_ops_t *codec, void *out, fmq_error_t *err)
{
    uint64_t first, count;
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, chunk_room(schema, codec, index));
    int rc = pack_slices(schema, values, codec, &packer, index);
    size_t used = fmq_packer_end(&packer, err);
    if (used == 0) {
        fmq_state_range(schema, index, &first, &count);
        fmq_error_prefix(err, "chunk %u of the state has %u tensors: too many small ones", index,
                         slices_in(schema, first, count));
    } else if (rc < 0) {
        blame_element(schema, values, codec, index, err);
        used = 0;
    }
    return used;
}

size_t fmq_state_encode_chunk(const fmq_schema_t *schema, uint32_t index, const float *values,
                              fmq_codec_t number, void *out, fmq_error_t *err)
{
    const fmq_codec_ops_t *codec = known(schema, number, err);
    return codec ? encode_chunk(schema, index, values, codec, out, err) : 0;
}

static int add_chunk(fmq_object_t *object, const fmq_schema_t *schema, const float *vector,
                     const fmq_codec_ops_t *codec, fmq_error_t *err)
{
    uint32_t index = fmq_object_chunks(object);
    uint64_t first, count;
    fmq_state_range(schema, index, &first, &count);
    void *place = fmq_object_place(object, chunk_room(schema, codec, index), err);
    size_t used = place ? encode_chunk(schema, index, vector + first, codec, place, err) : 0;
    if (used == 0)
        return -1;
    fmq_object_trim(object, used);
    return 0;
}

fmq_object_t *fmq_state_encode(const fmq_schema_t *schema, const float *vector, fmq_codec_t number,
                               fmq_error_t *err)
{
    const fmq_codec_ops_t *codec = known(schema, number, err);
    if (!codec)
        return NULL;
    fmq_object_t *object = fmq_object_new();
    if (!object) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an object");
        return NULL;
    }
    uint32_t chunks = fmq_state_chunks(schema);
    for (uint32_t i = 0; i < chunks; i++) {
        if (add_chunk(object, schema, vector, codec, err) < 0) {
            fmq_object_drop(&object);
            return NULL;
        }
    }
    fmq_object_seal(object);
    return object;
}

/* A slice of a message. */
typedef struct {
    const fmq_codec_ops_t *codec;
    const uint8_t *data; /* borrowed */
} run_t;

/* Reads one slice's head, which must say what `want` says, and finds its data. */
static bool read_slice(const fmq_schema_t *schema, fmq_unpacker_t *in, const slice_t *want,
                       run_t *out)
{
    if (fmq_unpack_array(in, SLICE_FIELDS) != SLICE_FIELDS)
        fmq_unpack_fail(in, "a slice has five fields");
    if (fmq_unpack_uint(in, UINT32_MAX) != want->tensor)
        fmq_unpack_fail(in, "slice of another tensor");
    if (fmq_unpack_uint(in, UINT64_MAX) != want->offset)
        fmq_unpack_fail(in, "slice at another offset");
    if (fmq_unpack_uint(in, UINT32_MAX) != want->count)
        fmq_unpack_fail(in, "slice of another length");
    out->codec = fmq_codec_of(schema, (uint32_t)fmq_unpack_uint(in, UINT32_MAX));
    if (!out->codec)
        fmq_unpack_fail(in, "slice in a codec that is not known here");
    size_t size;
    out->data = fmq_unpack_bin(in, FMQ_CHUNK_MAX, &size);
    if (out->codec && out->data && size != out->codec->bytes((size_t)want->count))
        fmq_unpack_fail(in, "slice's data do not have its length");
    return !fmq_unpack_failed(in) && out->data;
}

/* What a slice has of the elements from `begin` to `end` of its range, which
 * out is for. */
static bool decode_slice(const run_t *run, const slice_t *slice, uint64_t begin, uint64_t end,
                         float *out)
{
    uint64_t behind = slice->start + slice->count;
    uint64_t from = slice->start > begin ? slice->start : begin;
    uint64_t to = behind < end ? behind : end;
    return from >= to || run->codec->decode(out + (from - begin), run->data, (size_t)slice->count,
                                            (size_t)(from - slice->start), (size_t)(to - from));
}

/* One pass over the slices of the chunk that a part lies in.  Without out it only
 * checks structure, so that nothing is written for a message that is not
 * well-formed. */
static bool walk(const fmq_schema_t *schema, const fmq_state_part_t *part, fmq_unpacker_t *in,
                 float *out)
{
    uint64_t first, count;
    bool finite = true;
    fmq_state_range(schema, (uint32_t)(part->first / FMQ_STATE_RANGE_MAX), &first, &count);
    uint64_t begin = part->first - first, end = begin + part->count;
    uint32_t slices = slices_in(schema, first, count);
    if (fmq_unpack_array(in, UINT32_MAX) != slices)
        fmq_unpack_fail(in, "chunk with another number of slices");
    size_t tensor = tensor_of(schema, first);
    for (uint64_t start = 0; start < count; tensor++) {
        slice_t slice = slice_at(schema, tensor, first, count, start);
        run_t run;
        if (!read_slice(schema, in, &slice, &run))
            return finite;
        if (out)
            finite &= decode_slice(&run, &slice, begin, end, out);
        start += slice.count;
    }
    return finite;
}

int fmq_state_decode_part(const fmq_schema_t *schema, const fmq_state_part_t *part,
                          const void *data, size_t size, float *out, fmq_error_t *err)
{
    uint64_t index = part->first / FMQ_STATE_RANGE_MAX;
    if (index >= fmq_state_chunks(schema))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "state has %u chunks: there is no chunk %llu",
                             fmq_state_chunks(schema), (unsigned long long)index);
    fmq_unpacker_t in;
    fmq_unpacker_init(&in, data, size);
    (void)walk(schema, part, &in, NULL);
    if (fmq_unpack_done(&in, err) < 0)
        return fmq_error_prefix(err, "chunk %llu of the state", (unsigned long long)index);
    fmq_unpacker_init(&in, data, size);
    if (!walk(schema, part, &in, out))
        return fmq_error_set(err, FMQ_ERR_NUMERIC,
                             "chunk %llu of the state holds a NaN or an infinity",
                             (unsigned long long)index);
    return 0;
}

int fmq_state_decode(const fmq_schema_t *schema, uint32_t index, const void *data, size_t size,
                     float *out, fmq_error_t *err)
{
    const fmq_state_part_t whole = {(uint64_t)index * FMQ_STATE_RANGE_MAX, FMQ_STATE_RANGE_MAX};
    return fmq_state_decode_part(schema, &whole, data, size, out, err);
}
