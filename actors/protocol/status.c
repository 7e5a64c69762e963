/*
 * status.c - the one codec of a run's status.
 */
#include "actors/protocol/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/broker/pack.h"

#define KEYS_MAX    64
#define KEY_SIZE    32
#define ROW_ITEMS   4
#define CLIENTS_MAX 65536

static const char *const phase_names[FMQ_RUN_PHASES] = {
    [FMQ_RUN_PHASE_PREPARING] = "preparing", [FMQ_RUN_PHASE_WAITING] = "waiting",
    [FMQ_RUN_PHASE_TRAINING] = "training",   [FMQ_RUN_PHASE_MEASURING] = "measuring",
    [FMQ_RUN_PHASE_ENDING] = "ending",       [FMQ_RUN_PHASE_ENDED] = "ended",
    [FMQ_RUN_PHASE_FAILED] = "failed",       [FMQ_RUN_PHASE_AWAY] = "away"};

static const char *const standing_names[FMQ_STANDINGS] = {
    [FMQ_STANDING_AWAITED] = "awaited",     [FMQ_STANDING_JOINING] = "joining",
    [FMQ_STANDING_IDLE] = "idle",           [FMQ_STANDING_STARTING] = "starting",
    [FMQ_STANDING_TRAINING] = "training",   [FMQ_STANDING_MEASURING] = "measuring",
    [FMQ_STANDING_UPLOADING] = "uploading", [FMQ_STANDING_DONE] = "done",
    [FMQ_STANDING_LEFT_OUT] = "left-out",   [FMQ_STANDING_GONE] = "gone"};

const char *fmq_run_phase_name(fmq_run_phase_t phase)
{
    return (unsigned)phase < FMQ_RUN_PHASES ? phase_names[phase] : "unknown";
}

bool fmq_run_phase_is_over(fmq_run_phase_t phase)
{
    return phase == FMQ_RUN_PHASE_ENDED || phase == FMQ_RUN_PHASE_FAILED;
}

const char *fmq_standing_name(fmq_standing_t standing)
{
    return (unsigned)standing < FMQ_STANDINGS ? standing_names[standing] : "unknown";
}

/* The keys that are numbers. */
static const struct {
    const char *key;
    size_t offset;
    bool wide; /* uint64_t, else uint32_t */
} numbers[] = {{"round", offsetof(fmq_status_t, round), false},
               {"rounds", offsetof(fmq_status_t, rounds), false},
               {"clients", offsetof(fmq_status_t, clients), false},
               {"bytes_up", offsetof(fmq_status_t, bytes_up), true},
               {"bytes_down", offsetof(fmq_status_t, bytes_down), true},
               {"memory", offsetof(fmq_status_t, memory), true},
               {"run_seconds", offsetof(fmq_status_t, run_seconds), true},
               {"phase_seconds", offsetof(fmq_status_t, phase_seconds), true},
               {"written_ms", offsetof(fmq_status_t, written_ms), true}};

#define NUMBERS (sizeof numbers / sizeof *numbers)
#define KEYS    (NUMBERS + 7) /* and run, phase, loss, reason, counts, list, evaluators */

static void put_number(fmq_packer_t *out, size_t number, const fmq_status_t *self)
{
    const void *at = (const char *)self + numbers[number].offset;
    fmq_pack_str(out, numbers[number].key);
    fmq_pack_uint(out, numbers[number].wide ? *(const uint64_t *)at : *(const uint32_t *)at);
}

static void put_text(fmq_packer_t *out, const char *key, const char *value)
{
    fmq_pack_str(out, key);
    fmq_pack_str(out, value);
}

static void put_people(fmq_packer_t *out, const fmq_status_t *self)
{
    fmq_pack_str(out, "counts");
    fmq_pack_array(out, FMQ_STANDINGS);
    for (int i = 0; i < FMQ_STANDINGS; i++)
        fmq_pack_uint(out, self->counts[i]);
    fmq_pack_str(out, "list");
    fmq_pack_array(out, self->listed);
    for (uint32_t i = 0; i < self->listed; i++) {
        const fmq_status_client_t *row = &self->list[i];
        fmq_pack_array(out, ROW_ITEMS);
        fmq_pack_uint(out, row->client);
        fmq_pack_uint(out, row->standing);
        fmq_pack_uint(out, row->step);
        fmq_pack_uint(out, row->steps);
    }
    fmq_pack_str(out, "evaluators");
    fmq_pack_array(out, self->evaluators);
    for (uint32_t i = 0; i < self->evaluators; i++) {
        const fmq_status_evaluator_t *row = &self->evaluator[i];
        fmq_pack_array(out, ROW_ITEMS);
        fmq_pack_str(out, row->name);
        fmq_pack_bool(out, row->alive);
        fmq_pack_bool(out, row->measured);
        fmq_pack_uint(out, row->round);
    }
}

size_t fmq_status_encode(const fmq_status_t *self, void *out, size_t capacity, fmq_error_t *err)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, capacity);
    fmq_pack_map(&packer, (uint32_t)KEYS);
    put_text(&packer, "run", self->run);
    put_text(&packer, "phase", fmq_run_phase_name(self->phase));
    for (size_t i = 0; i < NUMBERS; i++)
        put_number(&packer, i, self);
    fmq_pack_str(&packer, "loss");
    if (isnan(self->loss))
        fmq_pack_nil(&packer);
    else
        fmq_pack_real(&packer, self->loss);
    put_text(&packer, "reason", self->reason);
    put_people(&packer, self);
    return fmq_packer_end(&packer, err);
}

static fmq_run_phase_t take_phase(fmq_unpacker_t *in)
{
    char word[KEY_SIZE];
    fmq_unpack_str(in, word, sizeof word);
    for (int i = 0; i < FMQ_RUN_PHASES; i++)
        if (strcmp(word, phase_names[i]) == 0)
            return (fmq_run_phase_t)i;
    fmq_unpack_fail(in, "no such phase");
    return FMQ_RUN_PHASE_WAITING;
}

static void take_counts(fmq_unpacker_t *in, fmq_status_t *out)
{
    if (fmq_unpack_array(in, FMQ_STANDINGS) != FMQ_STANDINGS)
        fmq_unpack_fail(in, "a count for every standing is needed");
    for (int i = 0; i < FMQ_STANDINGS; i++)
        out->counts[i] = (uint32_t)fmq_unpack_uint(in, CLIENTS_MAX);
}

static void take_list(fmq_unpacker_t *in, fmq_status_t *out)
{
    out->listed = fmq_unpack_array(in, FMQ_STATUS_CLIENTS_MAX);
    for (uint32_t i = 0; i < out->listed && !fmq_unpack_failed(in); i++) {
        fmq_status_client_t *row = &out->list[i];
        if (fmq_unpack_array(in, ROW_ITEMS) != ROW_ITEMS)
            fmq_unpack_fail(in, "a client has four items");
        row->client = (uint32_t)fmq_unpack_uint(in, CLIENTS_MAX);
        row->standing = (fmq_standing_t)fmq_unpack_uint(in, FMQ_STANDINGS - 1);
        row->step = fmq_unpack_uint(in, UINT64_MAX);
        row->steps = fmq_unpack_uint(in, UINT64_MAX);
    }
}

static void take_evaluators(fmq_unpacker_t *in, fmq_status_t *out)
{
    out->evaluators = fmq_unpack_array(in, FMQ_STATUS_EVALUATORS_MAX);
    for (uint32_t i = 0; i < out->evaluators && !fmq_unpack_failed(in); i++) {
        fmq_status_evaluator_t *row = &out->evaluator[i];
        if (fmq_unpack_array(in, ROW_ITEMS) != ROW_ITEMS)
            fmq_unpack_fail(in, "an evaluator has four items");
        fmq_unpack_str(in, row->name, sizeof row->name);
        row->alive = fmq_unpack_bool(in);
        row->measured = fmq_unpack_bool(in);
        row->round = (uint32_t)fmq_unpack_uint(in, UINT32_MAX);
    }
}

/* Numbers by their keys; false when key is none of them. */
static bool take_number(fmq_unpacker_t *in, const char *key, fmq_status_t *out)
{
    size_t i = 0;
    while (i < NUMBERS && strcmp(numbers[i].key, key) != 0)
        i++;
    if (i == NUMBERS)
        return false;
    void *at = (char *)out + numbers[i].offset;
    if (numbers[i].wide)
        *(uint64_t *)at = fmq_unpack_uint(in, UINT64_MAX);
    else
        *(uint32_t *)at = (uint32_t)fmq_unpack_uint(in, UINT32_MAX);
    return true;
}

static void take_pair(fmq_unpacker_t *in, const char *key, fmq_status_t *out)
{
    if (take_number(in, key, out))
        return;
    if (strcmp(key, "run") == 0)
        fmq_unpack_str(in, out->run, sizeof out->run);
    else if (strcmp(key, "phase") == 0)
        out->phase = take_phase(in);
    else if (strcmp(key, "reason") == 0)
        fmq_unpack_str(in, out->reason, sizeof out->reason);
    else if (strcmp(key, "loss") == 0)
        out->loss = fmq_unpack_nil(in) ? NAN : fmq_unpack_real(in);
    else if (strcmp(key, "counts") == 0)
        take_counts(in, out);
    else if (strcmp(key, "list") == 0)
        take_list(in, out);
    else if (strcmp(key, "evaluators") == 0)
        take_evaluators(in, out);
    else
        fmq_unpack_skip(in);
}

/* What people will see is plain text. */
static void check_texts(fmq_unpacker_t *in, const fmq_status_t *self)
{
    for (uint32_t i = 0; i < self->evaluators; i++)
        if (strspn(self->evaluator[i].name, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
            strlen(self->evaluator[i].name))
            fmq_unpack_fail(in, "an evaluator's name has other characters than a-z, 0-9, -");
    if (strspn(self->run, "0123456789abcdef") != strlen(self->run))
        fmq_unpack_fail(in, "the run's name is not hexadecimal");
    for (const char *c = self->reason; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            fmq_unpack_fail(in, "the reason has control characters");
}

int fmq_status_decode(fmq_status_t *out, const void *data, size_t size, fmq_error_t *err)
{
    fmq_unpacker_t in;
    fmq_status_t *made = calloc(1, sizeof *made);
    if (!made)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a status");
    made->loss = NAN;
    fmq_unpacker_init(&in, data, size);
    uint32_t pairs = fmq_unpack_map(&in, KEYS_MAX);
    for (uint32_t i = 0; i < pairs && !fmq_unpack_failed(&in); i++) {
        char key[KEY_SIZE];
        fmq_unpack_str(&in, key, sizeof key);
        take_pair(&in, key, made);
    }
    check_texts(&in, made);
    int rc = fmq_unpack_done(&in, err);
    if (rc == 0)
        *out = *made;
    free(made);
    return rc;
}
