/*
 * personal_state.c - files of a client's own states.
 *
 * A file, little endian: magic, version u32, round u32, client u32, size of the
 * report u32, run (32 bytes), digest of the schema, elements u64, the report
 * (a note), the state as f32, digest of all before.
 */
#include "actors/client/personal_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "actors/storage/round_files.h"

#define MAGIC      "FMQOWN\n"
#define VERSION    1u
#define REPORT_MAX (32u * 1024)
#define READ_MAX   (UINT64_C(1) << 20) /* bytes at once */

/* Its fields lie without gaps between them. */
typedef struct {
    char magic[8];
    uint32_t version, round, client, report_size;
    char run[FMQ_RUN_ID_SIZE - 1];
    fmq_digest_t schema;
    uint8_t elements[8];
} head_t;

_Static_assert(sizeof(head_t) == 24 + FMQ_RUN_ID_SIZE - 1 + FMQ_DIGEST_SIZE + 8, "gaps in a head");

typedef struct {
    const fmq_personal_place_t *place;
    const char *path; /* borrowed */
    int fd;
    uint64_t at;
    fmq_digest_state_t digest;
} reading_t;

static fmq_round_files_t files_of(const fmq_personal_place_t *place)
{
    return (fmq_round_files_t){.directory = place->directory, .prefix = "round-"};
}

static void put_elements(uint8_t out[8], uint64_t elements)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(elements >> 8 * i);
}

static int write_all(fmq_file_t *file, const fmq_personal_place_t *place,
                     const fmq_personal_mark_t *mark, const float *vector, fmq_error_t *err)
{
    uint8_t report[REPORT_MAX];
    uint64_t elements = fmq_schema_elements(place->schema);
    size_t size = fmq_message_report_encode(&mark->outcome, report, sizeof report, err);
    head_t head = {.magic = MAGIC,
                   .version = VERSION,
                   .round = mark->round,
                   .client = place->client,
                   .report_size = (uint32_t)size,
                   .schema = fmq_schema_digest(place->schema)};
    memcpy(head.run, mark->run, sizeof head.run);
    put_elements(head.elements, elements);
    if (size == 0 || fmq_file_write(file, &head, sizeof head, err) < 0 ||
        fmq_file_write(file, report, size, err) < 0 ||
        fmq_file_write(file, vector, (size_t)elements * sizeof *vector, err) < 0)
        return -1;
    fmq_digest_t digest = fmq_file_digest(file);
    return fmq_file_write(file, digest.bytes, sizeof digest.bytes, err);
}

int fmq_personal_save(const fmq_personal_place_t *place, const fmq_personal_mark_t *mark,
                      const float *vector, const uint32_t *before, fmq_error_t *err)
{
    fmq_file_t file;
    const fmq_round_files_t files = files_of(place);
    if (!place->directory)
        return 0;
    char *path = fmq_round_files_path(&files, mark->round, err);
    int rc = path ? fmq_directory_make(place->directory, err) : -1;
    if (rc == 0 && (rc = fmq_file_open(&file, path, err)) == 0) {
        fmq_file_begin_digest(&file);
        rc = write_all(&file, place, mark, vector, err);
        if (rc == 0)
            rc = fmq_file_commit(&file, err);
        fmq_file_abandon(&file);
    }
    if (rc == 0)
        fmq_round_files_keep(&files, mark->round, before);
    free(path);
    return rc;
}

static int take(reading_t *self, void *out, uint64_t size, fmq_error_t *err)
{
    unsigned char *bytes = out;
    for (uint64_t done = 0; done < size;) {
        size_t part = (size_t)(size - done < READ_MAX ? size - done : READ_MAX);
        if (fmq_file_read_at(self->fd, self->path, self->at, bytes + done, part, err) < 0)
            return -1;
        fmq_digest_add(&self->digest, bytes + done, part);
        self->at += part;
        done += part;
    }
    return 0;
}

static int check_head(const reading_t *self, const head_t *head, fmq_error_t *err)
{
    const fmq_personal_place_t *place = self->place;
    fmq_digest_t schema = fmq_schema_digest(place->schema);
    uint8_t elements[8];
    put_elements(elements, fmq_schema_elements(place->schema));
    if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0 || head->version != VERSION ||
        head->report_size > REPORT_MAX)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is no client's state", self->path);
    if (head->client != place->client)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "'%s' belongs to client %u", self->path,
                             head->client);
    if (!fmq_digest_equal(&head->schema, &schema) ||
        memcmp(head->elements, elements, sizeof elements) != 0)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "'%s' was made with another adapter",
                             self->path);
    return 0;
}

static int read_rest(reading_t *self, const head_t *head, fmq_personal_mark_t *mark, float *vector,
                     fmq_error_t *err)
{
    uint8_t report[REPORT_MAX];
    fmq_digest_t said;
    uint64_t bytes = fmq_schema_elements(self->place->schema) * sizeof *vector;
    if (take(self, report, head->report_size, err) < 0 || take(self, vector, bytes, err) < 0)
        return -1;
    fmq_digest_t digest = fmq_digest_end(&self->digest);
    if (fmq_file_read_at(self->fd, self->path, self->at, said.bytes, sizeof said.bytes, err) < 0)
        return -1;
    if (!fmq_digest_equal(&digest, &said))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is damaged", self->path);
    memset(mark, 0, sizeof *mark);
    memcpy(mark->run, head->run, sizeof head->run);
    mark->round = head->round;
    return fmq_message_report_decode(&mark->outcome, report, head->report_size, err);
}

/* What is looked for, and where it goes. */
typedef struct {
    const fmq_personal_place_t *place;
    const char *run;
    fmq_personal_mark_t *mark;
    float *vector;
} wanted_t;

static int load_file(void *argument, uint32_t round, const char *path, fmq_error_t *err)
{
    const wanted_t *wanted = argument;
    reading_t self = {.place = wanted->place, .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    head_t head;
    int rc = -1;
    (void)round;
    fmq_digest_begin(&self.digest);
    if (self.fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (take(&self, &head, sizeof head, err) == 0 && check_head(&self, &head, err) == 0)
        rc = memcmp(head.run, wanted->run, sizeof head.run) != 0
                 ? 0
                 : (read_rest(&self, &head, wanted->mark, wanted->vector, err) < 0 ? -1 : 1);
    (void)close(self.fd);
    return rc;
}

int fmq_personal_load(const fmq_personal_place_t *place, const char *run, uint32_t most,
                      fmq_personal_mark_t *mark, float *vector, fmq_error_t *err)
{
    wanted_t wanted = {.place = place, .run = run, .mark = mark, .vector = vector};
    const fmq_round_files_reading_t how = {.files = files_of(place),
                                           .load = load_file,
                                           .argument = &wanted,
                                           .log = place->log,
                                           .actor = place->actor,
                                           .passed_over = "own-state-passed-over"};
    return place->directory ? fmq_round_files_load(&how, (int64_t)most + 1, err) : 0;
}
