/*
 * kept_optimizer.c - files of a client's optimizer.
 *
 * A file, in the machine's byte order: magic, version u32, round u32, client u32, pass
 * u32, run (32 bytes), size u64, as many bytes (llm/train/kept.c), digest of all before.
 */
#include "actors/client/kept_optimizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "actors/storage/round_files.h"
#include "fedmq/actors/messages.h"

#define MAGIC      "FMQOPT\n"
#define VERSION    1u
#define PREFIX_MAX 24 /* bytes of what a file's name begins with */

/* Its fields lie without gaps between them. */
typedef struct {
    char magic[8];
    uint32_t version, round, client, pass;
    char run[FMQ_RUN_ID_SIZE - 1];
    uint64_t size;
} head_t;

_Static_assert(sizeof(head_t) == 24 + FMQ_RUN_ID_SIZE - 1 + 8, "gaps in a head");

static fmq_round_files_t files_of(const fmq_kept_place_t *place, char prefix[PREFIX_MAX])
{
    (void)snprintf(prefix, PREFIX_MAX, "optimizer-%u-", place->pass);
    return (fmq_round_files_t){.directory = place->directory, .prefix = prefix};
}

static head_t head_of(const fmq_kept_place_t *place, uint32_t round, size_t size)
{
    head_t head = {.magic = MAGIC,
                   .version = VERSION,
                   .round = round,
                   .client = place->client,
                   .pass = place->pass,
                   .size = size};
    memcpy(head.run, place->run, sizeof head.run);
    return head;
}

static int write_all(fmq_file_t *file, const head_t *head, const void *bytes, fmq_error_t *err)
{
    fmq_file_begin_digest(file);
    if (fmq_file_write(file, head, sizeof *head, err) < 0 ||
        fmq_file_write(file, bytes, (size_t)head->size, err) < 0)
        return -1;
    fmq_digest_t digest = fmq_file_digest(file);
    return fmq_file_write(file, digest.bytes, sizeof digest.bytes, err) < 0
               ? -1
               : fmq_file_commit(file, err);
}

int fmq_kept_save(const fmq_kept_place_t *place, uint32_t round, const llm_kept_optimizer_t *kept,
                  const uint32_t *from, fmq_error_t *err)
{
    fmq_file_t file;
    char prefix[PREFIX_MAX];
    head_t head = head_of(place, round, kept->size);
    const fmq_round_files_t files = files_of(place, prefix);
    char *path = fmq_round_files_path(&files, round, err);
    int rc = path ? fmq_directory_make(place->directory, err) : -1;
    if (rc == 0 && (rc = fmq_file_open(&file, path, err)) == 0) {
        rc = write_all(&file, &head, kept->bytes, err);
        fmq_file_abandon(&file);
    }
    if (rc == 0)
        fmq_round_files_keep(&files, round, from);
    free(path);
    return rc;
}

static int check_head(const fmq_kept_place_t *place, const char *path, const head_t *head,
                      uint64_t size, fmq_error_t *err)
{
    if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0 || head->version != VERSION ||
        head->size != size)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is no optimizer's state", path);
    if (head->client != place->client || head->pass != place->pass)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "'%s' belongs to client %u", path,
                             head->client);
    return 0;
}

static int read_body(int fd, const char *path, const head_t *head, llm_kept_optimizer_t *kept,
                     fmq_error_t *err)
{
    fmq_digest_t said;
    fmq_digest_state_t state;
    size_t size = (size_t)head->size;
    void *bytes = malloc(size ? size : 1);
    if (!bytes)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for '%s'", path);
    fmq_digest_begin(&state);
    fmq_digest_add(&state, head, sizeof *head);
    int rc = fmq_file_read_at(fd, path, sizeof *head, bytes, size, err);
    if (rc == 0) {
        fmq_digest_add(&state, bytes, size);
        rc = fmq_file_read_at(fd, path, sizeof *head + size, said.bytes, sizeof said.bytes, err);
    }
    fmq_digest_t digest = fmq_digest_end(&state);
    if (rc == 0 && !fmq_digest_equal(&digest, &said))
        rc = fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is damaged", path);
    if (rc < 0) {
        free(bytes);
        return -1;
    }
    *kept = (llm_kept_optimizer_t){.bytes = bytes, .size = size};
    return 0;
}

/* 1, 0 when it is of another run, or -1. */
static int load_open(const fmq_kept_place_t *place, int fd, const char *path,
                     llm_kept_optimizer_t *kept, fmq_error_t *err)
{
    struct stat status;
    head_t head;
    if (fstat(fd, &status) < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    uint64_t frame = sizeof head + sizeof(fmq_digest_t);
    if (status.st_size < 0 || (uint64_t)status.st_size < frame)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is no optimizer's state", path);
    if (fmq_file_read_at(fd, path, 0, &head, sizeof head, err) < 0 ||
        check_head(place, path, &head, (uint64_t)status.st_size - frame, err) < 0)
        return -1;
    if (memcmp(head.run, place->run, sizeof head.run) != 0)
        return 0;
    return read_body(fd, path, &head, kept, err) < 0 ? -1 : 1;
}

/* What is looked for, and where it goes. */
typedef struct {
    const fmq_kept_place_t *place;
    llm_kept_optimizer_t *kept;
    uint32_t *from;
} wanted_t;

static int load_file(void *argument, uint32_t round, const char *path, fmq_error_t *err)
{
    const wanted_t *wanted = argument;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    int rc = load_open(wanted->place, fd, path, wanted->kept, err);
    (void)close(fd);
    if (rc > 0)
        *wanted->from = round;
    return rc;
}

int fmq_kept_load(const fmq_kept_place_t *place, uint32_t round, llm_kept_optimizer_t *kept,
                  uint32_t *from, fmq_error_t *err)
{
    char prefix[PREFIX_MAX];
    wanted_t wanted = {.place = place, .kept = kept, .from = from};
    const fmq_round_files_reading_t how = {.files = files_of(place, prefix),
                                           .load = load_file,
                                           .argument = &wanted,
                                           .log = place->log,
                                           .actor = place->actor,
                                           .passed_over = "optimizer-passed-over"};
    return fmq_round_files_load(&how, round, err);
}
