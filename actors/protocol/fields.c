/*
 * fields.c - packs and unpacks a note by its table of keys.  Texts of a peer
 * go to logs and terminals, so control characters never get past a decoder.
 */
#include "actors/protocol/fields.h"

#include <string.h>

#include "fedmq/actors/messages.h"
#include "fedmq/broker/pack.h"

_Static_assert(sizeof(fmq_task_kind_t) == sizeof(uint32_t), "enums are stored as 32 bits");
_Static_assert(sizeof(fmq_report_phase_t) == sizeof(uint32_t), "enums are stored as 32 bits");

static void pack_reason(fmq_packer_t *packer, const char *text)
{
    char clean[FMQ_REASON_MAX];
    size_t size = strnlen(text, sizeof clean - 1);
    for (size_t i = 0; i < size; i++)
        clean[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
    clean[size] = '\0';
    fmq_pack_str(packer, clean);
}

static void pack_metrics(fmq_packer_t *packer, const fmq_metrics_t *metrics)
{
    size_t size = metrics->size <= FMQ_METRICS_MAX ? metrics->size : FMQ_METRICS_MAX;
    fmq_pack_map(packer, (uint32_t)size);
    for (size_t i = 0; i < size; i++) {
        fmq_pack_str(packer, metrics->items[i].name);
        fmq_pack_real(packer, metrics->items[i].value);
    }
}

static void pack_field(fmq_packer_t *packer, const fmq_field_t *field, const void *value)
{
    uint32_t word;
    uint64_t wide;
    double real;
    switch (field->kind) {
    case FMQ_FIELD_RUN:
        fmq_pack_str(packer, value);
        break;
    case FMQ_FIELD_U32:
    case FMQ_FIELD_CHOICE:
        memcpy(&word, value, sizeof word);
        fmq_pack_uint(packer, word);
        break;
    case FMQ_FIELD_U64:
        memcpy(&wide, value, sizeof wide);
        fmq_pack_uint(packer, wide);
        break;
    case FMQ_FIELD_BOOL:
        fmq_pack_bool(packer, *(const bool *)value);
        break;
    case FMQ_FIELD_REAL:
        memcpy(&real, value, sizeof real);
        fmq_pack_real(packer, real);
        break;
    case FMQ_FIELD_REASON:
    case FMQ_FIELD_REMARK:
        pack_reason(packer, value);
        break;
    case FMQ_FIELD_DIGEST:
        fmq_pack_bin(packer, value, FMQ_DIGEST_SIZE);
        break;
    case FMQ_FIELD_METRICS:
        pack_metrics(packer, value);
        break;
    }
}

size_t fmq_fields_encode(const fmq_fields_t *table, const void *note, void *out, size_t capacity,
                         fmq_error_t *err)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, capacity);
    fmq_pack_map(&packer, (uint32_t)table->size);
    for (size_t i = 0; i < table->size; i++) {
        fmq_pack_str(&packer, table->fields[i].key);
        pack_field(&packer, &table->fields[i], (const char *)note + table->fields[i].offset);
    }
    return fmq_packer_end(&packer, err);
}

static void unpack_run(fmq_unpacker_t *unpacker, char *out)
{
    size_t size = fmq_unpack_str(unpacker, out, FMQ_RUN_ID_SIZE);
    if (size != 0 && (size != FMQ_RUN_ID_SIZE - 1 || strspn(out, "0123456789abcdef") != size))
        fmq_unpack_fail(unpacker, "a run is 32 hexadecimal digits");
}

static void unpack_reason(fmq_unpacker_t *unpacker, char *out)
{
    size_t size = fmq_unpack_str(unpacker, out, FMQ_REASON_MAX);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
            fmq_unpack_fail(unpacker, "a reason has a control character");
}

static bool good_metric_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-.%@/";
    return name[0] != '\0' && strspn(name, letters) == strlen(name);
}

static void unpack_metrics(fmq_unpacker_t *unpacker, fmq_metrics_t *out)
{
    uint32_t pairs = fmq_unpack_map(unpacker, FMQ_METRICS_MAX);
    for (uint32_t i = 0; i < pairs && !fmq_unpack_failed(unpacker); i++) {
        char name[FMQ_METRIC_NAME_MAX];
        fmq_unpack_str(unpacker, name, sizeof name);
        double value = fmq_unpack_real(unpacker);
        if (fmq_unpack_failed(unpacker))
            return;
        if (!good_metric_name(name))
            fmq_unpack_fail(unpacker, "a metric's name is not of letters, digits and _-.%@/");
        else if (fmq_metrics_get(out, name))
            fmq_unpack_fail(unpacker, "a metric is given twice");
        else
            (void)fmq_metrics_set(out, name, value, NULL); /* pairs fit: see above */
    }
}

static uint64_t most_of(const fmq_field_t *field)
{
    return field->kind == FMQ_FIELD_CHOICE ? field->words->size - 1 : UINT32_MAX;
}

static void unpack_field(fmq_unpacker_t *unpacker, const fmq_field_t *field, void *out)
{
    uint32_t word;
    uint64_t wide;
    double real;
    switch (field->kind) {
    case FMQ_FIELD_RUN:
        unpack_run(unpacker, out);
        break;
    case FMQ_FIELD_U32:
    case FMQ_FIELD_CHOICE:
        word = (uint32_t)fmq_unpack_uint(unpacker, most_of(field));
        memcpy(out, &word, sizeof word);
        break;
    case FMQ_FIELD_U64:
        wide = fmq_unpack_uint(unpacker, UINT64_MAX);
        memcpy(out, &wide, sizeof wide);
        break;
    case FMQ_FIELD_BOOL:
        *(bool *)out = fmq_unpack_bool(unpacker);
        break;
    case FMQ_FIELD_REAL:
        real = fmq_unpack_real(unpacker);
        memcpy(out, &real, sizeof real);
        break;
    case FMQ_FIELD_REASON:
    case FMQ_FIELD_REMARK:
        unpack_reason(unpacker, out);
        break;
    case FMQ_FIELD_DIGEST:
        fmq_unpack_bin_exact(unpacker, out, FMQ_DIGEST_SIZE);
        break;
    case FMQ_FIELD_METRICS:
        unpack_metrics(unpacker, out);
        break;
    }
}

static size_t find_key(const fmq_fields_t *table, const char *key)
{
    size_t i = 0;
    while (i < table->size && strcmp(table->fields[i].key, key) != 0)
        i++;
    return i;
}

int fmq_fields_decode(const fmq_fields_t *table, void *note, const void *data, size_t size,
                      fmq_error_t *err)
{
    _Alignas(16) char scratch[FMQ_FIELDS_STRUCT_MAX];
    memset(scratch, 0, table->bytes);
    bool seen[FMQ_FIELDS_MAX] = {false};
    fmq_unpacker_t unpacker;
    fmq_unpacker_init(&unpacker, data, size);
    uint32_t pairs = fmq_unpack_map(&unpacker, FMQ_FIELDS_MAX);
    for (uint32_t i = 0; i < pairs && !fmq_unpack_failed(&unpacker); i++) {
        char key[FMQ_METRIC_NAME_MAX];
        fmq_unpack_str(&unpacker, key, sizeof key);
        size_t at = find_key(table, key);
        if (at == table->size) {
            fmq_unpack_skip(&unpacker);
        } else if (seen[at]) {
            fmq_unpack_fail(&unpacker, "a key is given twice");
        } else {
            unpack_field(&unpacker, &table->fields[at], scratch + table->fields[at].offset);
            seen[at] = true;
        }
    }
    if (fmq_unpack_done(&unpacker, err) < 0)
        return fmq_error_prefix(err, "note '%s'", table->name);
    for (size_t i = 0; i < table->size; i++)
        if (!seen[i] && table->fields[i].kind != FMQ_FIELD_REMARK)
            return fmq_error_set(err, FMQ_ERR_FORMAT, "note '%s': key '%s' is missing", table->name,
                                 table->fields[i].key);
    memcpy(note, scratch, table->bytes);
    return 0;
}
