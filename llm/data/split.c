/*
 * split.c - train/val/test, and the shares of clients: iid, lda, meta.
 *
 * The rules are FS-LLM's (its splitters of the same names); the random numbers
 * are our own, so shares agree with its in law, not item by item.
 */
#include "fedmq/llm/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"

#define LDA_TRIES 100 /* draws before an empty client is helped out */

/* What a split of one part works with. */
typedef struct {
    const llm_records_t *records;
    uint32_t *items; /* owned: the part's record numbers, grouped by category */
    size_t size;
    size_t *begins; /* owned: class k is items[begins[k]] .. items[begins[k + 1]] */
    size_t classes;
    uint32_t *owner; /* owned: client of items[i] */
    uint32_t clients;
    fmq_rng_t rng;
} share_t;

void llm_part_release(llm_part_t *part)
{
    free(part->items);
    *part = (llm_part_t){0};
}

static int part_new(llm_part_t *part, size_t size, fmq_error_t *err)
{
    part->items = malloc((size ? size : 1) * sizeof *part->items);
    part->size = size;
    if (!part->items)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split %zu records: out of memory", size);
    return 0;
}

int llm_records_answered(const llm_records_t *records, llm_part_t *out, fmq_error_t *err)
{
    size_t size = llm_records_size(records), kept = 0;
    if (part_new(out, size, err) < 0)
        return -1;
    for (size_t i = 0; i < size; i++)
        if (*llm_records_at(records, i)->output)
            out->items[kept++] = (uint32_t)i;
    out->size = kept;
    return 0;
}

static void release_parts(llm_part_t *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        llm_part_release(&parts[i]);
}

int llm_split_three(size_t records, double train, double val, uint64_t seed, llm_part_t parts[3],
                    fmq_error_t *err)
{
    if (!(train >= 0 && val >= 0 && train + val <= 1 + 1e-9))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "data.splits begins with %g and %g; shares must not be negative and "
                             "their sum not above 1",
                             train, val);
    if (records > LLM_RECORDS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "cannot split %zu records", records);
    size_t sizes[3];
    sizes[0] = (size_t)(train * (double)records);
    sizes[1] = (size_t)(val * (double)records);
    if (sizes[0] > records)
        sizes[0] = records;
    if (sizes[1] > records - sizes[0])
        sizes[1] = records - sizes[0];
    sizes[2] = records - sizes[0] - sizes[1];

    llm_part_t all = {0}, made[3] = {{0}};
    if (part_new(&all, records, err) < 0)
        return -1;
    for (size_t i = 0; i < records; i++)
        all.items[i] = (uint32_t)i;
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed, .purpose = FMQ_RNG_SPLIT});
    fmq_rng_shuffle(&rng, all.items, records);
    const uint32_t *from = all.items;
    for (size_t i = 0; i < 3; i++) {
        if (part_new(&made[i], sizes[i], err) < 0) {
            release_parts(made, 3);
            llm_part_release(&all);
            return -1;
        }
        memcpy(made[i].items, from, sizes[i] * sizeof *from);
        from += sizes[i];
    }
    memcpy(parts, made, sizeof made);
    llm_part_release(&all);
    return 0;
}

typedef struct {
    const char *category;
    uint32_t item;
} labelled_t;

/* By category, then by record number: the order of classes and items within
 * one does not depend on qsort's whims. */
static int compare_labelled(const void *a, const void *b)
{
    const labelled_t *left = a, *right = b;
    int order = strcmp(left->category, right->category);
    if (order)
        return order;
    return left->item < right->item ? -1 : left->item > right->item;
}

/* Groups the part's records by category. */
static int group(share_t *self, const llm_part_t *part, fmq_error_t *err)
{
    labelled_t *labelled = malloc((part->size + 1) * sizeof *labelled);
    self->begins = malloc((part->size + 1) * sizeof *self->begins);
    if (!labelled || !self->begins) {
        free(labelled);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split %zu records: out of memory",
                             part->size);
    }
    for (size_t i = 0; i < part->size; i++)
        labelled[i] =
            (labelled_t){llm_records_at(self->records, part->items[i])->category, part->items[i]};
    qsort(labelled, part->size, sizeof *labelled, compare_labelled);
    for (size_t i = 0; i < part->size; i++) {
        self->items[i] = labelled[i].item;
        if (i == 0 || strcmp(labelled[i - 1].category, labelled[i].category) != 0)
            self->begins[self->classes++] = i;
    }
    self->begins[self->classes] = part->size;
    free(labelled);
    return 0;
}

static void share_release(share_t *self)
{
    free(self->items);
    free(self->begins);
    free(self->owner);
}

static int share_init(share_t *self, const llm_part_t *part, fmq_error_t *err)
{
    self->size = part->size;
    self->items = malloc((part->size + 1) * sizeof *self->items);
    self->owner = malloc((part->size + 1) * sizeof *self->owner);
    if (!self->items || !self->owner)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split %zu records: out of memory",
                             part->size);
    for (size_t i = 0; i < part->size; i++)
        if (part->items[i] >= llm_records_size(self->records))
            return fmq_error_set(err, FMQ_ERR_INTERNAL, "a part names record %u of %zu",
                                 part->items[i], llm_records_size(self->records));
    return group(self, part, err);
}

/* numpy.array_split of a shuffled list: the first size % clients clients get
 * one more. */
static void share_iid(share_t *self)
{
    fmq_rng_shuffle(&self->rng, self->items, self->size);
    size_t base = self->size / self->clients, more = self->size % self->clients;
    size_t at = 0;
    for (uint32_t client = 0; client < self->clients; client++)
        for (size_t n = base + (client < more); n > 0; n--)
            self->owner[at++] = client;
}

/* cumulative[c] = sum of Dirichlet(alpha, ..., alpha) shares up to client c. */
static void draw_dirichlet(share_t *self, double alpha, double *cumulative)
{
    double sum = 0;
    for (uint32_t client = 0; client < self->clients; client++) {
        sum += fmq_rng_gamma(&self->rng, alpha);
        cumulative[client] = sum;
    }
    /* Tiny alphas can make every gamma vanish: one client gets all. */
    uint32_t winner = fmq_rng_below(&self->rng, self->clients);
    for (uint32_t client = 0; client < self->clients; client++)
        cumulative[client] = sum > 0 ? cumulative[client] / sum : client >= winner;
}

/* One draw of lda; counts[c] = records of client c. */
static void draw_lda(share_t *self, double alpha, double *cumulative, size_t *counts)
{
    memset(counts, 0, self->clients * sizeof *counts);
    for (size_t k = 0; k < self->classes; k++) {
        size_t begin = self->begins[k], size = self->begins[k + 1] - begin;
        fmq_rng_shuffle(&self->rng, self->items + begin, size);
        draw_dirichlet(self, alpha, cumulative);
        size_t at = 0;
        for (uint32_t client = 0; client < self->clients; client++) {
            bool last = client + 1 == self->clients;
            size_t cut = last ? size : (size_t)(cumulative[client] * (double)size);
            for (; at < cut && at < size; at++) {
                self->owner[begin + at] = client;
                counts[client]++;
            }
        }
    }
}

/* Gives a record of the richest client to `poor`. */
static void help_out(share_t *self, uint32_t poor, size_t *counts)
{
    uint32_t richest = 0;
    for (uint32_t client = 1; client < self->clients; client++)
        if (counts[client] > counts[richest])
            richest = client;
    for (size_t i = 0; i < self->size; i++) {
        if (self->owner[i] != richest)
            continue;
        self->owner[i] = poor;
        counts[richest]--;
        counts[poor]++;
        return;
    }
}

static size_t empty_clients(const share_t *self, const size_t *counts)
{
    size_t empty = 0;
    for (uint32_t client = 0; client < self->clients; client++)
        empty += counts[client] == 0;
    return empty;
}

static int share_lda(share_t *self, double alpha, const char **warning, fmq_error_t *err)
{
    double *cumulative = malloc(self->clients * sizeof *cumulative);
    size_t *counts = malloc(self->clients * sizeof *counts);
    if (!cumulative || !counts) {
        free(cumulative);
        free(counts);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split for %u clients: out of memory",
                             self->clients);
    }
    int tries = 0;
    do
        draw_lda(self, alpha, cumulative, counts);
    while (empty_clients(self, counts) > 0 && ++tries < LDA_TRIES);
    if (empty_clients(self, counts) > 0) {
        *warning = "lda left clients without records again and again; they were given one each "
                   "of the richest client (use a larger alpha or fewer clients)";
        for (uint32_t client = 0; client < self->clients; client++)
            if (counts[client] == 0)
                help_out(self, client, counts);
    }
    free(cumulative);
    free(counts);
    return 0;
}

/* Categories in random order are dealt to the clients in turn. */
static int share_meta(share_t *self, fmq_error_t *err)
{
    uint32_t *order = malloc(self->classes * sizeof *order);
    if (!order)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split %zu categories: out of memory",
                             self->classes);
    for (size_t k = 0; k < self->classes; k++)
        order[k] = (uint32_t)k;
    fmq_rng_shuffle(&self->rng, order, self->classes);
    for (size_t rank = 0; rank < self->classes; rank++)
        for (size_t i = self->begins[order[rank]]; i < self->begins[order[rank] + 1]; i++)
            self->owner[i] = (uint32_t)(rank % self->clients);
    free(order);
    return 0;
}

/* Which client has which category. */
typedef struct {
    const char *category; /* borrowed from the records */
    uint32_t client;
} dealt_t;

typedef struct {
    dealt_t *rows; /* owned; by category */
    size_t size, capacity;
} deal_t;

static int compare_dealt(const void *a, const void *b)
{
    return strcmp(((const dealt_t *)a)->category, ((const dealt_t *)b)->category);
}

static const char *category_of(const share_t *share, size_t class_)
{
    return llm_records_at(share->records, share->items[share->begins[class_]])->category;
}

static dealt_t *find_dealt(const deal_t *self, const char *category)
{
    const dealt_t wanted = {.category = category};
    return self->size ? bsearch(&wanted, self->rows, self->size, sizeof wanted, compare_dealt)
                      : NULL;
}

static int reserve_deal(deal_t *self, size_t size, fmq_error_t *err)
{
    dealt_t *rows = size > self->capacity ? realloc(self->rows, size * sizeof *rows) : self->rows;
    if (!rows && size > 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split %zu categories: out of memory",
                             size);
    self->rows = rows;
    self->capacity = size > self->capacity ? size : self->capacity;
    return 0;
}

/* Takes down what meta has dealt in the training records. */
static int keep_deal(deal_t *self, const share_t *share, fmq_error_t *err)
{
    if (reserve_deal(self, share->classes, err) < 0)
        return -1;
    for (size_t k = 0; k < share->classes; k++)
        self->rows[self->size++] = (dealt_t){category_of(share, k), share->owner[share->begins[k]]};
    return 0; /* classes are in the order of their categories */
}

/* Deals the categories that training did not have, in turn. */
static int extend_deal(deal_t *self, const share_t *share, fmq_error_t *err)
{
    size_t known = self->size;
    if (reserve_deal(self, known + share->classes, err) < 0)
        return -1;
    deal_t old = {.rows = self->rows, .size = known};
    for (size_t k = 0; k < share->classes; k++)
        if (!find_dealt(&old, category_of(share, k))) {
            self->rows[self->size] =
                (dealt_t){category_of(share, k), (uint32_t)(self->size % share->clients)};
            self->size++;
        }
    qsort(self->rows, self->size, sizeof *self->rows, compare_dealt);
    return 0;
}

/* Gives every client the records of its categories. */
static int share_as_dealt(share_t *self, deal_t *deal, const char **warning, fmq_error_t *err)
{
    if (extend_deal(deal, self, err) < 0)
        return -1;
    unsigned char *served = calloc(self->clients, 1);
    if (!served)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split for %u clients: out of memory",
                             self->clients);
    size_t without = self->clients;
    for (size_t k = 0; k < self->classes; k++) {
        uint32_t client = find_dealt(deal, category_of(self, k))->client;
        without -= !served[client];
        served[client] = 1;
        for (size_t i = self->begins[k]; i < self->begins[k + 1]; i++)
            self->owner[i] = client;
    }
    free(served);
    if (without > 0 && self->size > 0)
        *warning = "some clients get none: this part has no record of their categories";
    return 0;
}

/* Turns owners into one list a client, each in random order. */
static int hand_out(share_t *self, llm_part_t *out, fmq_error_t *err)
{
    llm_part_t *made = calloc(self->clients, sizeof *made);
    if (!made)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split for %u clients: out of memory",
                             self->clients);
    for (size_t i = 0; i < self->size; i++)
        made[self->owner[i]].size++;
    for (uint32_t client = 0; client < self->clients; client++) {
        if (part_new(&made[client], made[client].size, err) < 0) {
            release_parts(made, self->clients);
            free(made);
            return -1;
        }
        made[client].size = 0;
    }
    for (size_t i = 0; i < self->size; i++) {
        llm_part_t *part = &made[self->owner[i]];
        part->items[part->size++] = self->items[i];
    }
    for (uint32_t client = 0; client < self->clients; client++) {
        fmq_rng_shuffle(&self->rng, made[client].items, made[client].size);
        out[client] = made[client];
    }
    free(made);
    return 0;
}

/* What is done instead of `how` where it cannot work. */
static llm_splitter_t possible_splitter(const share_t *self, llm_splitter_t how, uint32_t stream,
                                        const char **warning)
{
    if (self->size < self->clients) {
        if (stream > 0 && self->size > 0)
            *warning = "fewer records than clients in this part: some clients get none";
        return LLM_SPLIT_IID;
    }
    bool labelled = self->classes > 1 || (self->classes == 1 &&
                                          *llm_records_at(self->records, self->items[0])->category);
    if (how == LLM_SPLIT_LDA && !labelled) {
        *warning = "the records have no categories: lda falls back to iid";
        return LLM_SPLIT_IID;
    }
    if (how == LLM_SPLIT_META && self->classes < self->clients) {
        *warning = "fewer categories than clients: meta falls back to iid";
        return LLM_SPLIT_IID;
    }
    return how;
}

/* How one of the parts is split. */
typedef struct {
    llm_split_how_t how;
    uint32_t stream;
    deal_t *deal;  /* borrowed; NULL: this part stands alone */
    bool *is_meta; /* with a deal: stream 0 says whether there is one, the others read it */
} cut_t;

static int check_cut(const cut_t *cut, const llm_part_t *part, fmq_error_t *err)
{
    double alpha = cut->how.alpha;
    if (cut->how.clients == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "federate.client_num must be at least 1");
    if (cut->stream == 0 && cut->how.clients > part->size)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "cannot split %zu training records over %u clients; lower "
                             "federate.client_num or raise data.splits' first share",
                             part->size, cut->how.clients);
    if (cut->how.how == LLM_SPLIT_LDA && !(isfinite(alpha) && alpha > 0))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "lda needs an alpha above 0, not %g", alpha);
    return 0;
}

/* Somebody else has decided; is that a split? */
static int check_owners(const share_t *self, uint32_t stream, fmq_error_t *err)
{
    uint32_t without = self->clients;
    unsigned char *served = calloc(self->clients, 1);
    if (!served)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot split for %u clients: out of memory",
                             self->clients);
    size_t i = 0;
    for (; i < self->size && self->owner[i] < self->clients; i++) {
        without -= !served[self->owner[i]];
        served[self->owner[i]] = 1;
    }
    free(served);
    if (i < self->size)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the splitter gave a record to client %u, counted from 0, of %u",
                             self->owner[i], self->clients);
    if (stream == 0 && without > 0)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the splitter left %u of %u clients without training records", without,
                             self->clients);
    return 0;
}

static int share_own(share_t *self, const cut_t *cut, fmq_error_t *err)
{
    const llm_split_deal_t deal = {.records = self->records,
                                   .items = self->items,
                                   .size = self->size,
                                   .clients = self->clients,
                                   .part = cut->stream,
                                   .seed = cut->how.seed};
    if (!cut->how.deal)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "an own splitter without a function");
    for (size_t i = 0; i < self->size; i++)
        self->owner[i] = UINT32_MAX;
    if (cut->how.deal(cut->how.argument, &deal, self->owner, err) < 0)
        return -1;
    return check_owners(self, cut->stream, err);
}

/* Decides who owns each record of the share. */
static int share_out(share_t *share, const cut_t *cut, const char **said, fmq_error_t *err)
{
    llm_splitter_t how = cut->how.how;
    bool together = cut->deal && how == LLM_SPLIT_META;
    if (how == LLM_SPLIT_OWN)
        return share_own(share, cut, err);
    if (together && cut->stream > 0 && *cut->is_meta)
        return share_as_dealt(share, cut->deal, said, err);
    if (together && cut->stream > 0)
        how = LLM_SPLIT_IID;
    how = possible_splitter(share, how, cut->stream, said);
    if (how == LLM_SPLIT_IID) {
        share_iid(share);
        return 0;
    }
    if (how == LLM_SPLIT_LDA)
        return share_lda(share, cut->how.alpha, said, err);
    if (share_meta(share, err) < 0)
        return -1;
    if (!together)
        return 0;
    *cut->is_meta = true;
    return keep_deal(cut->deal, share, err);
}

static int split_part(const llm_records_t *records, const llm_part_t *part, const cut_t *cut,
                      llm_part_t *out, const char **warning, fmq_error_t *err)
{
    const char *said = NULL;
    share_t share = {.records = records, .clients = cut->how.clients};
    if (check_cut(cut, part, err) < 0)
        return -1;
    int result = share_init(&share, part, err);
    if (result == 0) {
        fmq_rng_init(&share.rng, &(fmq_rng_name_t){.seed = cut->how.seed,
                                                   .purpose = FMQ_RNG_SPLIT,
                                                   .step = cut->stream + 1});
        result = share_out(&share, cut, &said, err);
    }
    if (result == 0)
        result = hand_out(&share, out, err);
    share_release(&share);
    if (result == 0 && warning)
        *warning = said;
    return result;
}

int llm_split_clients(const llm_records_t *records, const llm_part_t *part, llm_splitter_t how,
                      double alpha, uint32_t clients, uint64_t seed, uint32_t stream,
                      llm_part_t *out, const char **warning, fmq_error_t *err)
{
    const cut_t cut = {.how = {.how = how, .alpha = alpha, .clients = clients, .seed = seed},
                       .stream = stream};
    return split_part(records, part, &cut, out, warning, err);
}

int llm_split_clients_three(const llm_records_t *records, const llm_part_t parts[3],
                            const llm_split_how_t *how, llm_part_t *const out[3],
                            const char *warnings[3], fmq_error_t *err)
{
    deal_t deal = {0};
    bool is_meta = false;
    uint32_t part = 0;
    int result = 0;
    for (; part < 3 && result == 0; part++) {
        const cut_t cut = {
            .how = *how, .stream = part, .deal = how->apart ? NULL : &deal, .is_meta = &is_meta};
        warnings[part] = NULL;
        result = split_part(records, &parts[part], &cut, out[part], &warnings[part], err);
    }
    for (uint32_t made = 0; result < 0 && made + 1 < part; made++)
        release_parts(out[made], how->clients);
    free(deal.rows);
    return result;
}
