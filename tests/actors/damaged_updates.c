/*
 * damaged_updates.c - walks over the records of a log that is intact.
 */
#include "damaged_updates.h"

#include "actors_test.h"

#include "actors/storage/update_record.h"

static uint32_t writer_of(FILE *file, uint64_t at, uint32_t size, uint32_t client)
{
    for (uint32_t i = 0; i + FMQ_COMMIT_ITEM_SIZE <= size; i += FMQ_COMMIT_ITEM_SIZE) {
        unsigned char bytes[FMQ_COMMIT_ITEM_SIZE];
        fmq_commit_item_t item;
        assert_int_equal(fseek(file, (long)(at + i), SEEK_SET), 0);
        assert_int_equal(fread(bytes, sizeof bytes, 1, file), 1);
        fmq_commit_item_decode(&item, bytes);
        if (item.client == client)
            return item.writer;
    }
    return UINT32_MAX;
}

void damage_update(const char *path, uint32_t client)
{
    unsigned char head[FMQ_UPDATES_HEAD_SIZE], bytes[FMQ_RECORD_HEAD_SIZE];
    uint64_t places[1024] = {0}, at = sizeof head;
    fmq_updates_head_t log;
    fmq_record_t record;
    FILE *file = fopen(path, "r+b");
    if (!file)
        fail_msg("cannot open %s", path);
    assert_int_equal(fread(head, sizeof head, 1, file), 1);
    assert_int_equal(fmq_updates_head_decode(&log, head, NULL), 0);
    while (fseek(file, (long)at, SEEK_SET) == 0 && fread(bytes, sizeof bytes, 1, file) == 1) {
        assert_true(fmq_record_decode(&record, &log.salt, at, bytes));
        at += sizeof bytes;
        if (record.kind == FMQ_RECORD_CHUNK && record.index == 0) {
            assert_true(record.writer < sizeof places / sizeof *places);
            places[record.writer] = at;
        }
        uint32_t writer = record.kind == FMQ_RECORD_COMMIT
                              ? writer_of(file, at, record.size - FMQ_DIGEST_SIZE, client)
                              : UINT32_MAX;
        if (writer != UINT32_MAX) {
            assert_int_equal(fseek(file, (long)places[writer], SEEK_SET), 0);
            int byte = fgetc(file);
            assert_int_equal(fseek(file, (long)places[writer], SEEK_SET), 0);
            assert_int_not_equal(fputc(byte ^ 1, file), EOF);
            assert_int_equal(fclose(file), 0);
            return;
        }
        at += record.size;
    }
    fail_msg("%s has no update of client %u", path, client);
}
