/*
 * test_collector.c - offers become fetches, fetches journaled updates: in which
 * order, how many at once, and what is not taken.  The link is this file: its
 * fmq_link_fetch() and fmq_link_cancel() come here (the linker's --wrap).
 */
#include "actors_test.h"

#include "actors/server/collector.h"
#include "fedmq/actors/receive.h"
#include "fedmq/broker/state.h"

#define CLIENTS 20
#define NOW     1000

typedef struct {
    char folder[64];
    fmq_schema_t *schema;
    fmq_update_log_t *journal;
    fmq_collector_t *collector;
    bool away[CLIENTS + 1];
    uint32_t accepted[CLIENTS + 1], rejected[CLIENTS + 1];
    uint32_t fetched[CLIENTS + 1]; /* times that client k was asked */
    uint32_t cancelled;
    char reason[512];
} fixture_t;

static fixture_t *now; /* for the link's functions, which know no fixture */

int __wrap_fmq_link_fetch(fmq_link_t *self, const char *owner, const fmq_digest_t *digest,
                          uint32_t first, uint64_t bytes_max, fmq_error_t *err);
int __wrap_fmq_link_cancel(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err);

int __wrap_fmq_link_fetch(fmq_link_t *self, const char *owner, const fmq_digest_t *digest,
                          uint32_t first, uint64_t bytes_max, fmq_error_t *err)
{
    (void)self, (void)digest, (void)err;
    assert_int_equal(first, 0);
    assert_true(bytes_max == fmq_state_bytes_max(now->schema));
    now->fetched[atoi(owner + strlen("client-"))]++;
    return 0;
}

int __wrap_fmq_link_cancel(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err)
{
    (void)self, (void)digest, (void)err;
    now->cancelled++;
    return 0;
}

static void accepted(void *argument, uint32_t client)
{
    ((fixture_t *)argument)->accepted[client]++;
}

static void rejected(void *argument, uint32_t client, const char *reason)
{
    fixture_t *self = argument;
    self->rejected[client]++;
    snprintf(self->reason, sizeof self->reason, "%s", reason);
}

static bool is_here(void *argument, uint32_t client)
{
    return !((fixture_t *)argument)->away[client];
}

static void open_journal(fixture_t *self)
{
    char path[256];
    fmq_update_log_options_t options = {test_path(path, self->folder, "journal"),
                                        "00112233445566778899aabbccddeeff", 0, self->schema, NULL};
    fmq_update_log_close(&self->journal);
    self->journal = fmq_update_log_open(&options, NULL);
    assert_non_null(self->journal);
    fmq_collector_open(self->collector, self->journal);
}

static int setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    *state = now = self;
    test_folder_make(self->folder);
    self->schema = test_schema();
    fmq_collector_options_t options = {.schema = self->schema,
                                       .clients = CLIENTS,
                                       .accepted = accepted,
                                       .rejected = rejected,
                                       .argument = self};
    self->collector = fmq_collector_new(&options, NULL);
    assert_non_null(self->collector);
    open_journal(self);
    return 0;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    fmq_collector_destroy(&self->collector);
    fmq_update_log_close(&self->journal);
    fmq_schema_destroy(&self->schema);
    test_folder_remove(self->folder);
    free(self);
    return 0;
}

static fmq_object_t *update_of(const fixture_t *self, uint32_t seed)
{
    float *vector = test_vector(self->schema, seed);
    fmq_object_t *object = fmq_state_encode(self->schema, vector, FMQ_CODEC_F32, NULL);
    assert_non_null(object);
    free(vector);
    return object;
}

static fmq_message_report_t offer_of(const fmq_object_t *object)
{
    return (fmq_message_report_t){.phase = FMQ_REPORT_OFFER,
                                  .update = *fmq_object_digest(object),
                                  .update_bytes = fmq_object_bytes(object),
                                  .samples = 10};
}

static void work(fixture_t *self, int64_t now_ms)
{
    assert_int_equal(fmq_collector_work(self->collector, is_here, now_ms, NULL), 0);
}

static void chunk(fixture_t *self, const fmq_object_t *object, uint32_t index)
{
    size_t size;
    const void *data = fmq_object_chunk(object, index, &size);
    fmq_event_t event = {.type = FMQ_EVENT_CHUNK,
                         .digest = *fmq_object_digest(object),
                         .index = index,
                         .chunks = fmq_object_chunks(object),
                         .data = data,
                         .size = size};
    assert_int_equal(fmq_collector_event(self->collector, &event, NOW, NULL), 0);
}

static void end(fixture_t *self, const fmq_object_t *object, fmq_event_type_t how,
                fmq_error_code_t code)
{
    fmq_event_t event = {.type = how, .digest = *fmq_object_digest(object)};
    event.error.code = code;
    snprintf(event.error.text, sizeof event.error.text, "as it went");
    assert_int_equal(fmq_collector_event(self->collector, &event, NOW, NULL), 0);
}

static void deliver(fixture_t *self, const fmq_object_t *object)
{
    for (uint32_t i = 0; i < fmq_object_chunks(object); i++)
        chunk(self, object, i);
    end(self, object, FMQ_EVENT_FETCHED, FMQ_OK);
}

static void an_update_counts_once_it_is_committed(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *object = update_of(self, 1);
    fmq_message_report_t offer = offer_of(object);
    fmq_collector_offer(self->collector, 3, &offer);
    assert_int_equal(self->fetched[3], 0);
    work(self, NOW);
    assert_int_equal(self->fetched[3], 1);
    fmq_collector_offer(self->collector, 3, &offer); /* again: nothing new */
    work(self, NOW);
    assert_int_equal(self->fetched[3], 1);
    deliver(self, object);
    assert_int_equal(fmq_collector_pending(self->collector), 1);
    assert_int_equal(self->accepted[3], 0);
    assert_int_equal(fmq_collector_commit(self->collector, NULL), 0);
    assert_int_equal(self->accepted[3], 1);
    assert_true(fmq_collector_received(self->collector) == fmq_object_bytes(object));
    fmq_object_t *other = update_of(self, 2); /* what is accepted stays */
    offer = offer_of(other);
    fmq_collector_offer(self->collector, 3, &offer);
    work(self, NOW);
    assert_int_equal(self->fetched[3], 1);
    open_journal(self); /* as a server that comes back */
    fmq_collector_offer(self->collector, 3, &offer);
    work(self, NOW);
    assert_int_equal(self->fetched[3], 1);
    fmq_object_drop(&object);
    fmq_object_drop(&other);
}

static void chunks_that_are_not_the_next_one_are_rejected(void **state)
{
    fixture_t *self = *state;
    for (uint32_t first = 0; first < 2; first++) {
        fmq_object_t *object = update_of(self, first);
        fmq_message_report_t offer = offer_of(object);
        fmq_collector_offer(self->collector, 1 + first, &offer);
        work(self, NOW);
        if (first == 0) {
            chunk(self, object, 1); /* passes one over */
        } else {
            chunk(self, object, 0);
            chunk(self, object, 0); /* comes twice */
        }
        assert_int_equal(self->rejected[1 + first], 1);
        assert_non_null(strstr(self->reason, "out of order"));
        fmq_collector_offer(self->collector, 1 + first, &offer); /* for good */
        work(self, NOW + 100000);
        assert_int_equal(self->fetched[1 + first], 1);
        assert_int_equal(self->cancelled, 1 + first);
        fmq_object_drop(&object);
    }
    assert_int_equal(fmq_collector_busy(self->collector), 0);
}

static void an_offer_beyond_its_bounds_is_not_even_fetched(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *object = update_of(self, 1);
    fmq_message_report_t most = offer_of(object), bytes = most, samples = most;
    most.samples = FMQ_COLLECTOR_SAMPLES_MAX;
    most.update_bytes = fmq_state_bytes_max(self->schema);
    bytes.update_bytes = most.update_bytes + 1;
    samples.samples = most.samples + 1;
    fmq_collector_offer(self->collector, 1, &most);
    fmq_collector_offer(self->collector, 2, &bytes);
    fmq_collector_offer(self->collector, 3, &samples);
    fmq_collector_offer(self->collector, CLIENTS + 1, &most); /* is nobody */
    work(self, NOW);
    assert_int_equal(self->fetched[1], 1);
    assert_int_equal(self->rejected[1] + self->fetched[2] + self->fetched[3], 0);
    assert_int_equal(self->rejected[2], 1);
    assert_int_equal(self->rejected[3], 1);
    fmq_object_drop(&object);
}

static uint32_t all_fetched(const fixture_t *self)
{
    uint32_t sum = 0;
    for (uint32_t k = 1; k <= CLIENTS; k++)
        sum += self->fetched[k];
    return sum;
}

static void no_more_are_fetched_at_once_than_may_be(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *objects[CLIENTS + 1];
    for (uint32_t k = 1; k <= CLIENTS; k++) {
        objects[k] = update_of(self, k);
        fmq_message_report_t offer = offer_of(objects[k]);
        fmq_collector_offer(self->collector, k, &offer);
    }
    work(self, NOW);
    assert_int_equal(all_fetched(self), FMQ_COLLECTOR_FETCHES_MAX);
    deliver(self, objects[1]);
    end(self, objects[2], FMQ_EVENT_FAILED, FMQ_ERR_MISMATCH);
    work(self, NOW);
    assert_int_equal(all_fetched(self), FMQ_COLLECTOR_FETCHES_MAX + 2);
    for (uint32_t k = 1; k <= CLIENTS; k++)
        fmq_object_drop(&objects[k]);
}

/* The fabric fetches a digest once at a time. */
static void the_same_update_of_two_clients_is_fetched_from_one_after_the_other(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *object = update_of(self, 1);
    fmq_message_report_t offer = offer_of(object);
    fmq_collector_offer(self->collector, 1, &offer);
    fmq_collector_offer(self->collector, 2, &offer);
    work(self, NOW);
    assert_int_equal(self->fetched[1], 1);
    assert_int_equal(self->fetched[2], 0);
    deliver(self, object);
    work(self, NOW);
    assert_int_equal(self->fetched[2], 1);
    deliver(self, object);
    assert_int_equal(fmq_collector_commit(self->collector, NULL), 0);
    assert_int_equal(self->accepted[1] + self->accepted[2], 2);
    fmq_object_drop(&object);
}

static void what_got_lost_is_tried_again_and_what_is_wrong_is_not(void **state)
{
    fixture_t *self = *state;
    static const fmq_error_code_t codes[] = {FMQ_ERR_NOTFOUND, FMQ_ERR_TIMEOUT, FMQ_ERR_MISMATCH,
                                             FMQ_ERR_FORMAT, FMQ_ERR_LIMIT};
    for (uint32_t k = 1; k <= 5; k++) {
        fmq_object_t *object = update_of(self, k);
        fmq_message_report_t offer = offer_of(object);
        fmq_collector_offer(self->collector, k, &offer);
        work(self, NOW);
        end(self, object, FMQ_EVENT_FAILED, codes[k - 1]);
        work(self, NOW);
        assert_int_equal(self->fetched[k], 1); /* not at once */
        work(self, NOW + 100000);
        assert_int_equal(self->fetched[k], k <= 2 ? 2 : 1);
        assert_int_equal(self->rejected[k], k <= 2 ? 0 : 1);
        fmq_object_drop(&object);
    }
}

static void who_is_away_is_asked_when_it_is_back(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *object = update_of(self, 1);
    fmq_message_report_t offer = offer_of(object);
    self->away[1] = true;
    fmq_collector_offer(self->collector, 1, &offer);
    work(self, NOW);
    assert_int_equal(self->fetched[1], 0);
    self->away[1] = false;
    work(self, NOW);
    assert_int_equal(self->fetched[1], 1);
    chunk(self, object, 0);
    fmq_collector_lost(self->collector, 1, NOW);
    assert_int_equal(self->cancelled, 1);
    work(self, NOW + 100000);
    assert_int_equal(self->fetched[1], 2);
    deliver(self, object); /* from the front */
    assert_int_equal(fmq_collector_commit(self->collector, NULL), 0);
    assert_int_equal(self->accepted[1], 1);
    fmq_object_drop(&object);
}

static void another_offer_takes_the_place_of_one_that_is_not_accepted(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *first = update_of(self, 1), *second = update_of(self, 2);
    fmq_message_report_t offer = offer_of(first);
    fmq_collector_offer(self->collector, 1, &offer);
    work(self, NOW);
    chunk(self, first, 0);
    offer = offer_of(second);
    fmq_collector_offer(self->collector, 1, &offer);
    work(self, NOW);
    chunk(self, first, 1); /* late: belongs to nothing */
    assert_int_equal(self->fetched[1], 2);
    deliver(self, second);
    assert_int_equal(fmq_collector_commit(self->collector, NULL), 0);
    assert_int_equal(self->accepted[1], 1);
    assert_true(fmq_digest_equal(&fmq_update_log_at(self->journal, 0)->update, &offer.update));
    fmq_object_drop(&first);
    fmq_object_drop(&second);
}

static void nothing_is_taken_while_no_journal_is_open(void **state)
{
    fixture_t *self = *state;
    fmq_object_t *object = update_of(self, 1);
    fmq_message_report_t offer = offer_of(object);
    fmq_collector_close(self->collector);
    fmq_collector_offer(self->collector, 1, &offer);
    work(self, NOW);
    assert_int_equal(self->fetched[1], 0);
    assert_int_equal(fmq_collector_commit(self->collector, NULL), 0);
    fmq_object_drop(&object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(an_update_counts_once_it_is_committed),
        TEST(chunks_that_are_not_the_next_one_are_rejected),
        TEST(an_offer_beyond_its_bounds_is_not_even_fetched),
        TEST(no_more_are_fetched_at_once_than_may_be),
        TEST(the_same_update_of_two_clients_is_fetched_from_one_after_the_other),
        TEST(what_got_lost_is_tried_again_and_what_is_wrong_is_not),
        TEST(who_is_away_is_asked_when_it_is_back),
        TEST(another_offer_takes_the_place_of_one_that_is_not_accepted),
        TEST(nothing_is_taken_while_no_journal_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
