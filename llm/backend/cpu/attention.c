/*
 * attention.c - causal attention over packed sequences with the tile kernels.
 *
 * One item is a sequence and a head (backward: a key/value head with all the
 * query heads that share it, so that dk and dv have one owner; where that is
 * too much for one thread, a team works on it).  An item works
 * through blocks of queries: scores of a block against all the keys that it may
 * see, never the keys behind it.  All matrices of an item are blocked
 * [column / width][row][width] in the thread's own part of the scratch; that
 * one layout can be written by a tile and read by the next as either operand,
 * which is why backward forms dv and dk transposed.
 */
#include <string.h>

#include "base/real.h"
#include "llm/backend/cpu/bend.h"

#define QUERIES 64 /* in a block */
#define GROUP   28 /* of them: whole tiles on every machine, which sum over the same keys */
#define UNITS   4  /* blocks of queries a thread that a team works on between two meetings */

typedef struct {
    float *data;
    size_t block; /* floats between blocks */
} blocked_t;

typedef struct {
    const llm_cpu_kernels_t *kernels;
    const llm_attention_t *shape;
    float *out, *lse_out, *dq, *dk, *dv;
    const float *q, *k, *v, *dout, *o, *lse;
    float *scratch;
    size_t per_thread, threads;
    double work; /* of all sequences and heads of keys; see work_of() */
} job_t;

/* What an item keeps in its scratch. */
typedef struct {
    blocked_t keys_across;                  /* [n / width][D][width]: K^T as vector operand */
    blocked_t values_across;                /* the same of V, for dout V^T */
    blocked_t along;                        /* [D / width][n][width]: V; backward: K */
    blocked_t dkeys, dvalues;               /* transposed: [n / width][D][width] */
    blocked_t queries_across, douts_across; /* [QUERIES / width][D][width] */
    blocked_t scores, dscores;              /* [n / width][QUERIES][width] */
    blocked_t queries, douts, result;       /* [D / width][QUERIES][width] */
    size_t n, start, kv;                    /* backward: rows of the sequence, head of K and V */
} item_t;

static size_t round_up(size_t n, size_t unit)
{
    return llm_cpu_pieces(n, unit) * unit;
}

/* Takes columns x rows, blocked, from the scratch at *next. */
static blocked_t take(float **next, size_t columns, size_t rows, size_t width)
{
    blocked_t taken = {*next, rows * width};
    *next += llm_cpu_pieces(columns, width) * rows * width;
    return taken;
}

/* The three parts of an item: what goes by keys, by a block of queries, and
 * what a thread needs while it works on a block. */
static void lay_out_keys(item_t *item, float **next, size_t n, size_t D, size_t width)
{
    item->keys_across = take(next, n, D, width);
    item->values_across = take(next, n, D, width);
    item->along = take(next, D, n, width);
    item->dkeys = take(next, n, D, width);
    item->dvalues = take(next, n, D, width);
}

static void lay_out_block(item_t *item, float **next, size_t n, size_t D, size_t width)
{
    size_t rows = llm_cpu_padded(QUERIES, width);
    item->queries_across = take(next, QUERIES, D, width);
    item->douts_across = take(next, QUERIES, D, width);
    item->scores = take(next, n, rows, width);
    item->dscores = take(next, n, rows, width);
}

static void lay_out_room(item_t *item, float **next, size_t D, size_t width)
{
    item->queries = take(next, D, QUERIES, width);
    item->douts = take(next, D, QUERIES, width);
    item->result = take(next, D, QUERIES, width);
}

static item_t lay_out(float *scratch, size_t n, size_t D, size_t width)
{
    item_t item;
    lay_out_keys(&item, &scratch, n, D, width);
    lay_out_block(&item, &scratch, n, D, width);
    lay_out_room(&item, &scratch, D, width);
    return item;
}

/* Floats of the three parts, for n keys. */
typedef struct {
    size_t keys, block, room;
} extents_t;

static extents_t extents_of(const llm_cpu_kernels_t *kernels, const llm_attention_t *shape,
                            size_t n)
{
    size_t width = kernels->width;
    size_t D = round_up(shape->D, width);
    size_t keys = round_up(n, width);
    size_t queries = round_up(QUERIES, width);
    return (extents_t){.keys = 5 * keys * D,
                       .block = 2 * queries * D + 2 * keys * llm_cpu_padded(QUERIES, width),
                       .room = 3 * queries * D};
}

static size_t scratch_per_thread(const llm_cpu_kernels_t *kernels, const llm_attention_t *shape)
{
    extents_t of = extents_of(kernels, shape, shape->longest);
    return of.keys + of.block + of.room;
}

static size_t attention_scratch(const llm_backend_t *be, const llm_attention_t *shape)
{
    const llm_cpu_t *cpu = llm_cpu(be);
    size_t threads = llm_pool_threads(cpu->pool);
    extents_t of = extents_of(cpu->kernels, shape, shape->longest);
    size_t apart = threads * (of.keys + of.block + of.room);
    size_t team = of.keys + threads * (UNITS * of.block + of.room);
    return threads > 1 && team > apart ? team : apart;
}

/* rows x columns of memory, rows ld apart, into [column / width][row][width]. */
static void pack_along(const llm_cpu_kernels_t *kernels, blocked_t to, const float *from, size_t ld,
                       size_t rows, size_t columns)
{
    size_t width = kernels->width;
    for (size_t c = 0; c < columns; c += width)
        kernels->pack_copy(to.data + c / width * to.block, from + c, ld, rows,
                           llm_cpu_min(width, columns - c));
}

/* The same memory into [row / width][column][width]. */
static void pack_across(const llm_cpu_kernels_t *kernels, blocked_t to, const float *from,
                        size_t ld, size_t rows, size_t columns)
{
    size_t width = kernels->width;
    for (size_t r = 0; r < rows; r += width)
        kernels->pack_transposed(to.data + r / width * to.block, from + r * ld, ld, columns,
                                 llm_cpu_min(width, rows - r));
}

/* Which part of a product is nothing but masked scores, and not computed. */
typedef enum {
    NO_MASK,
    MASKED_RESULT, /* columns are keys: behind the last query of a tile */
    MASKED_TAIL,   /* k runs over keys: ends with the last query of a group */
    MASKED_HEAD    /* k runs over queries: begins with the first key of a panel */
} mask_t;

typedef struct {
    size_t rows, columns, K;
    size_t begin; /* the first of columns that is computed, that of a panel */
    bool add;
    mask_t mask;
    size_t first; /* query of row 0, or of k = 0 */
    size_t from;  /* MASKED_TAIL: the first k that is not masked for all rows, a whole block */
} extent_t;

/* Values of k before these columns that are masked for all of them; whole
 * blocks of a on every machine. */
static size_t masked_head(const extent_t *extent, size_t column)
{
    size_t unit = LLM_CPU_WIDTH_MAX;
    if (extent->mask != MASKED_HEAD || column < extent->first)
        return 0;
    return (column - extent->first) / unit * unit;
}

/* Row r's tile ends here; where k is masked, with r's group at the latest. */
static size_t end_of_tile(const llm_cpu_kernels_t *kernels, const extent_t *extent, size_t r)
{
    size_t end = llm_cpu_min(r + kernels->tile_rows, extent->rows);
    return extent->mask == MASKED_TAIL ? llm_cpu_min(end, r / GROUP * GROUP + GROUP) : end;
}

/* to[rows][columns] (+)= a[rows][K] b[K][columns], all blocked. */
static void multiply(const llm_cpu_kernels_t *kernels, blocked_t to, blocked_t a, blocked_t b,
                     extent_t extent)
{
    size_t width = kernels->width;
    llm_cpu_tile_t tile = {.a_stride = a.block, .b_row = width, .add = extent.add};
    for (size_t c = extent.begin; c < extent.columns; c += width) {
        size_t skip = extent.from + masked_head(&extent, c);
        tile.columns = llm_cpu_min(width, extent.columns - c);
        tile.b = b.data + c / width * b.block + skip * width;
        for (size_t r = 0; r < extent.rows; r += tile.rows) {
            tile.rows = end_of_tile(kernels, &extent, r) - r;
            if (extent.mask == MASKED_RESULT && c >= extent.first + r + tile.rows)
                continue; /* behind the tile's last query */
            tile.K = extent.K - skip;
            if (extent.mask == MASKED_TAIL)
                tile.K = llm_cpu_min(extent.first + r / GROUP * GROUP + GROUP, extent.K) - skip;
            tile.a = a.data + skip / width * a.block + r * width;
            kernels->tile(to.data + c / width * to.block + r * width, &tile);
        }
    }
}

/* Row r of a blocked matrix, times alpha, to memory. */
static void store_row(const llm_cpu_kernels_t *kernels, float *to, blocked_t from, size_t r,
                      size_t columns, float alpha)
{
    size_t width = kernels->width;
    llm_cpu_store_t how = {.rows = 1, .alpha = alpha};
    for (size_t c = 0; c < columns; c += width) {
        how.last = llm_cpu_min(width, columns - c);
        kernels->store(to + c, 0, from.data + c / width * from.block + r * width, &how);
    }
}

/* rows x D transposed in blocks [row / width][D][width], to memory. */
static void store_across(const llm_cpu_kernels_t *kernels, float *to, size_t ld, blocked_t from,
                         size_t rows, size_t D)
{
    size_t width = kernels->width;
    llm_cpu_store_t how = {.alpha = 1};
    for (size_t r = 0; r < rows; r += width)
        for (size_t d = 0; d < D; d += how.rows) {
            how.last = llm_cpu_min(width, rows - r);
            how.rows = llm_cpu_min(kernels->tile_rows, D - d);
            kernels->store_transposed(to + r * ld + d, ld,
                                      from.data + r / width * from.block + d * width, &how);
        }
}

/* Scaled scores of queries first .. first + count against the keys that they see. */
static void score(const job_t *job, const item_t *item, const float *q, size_t first, size_t count)
{
    const llm_attention_t *shape = job->shape;
    extent_t extent = {.rows = count, .columns = first + count, .K = shape->D};
    extent.mask = MASKED_RESULT;
    extent.first = first;
    extent.begin = llm_cpu_first_key(shape, first);
    pack_along(job->kernels, item->queries, q, shape->q_stride, count, shape->D);
    job->kernels->scale(item->queries.data, shape->scale,
                        llm_cpu_pieces(shape->D, job->kernels->width) * item->queries.block);
    multiply(job->kernels, item->scores, item->queries, item->keys_across, extent);
}

/* Scores of row i of a block become exponentials; returns the row's log-sum-exp. */
static float softmax_of(const job_t *job, const item_t *item, size_t h, size_t first, size_t i,
                        size_t keys, float *sum)
{
    const llm_cpu_kernels_t *kernels = job->kernels;
    size_t from = llm_cpu_first_key(job->shape, first), seen = first + i + 1 - from;
    float *row =
        item->scores.data + from / kernels->width * item->scores.block + i * kernels->width;
    if (llm_cpu_is_bent(job->shape)) {
        llm_cpu_bend_t how = llm_cpu_bend_of(job->shape, 1, h, first + i, from);
        kernels->bend(row, NULL, item->scores.block, seen, &how);
    }
    float largest = kernels->softmax_row(row, item->scores.block, seen, keys - from, sum);
    return largest + (float)fmq_log((double)*sum);
}

static void forward_item(void *argument, size_t number, size_t thread)
{
    const job_t *job = argument;
    const llm_cpu_kernels_t *kernels = job->kernels;
    const llm_attention_t *shape = job->shape;
    size_t s = number / shape->H;
    size_t h = number % shape->H;
    size_t start = shape->starts[s];
    size_t n = shape->starts[s + 1] - start;
    size_t kv = h / (shape->H / shape->KV) * shape->D;
    item_t item = lay_out(job->scratch + thread * job->per_thread, n, shape->D, kernels->width);
    pack_across(kernels, item.keys_across, job->k + start * shape->k_stride + kv, shape->k_stride,
                n, shape->D);
    pack_along(kernels, item.along, job->v + start * shape->v_stride + kv, shape->v_stride, n,
               shape->D);
    for (size_t first = 0; first < n; first += QUERIES) {
        size_t count = llm_cpu_min(QUERIES, n - first);
        size_t keys = first + count;
        const float *q = job->q + (start + first) * shape->q_stride + h * shape->D;
        float sums[QUERIES];
        score(job, &item, q, first, count);
        for (size_t i = 0; i < count; i++)
            job->lse_out[(start + first + i) * shape->H + h] =
                softmax_of(job, &item, h, first, i, keys, &sums[i]);
        extent_t extent = {.rows = count, .columns = shape->D, .K = keys, .first = first};
        extent.mask = MASKED_TAIL;
        extent.from = llm_cpu_first_key(shape, first);
        multiply(kernels, item.result, item.scores, item.along, extent);
        for (size_t i = 0; i < count; i++)
            store_row(kernels, job->out + (start + first + i) * shape->out_stride + h * shape->D,
                      item.result, i, shape->D, 1.0f / sums[i]);
    }
}

static void attention_forward(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch)
{
    llm_cpu_t *cpu = llm_cpu(be);
    job_t job = {.kernels = cpu->kernels, .shape = shape, .lse_out = lse};
    job.out = llm_cpu_floats_out(out);
    job.q = llm_cpu_floats(q);
    job.k = llm_cpu_floats(k);
    job.v = llm_cpu_floats(v);
    job.scratch = scratch;
    job.per_thread = scratch_per_thread(cpu->kernels, shape);
    llm_pool_run(cpu->pool, shape->S * shape->H, forward_item, &job);
}

/* Probabilities and their gradient for a block of queries of head h; see
 * reference/attention.c for the derivation. */
static void score_gradients(const job_t *job, const item_t *item, size_t token, size_t h,
                            size_t first, size_t count)
{
    const llm_cpu_kernels_t *kernels = job->kernels;
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D;
    size_t at = token * shape->out_stride + h * D;
    size_t keys = first + count;
    score(job, item, job->q + token * shape->q_stride + h * D, first, count);
    pack_along(kernels, item->douts, job->dout + at, shape->out_stride, count, D);
    extent_t extent = {.rows = count, .columns = keys, .K = D, .first = first};
    extent.mask = MASKED_RESULT;
    extent.begin = llm_cpu_first_key(shape, first);
    multiply(kernels, item->dscores, item->douts, item->values_across, extent);
    size_t skipped = extent.begin / kernels->width * item->scores.block;
    for (size_t i = 0; i < count; i++) {
        size_t row = at + i * shape->out_stride, seen = first + i + 1 - extent.begin;
        float *s = item->scores.data + skipped + i * kernels->width;
        float *ds = item->dscores.data + skipped + i * kernels->width;
        float scalars[3] = {job->lse[(token + i) * shape->H + h],
                            kernels->dot(job->dout + row, job->o + row, D), shape->scale};
        if (llm_cpu_is_bent(shape)) { /* which takes delta and the scale */
            llm_cpu_bend_t how = llm_cpu_bend_of(shape, 1, h, first + i, extent.begin);
            how.delta = scalars[1];
            kernels->bend(s, ds, item->scores.block, seen, &how);
            scalars[1] = 0;
            scalars[2] = 1;
        }
        kernels->softmax_dx(s, ds, item->scores.block, seen, keys - extent.begin, scalars);
    }
}

/* dq of a block of queries of head h; and ready for what the block adds to dk
 * and dv. */
static void backward_queries(const job_t *job, const item_t *item, size_t start, size_t h,
                             size_t first)
{
    const llm_cpu_kernels_t *kernels = job->kernels;
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D;
    size_t token = start + first;
    size_t count = llm_cpu_min(QUERIES, item->n - first);
    score_gradients(job, item, token, h, first, count);
    pack_across(kernels, item->queries_across, job->q + token * shape->q_stride + h * D,
                shape->q_stride, count, D);
    pack_across(kernels, item->douts_across, job->dout + token * shape->out_stride + h * D,
                shape->out_stride, count, D);
    extent_t extent = {.rows = count, .columns = D, .K = first + count, .first = first};
    extent.mask = MASKED_TAIL;
    extent.from = llm_cpu_first_key(shape, first);
    multiply(kernels, item->result, item->dscores, item->along, extent);
    for (size_t i = 0; i < count; i++)
        store_row(kernels, job->dq + (token + i) * shape->q_stride + h * D, item->result, i, D,
                  1.0f);
}

/* What a block of queries adds to dk and dv of keys begin .. end. */
static void backward_keys(const job_t *job, const item_t *item, size_t first, size_t begin,
                          size_t end)
{
    size_t count = llm_cpu_min(QUERIES, item->n - first);
    extent_t extent = {.rows = job->shape->D, .K = count, .add = true, .first = first};
    size_t seen = llm_cpu_first_key(job->shape, first);
    extent.begin = begin > seen ? begin : seen;
    extent.columns = llm_cpu_min(end, first + count);
    extent.mask = MASKED_HEAD;
    multiply(job->kernels, item->dvalues, item->douts_across, item->scores, extent);
    multiply(job->kernels, item->dkeys, item->queries_across, item->dscores, extent);
}

/* Packs a panel's keys and values, and begins their gradients. */
static void begin_panel(const job_t *job, const item_t *item, size_t panel)
{
    const llm_cpu_kernels_t *kernels = job->kernels;
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D, width = kernels->width;
    size_t row = panel * width;
    size_t rows = llm_cpu_min(width, item->n - row);
    const float *k = job->k + (item->start + row) * shape->k_stride + item->kv * D;
    const float *v = job->v + (item->start + row) * shape->v_stride + item->kv * D;
    kernels->pack_transposed(item->keys_across.data + panel * D * width, k, shape->k_stride, D,
                             rows);
    kernels->pack_transposed(item->values_across.data + panel * D * width, v, shape->v_stride, D,
                             rows);
    blocked_t along = {item->along.data + row * width, item->along.block};
    pack_along(kernels, along, k, shape->k_stride, rows, D);
    memset(item->dkeys.data + panel * D * width, 0, D * width * sizeof(float));
    memset(item->dvalues.data + panel * D * width, 0, D * width * sizeof(float));
}

static void end_panel(const job_t *job, const item_t *item, size_t panel)
{
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D, width = job->kernels->width;
    size_t token = item->start + panel * width;
    size_t rows = llm_cpu_min(width, item->n - panel * width);
    blocked_t dkeys = {item->dkeys.data + panel * D * width, item->dkeys.block};
    blocked_t dvalues = {item->dvalues.data + panel * D * width, item->dvalues.block};
    store_across(job->kernels, job->dk + token * shape->k_stride + item->kv * D, shape->k_stride,
                 dkeys, rows, D);
    store_across(job->kernels, job->dv + token * shape->v_stride + item->kv * D, shape->v_stride,
                 dvalues, rows, D);
}

/* Work of one of a sequence's key/value heads, up to a factor. */
static double work_of(const llm_attention_t *shape, size_t s)
{
    double n = (double)(shape->starts[s + 1] - shape->starts[s]);
    return n * n;
}

/* A head whose item would take more than a half of what a thread gets of all
 * the work is not left to one thread. */
static bool needs_team(const job_t *job, size_t s)
{
    return job->threads > 1 && work_of(job->shape, s) * 2 * (double)job->threads > job->work;
}

static void backward_item(void *argument, size_t number, size_t thread)
{
    const job_t *job = argument;
    const llm_attention_t *shape = job->shape;
    size_t group = shape->H / shape->KV;
    size_t s = number / shape->KV;
    if (needs_team(job, s))
        return;
    size_t n = shape->starts[s + 1] - shape->starts[s];
    item_t item =
        lay_out(job->scratch + thread * job->per_thread, n, shape->D, job->kernels->width);
    item.n = n;
    item.start = shape->starts[s];
    item.kv = number % shape->KV;
    size_t panels = llm_cpu_pieces(n, job->kernels->width);
    for (size_t p = 0; p < panels; p++)
        begin_panel(job, &item, p);
    for (size_t h = item.kv * group; h < (item.kv + 1) * group; h++)
        for (size_t first = 0; first < n; first += QUERIES) {
            backward_queries(job, &item, item.start, h, first);
            backward_keys(job, &item, first, 0, n);
        }
    for (size_t p = 0; p < panels; p++)
        end_panel(job, &item, p);
}

/* All threads on one key/value head: blocks of queries are shared out, then
 * panels of keys, each of which takes the blocks in the order in which one
 * thread would; so the bytes are the same. */
typedef struct {
    const job_t *job;
    item_t shared;        /* its keys */
    float *blocks, *room; /* memory of units and of threads */
    extents_t extents;
    size_t unit, units; /* those at work: head by head, block by block */
} team_t;

static item_t of_unit(const team_t *team, size_t unit, size_t thread)
{
    size_t width = team->job->kernels->width;
    item_t item = team->shared;
    float *block = team->blocks + unit * team->extents.block;
    float *room = team->room + thread * team->extents.room;
    lay_out_block(&item, &block, item.n, team->job->shape->D, width);
    lay_out_room(&item, &room, team->job->shape->D, width);
    return item;
}

static size_t first_of_unit(const team_t *team, size_t unit)
{
    return (team->unit + unit) % llm_cpu_pieces(team->shared.n, QUERIES) * QUERIES;
}

static void team_begins(void *argument, size_t panel, size_t thread)
{
    (void)thread;
    const team_t *team = argument;
    begin_panel(team->job, &team->shared, panel);
}

/* The last block of a head, which has the most keys, is taken first. */
static void team_queries(void *argument, size_t number, size_t thread)
{
    const team_t *team = argument;
    size_t unit = team->units - 1 - number;
    size_t group = team->job->shape->H / team->job->shape->KV;
    size_t h =
        team->shared.kv * group + (team->unit + unit) / llm_cpu_pieces(team->shared.n, QUERIES);
    item_t item = of_unit(team, unit, thread);
    backward_queries(team->job, &item, item.start, h, first_of_unit(team, unit));
}

static void team_keys(void *argument, size_t panel, size_t thread)
{
    const team_t *team = argument;
    size_t width = team->job->kernels->width;
    for (size_t unit = 0; unit < team->units; unit++) {
        item_t item = of_unit(team, unit, thread);
        backward_keys(team->job, &item, first_of_unit(team, unit), panel * width,
                      (panel + 1) * width);
    }
}

static void team_ends(void *argument, size_t panel, size_t thread)
{
    (void)thread;
    const team_t *team = argument;
    end_panel(team->job, &team->shared, panel);
}

static void backward_by_team(llm_pool_t *pool, const job_t *job, size_t s, size_t kv)
{
    const llm_attention_t *shape = job->shape;
    size_t n = shape->starts[s + 1] - shape->starts[s];
    size_t panels = llm_cpu_pieces(n, job->kernels->width);
    team_t team = {.job = job, .extents = extents_of(job->kernels, shape, n)};
    float *next = job->scratch;
    lay_out_keys(&team.shared, &next, n, shape->D, job->kernels->width);
    team.shared.n = n;
    team.shared.start = shape->starts[s];
    team.shared.kv = kv;
    team.blocks = job->scratch + team.extents.keys;
    team.room = team.blocks + UNITS * job->threads * team.extents.block;
    llm_pool_run(pool, panels, team_begins, &team);
    size_t units = shape->H / shape->KV * llm_cpu_pieces(n, QUERIES);
    for (; team.unit < units; team.unit += team.units) {
        team.units = llm_cpu_min(UNITS * job->threads, units - team.unit);
        llm_pool_run(pool, team.units, team_queries, &team);
        llm_pool_run(pool, panels, team_keys, &team);
    }
    llm_pool_run(pool, panels, team_ends, &team);
}

static void attention_backward(llm_backend_t *be, llm_act_t *dq, llm_act_t *dk, llm_act_t *dv,
                               const llm_act_t *dout, const llm_act_t *out, const float *lse,
                               const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                               const llm_attention_t *shape, float *scratch)
{
    llm_cpu_t *cpu = llm_cpu(be);
    job_t job = {.kernels = cpu->kernels, .shape = shape};
    job.dq = llm_cpu_floats_out(dq);
    job.dk = llm_cpu_floats_out(dk);
    job.dv = llm_cpu_floats_out(dv);
    job.dout = llm_cpu_floats(dout);
    job.o = llm_cpu_floats(out);
    job.lse = lse;
    job.q = llm_cpu_floats(q);
    job.k = llm_cpu_floats(k);
    job.v = llm_cpu_floats(v);
    job.scratch = scratch;
    job.per_thread = scratch_per_thread(cpu->kernels, shape);
    job.threads = llm_pool_threads(cpu->pool);
    for (size_t s = 0; s < shape->S; s++)
        job.work += work_of(shape, s) * (double)shape->KV;
    for (size_t s = 0; s < shape->S; s++)
        for (size_t kv = 0; kv < shape->KV && needs_team(&job, s); kv++)
            backward_by_team(cpu->pool, &job, s, kv);
    llm_pool_run(cpu->pool, shape->S * shape->KV, backward_item, &job);
}

void llm_cpu_attention(llm_ops_t *ops)
{
    ops->attention_scratch = attention_scratch;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
}
