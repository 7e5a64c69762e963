/*
 * half_attention.c - causal attention over packed sequences of BF16, with tiles
 * of pairs.
 *
 * Forward's items and blocks of queries are those of attention.c.  Where heads
 * share keys, backward computes what each adds to dk and dv on its own and adds
 * that up head by head afterwards, so that few heads of keys occupy many
 * threads.  Scores, their softmax
 * and every sum are floats; probabilities and score gradients are rounded to
 * BF16 where they become an operand of the next product, which are:
 *
 *   S = Q K^T            pairs of channels   Q's rows are broadcast
 *   O = P V              pairs of keys       P's rows are broadcast
 *   dP = dO V^T          pairs of channels   dO's rows
 *   dV^T += dO^T P       pairs of queries    dO turned
 *   dK^T += Q^T dS       pairs of queries    Q turned
 *   dQ = dS K            pairs of keys       dS's rows
 *
 * The scale of the scores is applied in float, by the softmax.
 */
#include "llm/backend/cpu/bend.h"
#include "llm/backend/cpu/half.h"

#include <math.h>
#include <string.h>

#define QUERIES 64 /* in a block; even */
#define HEADS   2  /* a thread whose parts of dk and dv are there at a time, or more */

typedef struct {
    float *data;
    size_t block; /* floats between blocks */
} floats_t;

typedef struct {
    uint16_t *data;
    size_t block; /* elements between blocks of a vector operand, or between rows of a broadcast */
} halves_t;

typedef struct {
    const llm_cpu_kernels_t *kernels;
    const llm_cpu_half_kernels_t *half;
    const llm_attention_t *shape;
    uint16_t *out, *dq, *dk, *dv;
    float *lse_out;
    const uint16_t *q, *k, *v, *dout, *o;
    const float *lse;
    char *scratch;
    size_t per_thread; /* bytes */
    /* Of heads that share keys: what each adds to dk and dv.  NULL: none do. */
    float *parts;
    size_t part; /* floats of a head's: dk, then dv */
    size_t head; /* the first at work, of all sequences' */
} job_t;

/* What an item keeps in its scratch. */
typedef struct {
    halves_t keys_across, values_across;   /* [n / width][D / 2][width][2] */
    halves_t keys, values;                 /* [D / width][n / 2][width][2] */
    halves_t queries, douts;               /* [QUERIES][D, even] */
    halves_t queries_turned, douts_turned; /* [D][QUERIES] */
    halves_t p, ds;                        /* [QUERIES][n, in whole panels] */
    halves_t p_pairs, ds_pairs;            /* [n / width][QUERIES / 2][width][2] */
    floats_t scores, dscores;              /* [n / width][QUERIES][width] */
    floats_t result;                       /* [D / width][QUERIES][width] */
    floats_t dkeys, dvalues;               /* transposed: [n / width][D][width] */
    uint16_t *even_rows;                   /* [n][D, even], where D or a stride is odd */
    float *row;                            /* [width][D] */
} item_t;

static size_t round_up(size_t n, size_t unit)
{
    return llm_cpu_pieces(n, unit) * unit;
}

/* Memory from *used on; without a base, sizes are counted only. */
static void *take(char *base, size_t *used, size_t bytes)
{
    void *taken = base ? base + *used : NULL;
    *used += round_up(bytes, LLM_CPU_ALIGNMENT);
    return taken;
}

static halves_t take_halves(char *base, size_t *used, size_t blocks, size_t block)
{
    return (halves_t){take(base, used, blocks * block * sizeof(uint16_t)), block};
}

static floats_t take_floats(char *base, size_t *used, size_t blocks, size_t block)
{
    return (floats_t){take(base, used, blocks * block * sizeof(float)), block};
}

/* Lays an item out from base on and returns what it takes, in bytes. */
static size_t lay_out(item_t *item, char *base, size_t n, size_t D, size_t width)
{
    size_t used = 0;
    size_t rows = llm_cpu_padded(QUERIES, width);
    size_t key_panels = llm_cpu_pieces(n, width), channel_panels = llm_cpu_pieces(D, width);
    size_t even = round_up(D, 2), n_even = round_up(n, 2);
    item->keys_across = take_halves(base, &used, key_panels, even * width);
    item->values = take_halves(base, &used, channel_panels, n_even * width);
    item->queries = take_halves(base, &used, QUERIES, even);
    item->result = take_floats(base, &used, channel_panels, QUERIES * width);
    item->scores = take_floats(base, &used, key_panels, rows * width);
    item->p = take_halves(base, &used, QUERIES, (key_panels + 1) * width);
    item->even_rows = take(base, &used, n * even * sizeof(uint16_t));
    item->row = take(base, &used, width * D * sizeof(float));
    item->values_across = take_halves(base, &used, key_panels, even * width);
    item->keys = take_halves(base, &used, channel_panels, n_even * width);
    item->douts = take_halves(base, &used, QUERIES, even);
    item->queries_turned = take_halves(base, &used, D, QUERIES);
    item->douts_turned = take_halves(base, &used, D, QUERIES);
    item->dscores = take_floats(base, &used, key_panels, rows * width);
    item->ds = take_halves(base, &used, QUERIES, (key_panels + 1) * width);
    item->p_pairs = take_halves(base, &used, key_panels, rows * width);
    item->ds_pairs = take_halves(base, &used, key_panels, rows * width);
    item->dkeys = take_floats(base, &used, key_panels, D * width);
    item->dvalues = take_floats(base, &used, key_panels, D * width);
    return used;
}

static size_t bytes_per_thread(const llm_cpu_t *cpu, const llm_attention_t *shape)
{
    item_t item;
    return lay_out(&item, NULL, shape->longest, shape->D, cpu->half->width);
}

/* Floats of what a head adds to dk and dv. */
static size_t part_of(const llm_cpu_t *cpu, const llm_attention_t *shape)
{
    return 2 * round_up(shape->longest, cpu->half->width) * shape->D;
}

/* Heads of whole groups that backward has parts of at a time; 0 where heads
 * share no keys. */
static size_t heads_at_once(const llm_cpu_t *cpu, const llm_attention_t *shape)
{
    size_t group = shape->H / shape->KV;
    size_t groups = llm_cpu_pieces(HEADS * llm_pool_threads(cpu->pool), group);
    return group > 1 ? group * llm_cpu_min(groups, shape->S * shape->KV) : 0;
}

static size_t attention_scratch(const llm_backend_t *be, const llm_attention_t *shape)
{
    const llm_cpu_t *cpu = llm_cpu(be);
    return bytes_per_thread(cpu, shape) / sizeof(float) * llm_pool_threads(cpu->pool) +
           heads_at_once(cpu, shape) * part_of(cpu, shape);
}

/* Rows of D elements, made even by a zero where D is odd. */
static void even_rows(uint16_t *to, const uint16_t *from, size_t ld, size_t rows, size_t D)
{
    size_t even = round_up(D, 2);
    for (size_t r = 0; r < rows; r++) {
        memcpy(to + r * even, from + r * ld, D * sizeof *to);
        if (D % 2)
            to[r * even + D] = 0;
    }
}

/* Rows of memory into [row / width][D / 2][width][2]: a pair of channels is a
 * word in memory, and words are transposed as floats would be. */
static void pack_across(const job_t *job, const item_t *item, halves_t to, const uint16_t *from,
                        size_t ld, size_t n)
{
    size_t D = job->shape->D, width = job->half->width;
    if (D % 2 || ld % 2) {
        even_rows(item->even_rows, from, ld, n, D);
        from = item->even_rows;
        ld = round_up(D, 2);
    }
    for (size_t r = 0; r < n; r += width)
        job->kernels->pack_transposed((float *)(void *)(to.data + r / width * to.block),
                                      (const float *)(const void *)(from + r * ld), ld / 2,
                                      llm_cpu_pieces(D, 2), llm_cpu_min(width, n - r));
}

/* The same rows into [D / width][row / 2][width][2]. */
static void pack_along(const job_t *job, halves_t to, const uint16_t *from, size_t ld, size_t n)
{
    size_t D = job->shape->D, width = job->half->width;
    for (size_t d = 0; d < D; d += width)
        job->half->pack_pairs(to.data + d / width * to.block, from + d, ld, n,
                              llm_cpu_min(width, D - d));
}

/* Which part of a product is nothing but masked scores, and not computed. */
typedef enum {
    NO_MASK,
    MASKED_RESULT, /* columns are keys: behind the last query of a tile */
    MASKED_TAIL,   /* k runs over keys: ends with the last query of a tile */
    MASKED_HEAD    /* k runs over queries: begins with the first key of a panel */
} mask_t;

typedef struct {
    size_t rows, columns, K;
    size_t begin; /* the first of columns that is computed, that of a panel */
    bool add;
    mask_t mask;
    size_t first; /* query of row 0, or of k = 0 */
    size_t from;  /* MASKED_TAIL: the first k that is not masked for all rows, that of a panel */
} extent_t;

/* to[rows][columns] (+)= a[rows][K] b[K][columns]. */
static void multiply(const llm_cpu_half_kernels_t *half, floats_t to, halves_t a, halves_t b,
                     extent_t extent)
{
    size_t width = half->width;
    llm_cpu_pair_tile_t tile = {.a_stride = a.block, .add = extent.add};
    for (size_t c = extent.begin; c < extent.columns; c += width) {
        size_t skip = extent.from; /* of k, an even number */
        if (extent.mask == MASKED_HEAD && c > extent.first)
            skip = (c - extent.first) / 2 * 2;
        tile.columns = llm_cpu_min(width, extent.columns - c);
        tile.b = b.data + c / width * b.block + skip * width;
        for (size_t r = 0; r < extent.rows; r += tile.rows) {
            tile.rows = llm_cpu_min(half->tile_rows, extent.rows - r);
            size_t seen = extent.first + r + tile.rows; /* keys, by the tile's last query */
            if (extent.mask == MASKED_RESULT && c >= seen)
                continue;
            size_t K = extent.mask == MASKED_TAIL ? llm_cpu_min(seen, extent.K) : extent.K;
            tile.pairs = llm_cpu_pieces(K - skip, 2);
            tile.a = a.data + r * a.block + skip;
            half->tile(to.data + c / width * to.block + r * width, &tile);
        }
    }
}

/* Row r of a blocked matrix, times alpha, to memory. */
static void store_row(const job_t *job, const item_t *item, uint16_t *to, size_t r, float alpha)
{
    size_t D = job->shape->D, width = job->half->width;
    llm_cpu_store_t how = {.rows = 1, .alpha = alpha};
    for (size_t d = 0; d < D; d += width) {
        how.last = llm_cpu_min(width, D - d);
        job->kernels->store(item->row + d, 0,
                            item->result.data + d / width * item->result.block + r * width, &how);
    }
    job->half->narrow(to, item->row, D);
}

/* n x D transposed in blocks [row / width][D][width], to memory. */
static void store_across(const job_t *job, const item_t *item, uint16_t *to, size_t ld,
                         floats_t from, size_t n)
{
    size_t D = job->shape->D, width = job->half->width;
    llm_cpu_store_t how = {.alpha = 1};
    for (size_t r = 0; r < n; r += width) {
        how.last = llm_cpu_min(width, n - r);
        for (size_t d = 0; d < D; d += how.rows) {
            how.rows = llm_cpu_min(job->kernels->tile_rows, D - d);
            job->kernels->store_transposed(item->row + d, D,
                                           from.data + r / width * from.block + d * width, &how);
        }
        for (size_t i = 0; i < how.last; i++)
            job->half->narrow(to + (r + i) * ld, item->row + i * D, D);
    }
}

/* Scores, without their scale, of queries first .. first + count against the
 * keys that they see. */
static void score(const job_t *job, const item_t *item, const uint16_t *q, size_t first,
                  size_t count)
{
    const llm_attention_t *shape = job->shape;
    extent_t extent = {.rows = count, .columns = first + count, .K = shape->D};
    extent.mask = MASKED_RESULT;
    extent.first = first;
    extent.begin = llm_cpu_first_key(shape, first);
    even_rows(item->queries.data, q, shape->q_stride, count, shape->D);
    multiply(job->half, item->scores, item->queries, item->keys_across, extent);
}

/* Scores of row i of a block become probabilities up to their sum; returns the
 * row's log-sum-exp. */
static float softmax_of(const job_t *job, const item_t *item, size_t h, size_t first, size_t i,
                        size_t keys, float *sum)
{
    const llm_attention_t *shape = job->shape;
    size_t width = job->half->width;
    size_t from = llm_cpu_first_key(shape, first), seen = first + i + 1 - from;
    float *row = item->scores.data + from / width * item->scores.block + i * width;
    float scale = shape->scale;
    if (llm_cpu_is_bent(shape)) {
        llm_cpu_bend_t how = llm_cpu_bend_of(shape, shape->scale, h, first + i, from);
        job->kernels->bend(row, NULL, item->scores.block, seen, &how);
        scale = 1;
    }
    float largest = job->half->softmax_row(item->p.data + i * item->p.block + from, row,
                                           item->scores.block, seen, keys - from, scale, sum);
    return largest + logf(*sum);
}

static void forward_block(const job_t *job, const item_t *item, size_t start, size_t h,
                          size_t first, size_t count)
{
    const llm_attention_t *shape = job->shape;
    size_t token = start + first, keys = first + count;
    float sums[QUERIES];
    score(job, item, job->q + token * shape->q_stride + h * shape->D, first, count);
    for (size_t i = 0; i < count; i++)
        job->lse_out[(token + i) * shape->H + h] =
            softmax_of(job, item, h, first, i, keys, &sums[i]);
    extent_t extent = {.rows = count, .columns = shape->D, .K = keys, .first = first};
    extent.mask = MASKED_TAIL;
    extent.from = llm_cpu_first_key(shape, first);
    multiply(job->half, item->result, item->p, item->values, extent);
    for (size_t i = 0; i < count; i++)
        store_row(job, item, job->out + (token + i) * shape->out_stride + h * shape->D, i,
                  1.0f / sums[i]);
}

static void forward_item(void *argument, size_t number, size_t thread)
{
    const job_t *job = argument;
    const llm_attention_t *shape = job->shape;
    size_t s = number / shape->H, h = number % shape->H;
    size_t start = shape->starts[s], n = shape->starts[s + 1] - start;
    size_t kv = h / (shape->H / shape->KV) * shape->D;
    item_t item;
    (void)lay_out(&item, job->scratch + thread * job->per_thread, n, shape->D, job->half->width);
    pack_across(job, &item, item.keys_across, job->k + start * shape->k_stride + kv,
                shape->k_stride, n);
    pack_along(job, item.values, job->v + start * shape->v_stride + kv, shape->v_stride, n);
    for (size_t first = 0; first < n; first += QUERIES)
        forward_block(job, &item, start, h, first, llm_cpu_min(QUERIES, n - first));
}

static job_t job_of(const llm_cpu_t *cpu, const llm_attention_t *shape, float *scratch)
{
    return (job_t){.kernels = cpu->kernels,
                   .half = cpu->half,
                   .shape = shape,
                   .scratch = (char *)scratch,
                   .per_thread = bytes_per_thread(cpu, shape)};
}

static void attention_forward(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch)
{
    llm_cpu_t *cpu = llm_cpu(be);
    job_t job = job_of(cpu, shape, scratch);
    job.out = llm_half_write(out);
    job.lse_out = lse;
    job.q = llm_half_read(q);
    job.k = llm_half_read(k);
    job.v = llm_half_read(v);
    llm_pool_run(cpu->pool, shape->S * shape->H, forward_item, &job);
}

/* Bends the scores of two neighbouring queries and their gradients, which then
 * have the scale and delta in them. */
static void bend_pair(const job_t *job, llm_cpu_score_pair_t *pair, float *s, float *dp, size_t h,
                      size_t query)
{
    for (size_t j = 0; j < 2 && pair->count[j] > 0; j++) {
        llm_cpu_bend_t how = llm_cpu_bend_of(job->shape, job->shape->scale, h, query + j,
                                             query + j + 1 - pair->count[j]);
        how.delta = pair->delta[j];
        job->kernels->bend(s + j * job->half->width, dp + j * job->half->width, pair->block,
                           pair->count[j], &how);
        pair->delta[j] = 0;
    }
    pair->scale = 1;
}

/* Probabilities and their gradient for a block of queries of head h; see
 * reference/attention.c for the derivation. */
static void score_gradients(const job_t *job, const item_t *item, size_t token, size_t h,
                            size_t first, size_t count)
{
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D, width = job->half->width, keys = first + count;
    size_t at = token * shape->out_stride + h * D;
    score(job, item, job->q + token * shape->q_stride + h * D, first, count);
    even_rows(item->douts.data, job->dout + at, shape->out_stride, count, D);
    size_t from = llm_cpu_first_key(shape, first), panels = from / width;
    extent_t extent = {.rows = count, .columns = keys, .K = D, .first = first, .begin = from};
    extent.mask = MASKED_RESULT;
    multiply(job->half, item->dscores, item->douts, item->values_across, extent);
    float *scores = item->scores.data + panels * item->scores.block;
    float *dscores = item->dscores.data + panels * item->dscores.block;
    size_t pairs = panels * item->p_pairs.block;
    for (size_t i = 0; i < count; i += 2) {
        llm_cpu_score_pair_t pair = {.s = scores + i * width,
                                     .dp = dscores + i * width,
                                     .block = item->scores.block,
                                     .limit = keys - from,
                                     .scale = shape->scale,
                                     .p_pairs = item->p_pairs.data + pairs + i * width,
                                     .ds_pairs = item->ds_pairs.data + pairs + i * width,
                                     .pair_block = item->p_pairs.block};
        for (size_t j = 0; j < 2; j++) {
            size_t row = at + (i + j) * shape->out_stride;
            pair.ds_rows[j] = item->ds.data + (i + j) * item->ds.block + from;
            if (i + j == count)
                break;
            pair.count[j] = first + i + j + 1 - from;
            pair.lse[j] = job->lse[(token + i + j) * shape->H + h];
            pair.delta[j] = job->half->dot(job->dout + row, job->o + row, D);
        }
        if (llm_cpu_is_bent(shape))
            bend_pair(job, &pair, scores + i * width, dscores + i * width, h, first + i);
        job->half->softmax_dx(&pair);
    }
}

/* dq of a block of queries of head h, and what the block adds to dk and dv. */
static void backward_block(const job_t *job, const item_t *item, size_t start, size_t h,
                           size_t first, size_t count)
{
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D, token = start + first, keys = first + count;
    score_gradients(job, item, token, h, first, count);
    job->half->turn_pairs(item->queries_turned.data, QUERIES, item->queries.data,
                          item->queries.block, count, D);
    job->half->turn_pairs(item->douts_turned.data, QUERIES, item->douts.data, item->douts.block,
                          count, D);
    extent_t down = {.rows = D, .columns = keys, .K = count, .add = true, .first = first};
    extent_t along = {.rows = count, .columns = D, .K = keys, .first = first};
    down.mask = MASKED_HEAD;
    down.begin = along.from = llm_cpu_first_key(shape, first);
    along.mask = MASKED_TAIL;
    multiply(job->half, item->dvalues, item->douts_turned, item->p_pairs, down);
    multiply(job->half, item->dkeys, item->queries_turned, item->ds_pairs, down);
    multiply(job->half, item->result, item->ds, item->keys, along);
    for (size_t i = 0; i < count; i++)
        store_row(job, item, job->dq + (token + i) * shape->q_stride + h * D, i, 1.0f);
}

/* dq of head h of sequence s, and what the head adds to dk and dv, which begin
 * as zeros. */
static void backward_head(const job_t *job, const item_t *item, size_t s, size_t h)
{
    const llm_attention_t *shape = job->shape;
    size_t D = shape->D, kv = h / (shape->H / shape->KV);
    size_t start = shape->starts[s], n = shape->starts[s + 1] - start;
    size_t key = start * shape->k_stride + kv * D;
    size_t value = start * shape->v_stride + kv * D;
    pack_across(job, item, item->keys_across, job->k + key, shape->k_stride, n);
    pack_along(job, item->keys, job->k + key, shape->k_stride, n);
    pack_across(job, item, item->values_across, job->v + value, shape->v_stride, n);
    size_t bytes = round_up(n, job->half->width) * D * sizeof(float);
    memset(item->dkeys.data, 0, bytes);
    memset(item->dvalues.data, 0, bytes);
    for (size_t first = 0; first < n; first += QUERIES)
        backward_block(job, item, start, h, first, llm_cpu_min(QUERIES, n - first));
}

/* Rows of dk and dv of sequence s from row on, from blocks that hold them. */
static void store_keys(const job_t *job, const item_t *item, size_t s, size_t kv, size_t row,
                       size_t rows)
{
    const llm_attention_t *shape = job->shape;
    size_t token = shape->starts[s] + row, at = kv * shape->D, block = row / job->half->width;
    floats_t dkeys = {item->dkeys.data + block * item->dkeys.block, item->dkeys.block};
    floats_t dvalues = {item->dvalues.data + block * item->dvalues.block, item->dvalues.block};
    store_across(job, item, job->dk + token * shape->k_stride + at, shape->k_stride, dkeys, rows);
    store_across(job, item, job->dv + token * shape->v_stride + at, shape->v_stride, dvalues, rows);
}

/* Puts item's dk and dv where a head at work has its part. */
static void use_part(const job_t *job, item_t *item, size_t number)
{
    item->dkeys.data = job->parts + number * job->part;
    item->dvalues.data = item->dkeys.data + job->part / 2;
}

/* One of the heads at work: what it adds to dk and dv is its part, or all where no
 * other shares its keys. */
static void backward_item(void *argument, size_t number, size_t thread)
{
    const job_t *job = argument;
    const llm_attention_t *shape = job->shape;
    size_t s = (job->head + number) / shape->H, h = (job->head + number) % shape->H;
    size_t n = shape->starts[s + 1] - shape->starts[s];
    item_t item;
    (void)lay_out(&item, job->scratch + thread * job->per_thread, n, shape->D, job->half->width);
    if (job->parts)
        use_part(job, &item, number);
    backward_head(job, &item, s, h);
    if (!job->parts)
        store_keys(job, &item, s, h, 0, n);
}

/* A panel of keys of one group at work: its heads' parts, added up in order. */
static void join_item(void *argument, size_t number, size_t thread)
{
    const job_t *job = argument;
    const llm_attention_t *shape = job->shape;
    size_t width = job->half->width, group = shape->H / shape->KV, block = shape->D * width;
    size_t panels = llm_cpu_pieces(shape->longest, width), row = number % panels * width;
    size_t first = number / panels * group; /* head at work */
    size_t s = (job->head + first) / shape->H, kv = (job->head + first) % shape->H / group;
    size_t n = shape->starts[s + 1] - shape->starts[s];
    if (row >= n)
        return;
    item_t item;
    (void)lay_out(&item, job->scratch + thread * job->per_thread, n, shape->D, width);
    use_part(job, &item, first);
    for (size_t h = 1; h < group; h++) {
        item_t other = item;
        use_part(job, &other, first + h);
        size_t at = row * shape->D;
        job->kernels->add(item.dkeys.data + at, other.dkeys.data + at, block);
        job->kernels->add(item.dvalues.data + at, other.dvalues.data + at, block);
    }
    store_keys(job, &item, s, kv, row, llm_cpu_min(width, n - row));
}

/* Whole groups of heads that share keys, some at a time. */
static void backward_in_parts(llm_cpu_t *cpu, job_t *job, size_t at_once)
{
    const llm_attention_t *shape = job->shape;
    size_t heads = shape->S * shape->H, group = shape->H / shape->KV;
    size_t panels = llm_cpu_pieces(shape->longest, job->half->width);
    job->part = part_of(cpu, shape);
    job->parts = (float *)(void *)(job->scratch + llm_pool_threads(cpu->pool) * job->per_thread);
    for (; job->head < heads; job->head += at_once) {
        size_t count = llm_cpu_min(at_once, heads - job->head);
        llm_pool_run(cpu->pool, count, backward_item, job);
        llm_pool_run(cpu->pool, count / group * panels, join_item, job);
    }
}

static void attention_backward(llm_backend_t *be, llm_act_t *dq, llm_act_t *dk, llm_act_t *dv,
                               const llm_act_t *dout, const llm_act_t *out, const float *lse,
                               const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                               const llm_attention_t *shape, float *scratch)
{
    llm_cpu_t *cpu = llm_cpu(be);
    job_t job = job_of(cpu, shape, scratch);
    job.dq = llm_half_write(dq);
    job.dk = llm_half_write(dk);
    job.dv = llm_half_write(dv);
    job.dout = llm_half_read(dout);
    job.o = llm_half_read(out);
    job.lse = lse;
    job.q = llm_half_read(q);
    job.k = llm_half_read(k);
    job.v = llm_half_read(v);
    size_t at_once = heads_at_once(cpu, shape);
    if (at_once)
        backward_in_parts(cpu, &job, at_once);
    else
        llm_pool_run(cpu->pool, shape->S * shape->H, backward_item, &job);
}

void llm_cpu_half_attention(llm_ops_t *ops)
{
    ops->attention_scratch = attention_scratch;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
}
