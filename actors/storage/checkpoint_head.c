/*
 * checkpoint_head.c - packs and unpacks the head of a checkpoint, of every version.
 */
#include "actors/storage/checkpoint_head.h"

#include <string.h>

#include "fedmq/broker/pack.h"

#define NAMES_MAX (FMQ_SECTION_NAME_MAX - 1)

uint64_t fmq_stored_section_bytes(const fmq_stored_section_t *self)
{
    return self->is_vector ? self->count * sizeof(float) : self->count;
}

static void pack_best(fmq_packer_t *packer, const fmq_best_t *best)
{
    fmq_pack_array(packer, 3);
    fmq_pack_bool(packer, best->any);
    fmq_pack_real(packer, best->value);
    fmq_pack_uint(packer, best->round);
}

static void pack_early_stop(fmq_packer_t *packer, const fmq_early_stop_t *stop)
{
    fmq_pack_array(packer, 4);
    fmq_pack_bool(packer, stop->any);
    fmq_pack_real(packer, stop->best);
    fmq_pack_uint(packer, stop->worse);
    fmq_pack_array(packer, stop->size);
    for (uint32_t i = 0; i < stop->size; i++)
        fmq_pack_real(packer, stop->last[i]);
}

static void pack_table(fmq_packer_t *packer, const fmq_stored_sections_t *table)
{
    fmq_pack_array(packer, (uint32_t)table->size);
    for (size_t i = 0; i < table->size; i++) {
        const fmq_stored_section_t *section = &table->items[i];
        fmq_pack_array(packer, 2);
        fmq_pack_str(packer, section->name);
        fmq_pack_bool(packer, section->is_vector);
    }
}

size_t fmq_checkpoint_head_encode(const fmq_checkpoint_t *checkpoint,
                                  const fmq_stored_sections_t *table,
                                  unsigned char out[FMQ_CHECKPOINT_HEAD_MAX], fmq_error_t *err)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, FMQ_CHECKPOINT_HEAD_MAX);
    fmq_pack_array(&packer, 10);
    fmq_pack_str(&packer, checkpoint->run);
    fmq_pack_uint(&packer, checkpoint->round);
    fmq_pack_uint(&packer, checkpoint->epoch);
    fmq_pack_uint(&packer, checkpoint->empty_rounds);
    fmq_pack_bin(&packer, checkpoint->model.bytes, FMQ_DIGEST_SIZE);
    pack_early_stop(&packer, &checkpoint->early_stop);
    pack_best(&packer, &checkpoint->best);
    fmq_pack_uint(&packer, checkpoint->prepared);
    fmq_pack_str(&packer, checkpoint->meaning);
    pack_table(&packer, table);
    return fmq_packer_end(&packer, err);
}

static void expect_array(fmq_unpacker_t *unpacker, uint32_t items)
{
    if (fmq_unpack_array(unpacker, items) != items)
        fmq_unpack_fail(unpacker, "a list of another length was expected");
}

static void unpack_early_stop(fmq_unpacker_t *unpacker, fmq_early_stop_t *stop)
{
    expect_array(unpacker, 4);
    stop->any = fmq_unpack_bool(unpacker);
    stop->best = fmq_unpack_real(unpacker);
    stop->worse = (uint32_t)fmq_unpack_uint(unpacker, UINT32_MAX);
    stop->size = fmq_unpack_array(unpacker, FMQ_EARLY_STOP_WINDOW_MAX);
    for (uint32_t i = 0; i < stop->size; i++)
        stop->last[i] = fmq_unpack_real(unpacker);
}

static void unpack_table(fmq_unpacker_t *unpacker, fmq_stored_sections_t *table)
{
    uint32_t size = fmq_unpack_array(unpacker, FMQ_SECTIONS_MAX);
    for (uint32_t i = 0; i < size && !fmq_unpack_failed(unpacker); i++) {
        fmq_stored_section_t *section = &table->items[table->size++];
        expect_array(unpacker, 2);
        fmq_unpack_str(unpacker, section->name, sizeof section->name);
        section->is_vector = fmq_unpack_bool(unpacker);
    }
}

static void name_old_sections(fmq_stored_sections_t *table, uint32_t version)
{
    static const char *const names[] = {FMQ_SECTION_STATE, FMQ_SECTION_EMULATOR};
    table->size = version % 2 == 0 ? 2 : 1;
    for (size_t i = 0; i < table->size; i++) {
        strcpy(table->items[i].name, names[i]);
        table->items[i].is_vector = true;
    }
}

int fmq_checkpoint_head_decode(fmq_checkpoint_t *out, fmq_stored_sections_t *table,
                               uint32_t version, const void *data, size_t size, fmq_error_t *err)
{
    static const uint32_t items[] = {0, 7, 8, 9, 9, 10};
    fmq_unpacker_t unpacker;
    fmq_unpacker_init(&unpacker, data, size);
    memset(out, 0, sizeof *out);
    memset(table, 0, sizeof *table);
    expect_array(&unpacker, items[version]);
    fmq_unpack_str(&unpacker, out->run, sizeof out->run);
    out->round = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    out->epoch = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    out->empty_rounds = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    fmq_unpack_bin_exact(&unpacker, out->model.bytes, FMQ_DIGEST_SIZE);
    unpack_early_stop(&unpacker, &out->early_stop);
    expect_array(&unpacker, 3);
    out->best.any = fmq_unpack_bool(&unpacker);
    out->best.value = fmq_unpack_real(&unpacker);
    out->best.round = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    if (version >= 2)
        out->prepared = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    if (version >= 3)
        fmq_unpack_str(&unpacker, out->meaning, sizeof out->meaning);
    if (version > FMQ_CHECKPOINT_VERSION_OLD)
        unpack_table(&unpacker, table);
    else
        name_old_sections(table, version);
    return fmq_unpack_done(&unpacker, err);
}
