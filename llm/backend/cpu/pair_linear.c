/*
 * pair_linear.c - products with frozen weights by BF16 pairs, forward and
 * backward from the one packed copy, with sums in fp32.
 *
 * Both directions broadcast the activations and read panels of weights as the
 * vector operand.  Forward's pairs run along the inputs, as the panels are
 * packed; backward's run along the outputs, so an item turns its piece of the
 * weights once, in its thread's room, and takes all rows past it.  Codes become
 * BF16 likewise; for a few rows they do so in registers.
 *
 * Forward multiplies by the codes themselves and by a group's scale afterwards;
 * backward, and groups that do not fit the blocks, by code times scale rounded
 * to BF16.
 */
#include "llm/backend/cpu/cpu.h"

#include <string.h>

#define DEPTH       384 /* pairs of a stretch of the sum */
#define ITEM_ROWS   252 /* about so many rows in an item */
#define ITEM_PANELS 2
#define ACC_FLOATS  ((size_t)ITEM_PANELS * LLM_CPU_ROWS * LLM_PAIRS_WIDTH)
#define WORDS       ((size_t)DEPTH * LLM_PAIRS_WIDTH)

typedef struct {
    const llm_cpu_kernels_t *kernels;
    const llm_cpu_pairs_t *pairs;
    const llm_matrix_t *w;
    llm_cpu_product_t p;
    size_t m, M;      /* the rows at work */
    size_t K;         /* inputs; or outputs, from the first panel's first */
    size_t skip;      /* outputs of the first panel that do not take part */
    uint32_t *packed; /* activations in blocks; of a few rows, row by row */
    size_t block;     /* words between them */
    float *rooms;
    size_t rows, row_items; /* rows of an item */
} job_t;

/* An item's place in its thread's room. */
typedef struct {
    float *acc;      /* [ITEM_PANELS][rows][width] */
    uint32_t *words; /* a stretch of a panel */
    uint32_t *more;  /* the same before it is turned */
    float *wide;
} room_t;

static room_t room_of(const job_t *job, size_t thread)
{
    float *room = job->rooms + thread * LLM_CPU_ROOM;
    room_t parts = {.acc = room, .wide = room + ACC_FLOATS};
    parts.words = (uint32_t *)(void *)(parts.wide + (size_t)LLM_PAIRS_WIDTH * LLM_PAIRS_WIDTH * 2);
    parts.more = parts.words + WORDS;
    return parts;
}

/* Whether forward multiplies by codes: groups are whole blocks, and end where
 * stretches do. */
static bool by_codes(const llm_matrix_t *w)
{
    return w->form > LLM_FORM_BF16 && !w->input_major && w->group % (2 * LLM_PAIRS_BLOCK) == 0 &&
           2 * DEPTH % w->group == 0;
}

/* A block of 16 pairs of all rows; the columns before skip are zeros. */
static void pack_block(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t column = item * 32, count = llm_cpu_min(32, job->K - column);
    uint32_t *to = job->packed + item * job->block;
    if (column >= job->skip) {
        job->pairs->pack(to, LLM_PAIRS_BLOCK, &job->p.from, job->m, job->M, column - job->skip,
                         count);
        return;
    }
    uint32_t row[LLM_PAIRS_BLOCK]; /* the first block of all: skip is below its 32 */
    for (size_t m = 0; m < job->M; m++) {
        uint16_t *halves = (uint16_t *)(to + m * LLM_PAIRS_BLOCK);
        job->pairs->pack(row, 0, &job->p.from, job->m + m, 1, 0, count - job->skip);
        memset(halves, 0, LLM_PAIRS_BLOCK * sizeof *to);
        memcpy(halves + job->skip, row, (count - job->skip) * sizeof *halves);
    }
}

/* Inputs i .. i + n (n <= 64) of a panel as pairs: to[pair][width]. */
static void narrow_piece(const job_t *job, uint32_t *to, float *room, size_t panel, size_t i,
                         size_t n)
{
    const llm_matrix_t *w = job->w;
    if (w->form != LLM_FORM_F32)
        llm_cpu_widen(job->kernels, room, w, panel, i, n);
    job->pairs->narrow(
        to, w->form != LLM_FORM_F32 ? room : w->panels + panel * w->panel + i * w->width, n);
}

/* A stretch of a panel's pairs for forward, from pair k on. */
static const uint32_t *forward_words(const job_t *job, const room_t *room, size_t panel, size_t k,
                                     size_t depth)
{
    const llm_matrix_t *w = job->w;
    if (w->form == LLM_FORM_BF16)
        return w->words + panel * w->panel + k * w->width;
    if (by_codes(w)) {
        job->pairs->decode(room->words,
                           w->words + panel * w->panel + 2 * k / llm_cpu_each(w) * w->width, depth,
                           w->form);
        return room->words;
    }
    for (size_t p = 0; p < depth; p += 32)
        narrow_piece(job, room->words + p * w->width, room->wide, panel, 2 * (k + p),
                     llm_cpu_min(64, w->in - 2 * (k + p)));
    return room->words;
}

/* The rows of an item past one stretch of one panel. */
static void tiles(const job_t *job, llm_pairs_tile_t *tile, float *acc, size_t row, size_t end,
                  size_t k)
{
    tile->add = k > 0;
    tile->a_stride = job->block;
    for (size_t r = row; r < end; r += tile->rows) {
        tile->rows = llm_cpu_min(LLM_PAIRS_ROWS, end - r);
        tile->a = job->packed + k / LLM_PAIRS_BLOCK * job->block + r * LLM_PAIRS_BLOCK;
        job->pairs->tile(acc + (r - row) * LLM_PAIRS_WIDTH, tile);
    }
}

/* The sums of a panel of outputs are stored where they take part. */
static void store_panel(const job_t *job, const float *acc, size_t panel, size_t row, size_t rows)
{
    size_t column = panel * LLM_PAIRS_WIDTH, first = job->p.first;
    llm_pairs_store_t how = {.row = job->m + row, .rows = rows, .add = job->p.add};
    how.first = column < first ? first - column : 0;
    how.last = llm_cpu_min(LLM_PAIRS_WIDTH, first + job->p.count - column);
    how.column = column + how.first - first;
    how.bias = job->p.bias ? job->p.bias + how.column : NULL;
    job->pairs->store(&job->p.to, acc, &how);
}

static void forward_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    const llm_matrix_t *w = job->w;
    room_t room = room_of(job, thread);
    size_t row = item % job->row_items * job->rows;
    size_t end = llm_cpu_min(row + job->rows, job->M);
    size_t begin = job->p.first / w->width + item / job->row_items * ITEM_PANELS;
    size_t last =
        llm_cpu_min(begin + ITEM_PANELS, (job->p.first + job->p.count - 1) / w->width + 1);
    size_t pairs = llm_cpu_pieces(w->in, 2);
    for (size_t k = 0; k < pairs; k += DEPTH)
        for (size_t p = begin; p < last; p++) {
            llm_pairs_tile_t tile = {.pairs = llm_cpu_min(DEPTH, pairs - k)};
            tile.columns = llm_cpu_min(w->width, w->out - p * w->width);
            tile.b = forward_words(job, &room, p, k, tile.pairs);
            if (by_codes(w)) {
                tile.group = w->group / (2 * LLM_PAIRS_BLOCK);
                tile.scales = w->scales + (p * w->groups + 2 * k / w->group) * w->width;
            }
            tiles(job, &tile, room.acc + (p - begin) * job->rows * LLM_PAIRS_WIDTH, row, end, k);
        }
    for (size_t p = begin; p < last; p++)
        store_panel(job, room.acc + (p - begin) * job->rows * LLM_PAIRS_WIDTH, p, row, end - row);
}

/* One or two panels of a few rows. */
static void few_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    const llm_matrix_t *w = job->w;
    room_t room = room_of(job, thread);
    size_t begin = job->p.first / w->width + item * 2;
    size_t last = llm_cpu_min(begin + 2, (job->p.first + job->p.count - 1) / w->width + 1);
    llm_pairs_few_t f = {.a = job->packed, .a_stride = job->block, .rows = job->M};
    f.words = w->words + begin * w->panel;
    f.panel = w->panel;
    f.panels = last - begin;
    f.in = w->in;
    f.form = w->form;
    if (w->scales) {
        f.scales = w->scales + begin * w->groups * w->width;
        f.groups = w->groups;
        f.group = w->group;
    }
    job->pairs->few(room.acc, &f);
    for (size_t p = begin; p < last; p++)
        store_panel(job, room.acc + (p - begin) * job->M * LLM_PAIRS_WIDTH, p, 0, job->M);
}

/* Inputs 32 c .. of outputs 2 k .. as pairs of outputs. */
static void backward_words(const job_t *job, const room_t *room, size_t c, size_t k, size_t depth)
{
    const llm_matrix_t *w = job->w;
    size_t inputs = llm_cpu_min(32, w->in - c * 32), pairs = llm_cpu_pieces(inputs, 2);
    size_t panel = job->p.first / w->width + 2 * k / w->width;
    for (size_t p = 0; p < depth; p += 16, panel++) {
        const uint32_t *words = room->more;
        if (w->form == LLM_FORM_BF16)
            words = w->words + panel * w->panel + c * 16 * w->width;
        else
            narrow_piece(job, room->more, room->wide, panel, c * 32, inputs);
        job->pairs->turn(room->words + p * LLM_PAIRS_WIDTH, words, pairs);
    }
}

static void backward_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    room_t room = room_of(job, thread);
    size_t row = item % job->row_items * job->rows;
    size_t end = llm_cpu_min(row + job->rows, job->M);
    size_t c = item / job->row_items, pairs = llm_cpu_pieces(job->K, 2);
    size_t columns = llm_cpu_min(32, job->w->in - c * 32);
    for (size_t k = 0; k < pairs; k += DEPTH) {
        llm_pairs_tile_t tile = {.b = room.words, .columns = columns};
        tile.pairs = llm_cpu_min(DEPTH, pairs - k);
        backward_words(job, &room, c, k, tile.pairs);
        tiles(job, &tile, room.acc, row, end, k);
    }
    llm_pairs_store_t how = {.row = job->m + row, .rows = end - row, .column = c * 32};
    how.last = columns;
    how.add = job->p.add;
    job->pairs->store(&job->p.to, room.acc, &how);
}

/* Rows whose packed copy fits; their blocks lie half a page apart. */
static size_t rows_at_once(const job_t *job)
{
    size_t most = LLM_CPU_PACKED / LLM_PAIRS_BLOCK / llm_cpu_pieces(job->K, 32);
    size_t rows = most > LLM_CPU_ROWS + 64 ? LLM_CPU_ROWS : most > 160 ? most - 64 : most;
    size_t parts = llm_cpu_pieces(job->p.M, rows);
    return llm_cpu_pieces(job->p.M, parts);
}

/* Items of `panels` panels; rows are split where panels alone are too few for
 * the threads. */
static void run(llm_cpu_t *cpu, job_t *job, size_t panels, llm_pool_item_t item)
{
    size_t most = llm_cpu_pieces(job->M, LLM_PAIRS_ROWS);
    size_t wanted = llm_cpu_pieces(4 * llm_pool_threads(cpu->pool), panels);
    size_t least = llm_cpu_pieces(job->M, ITEM_ROWS);
    job->row_items = llm_cpu_min(most, wanted > least ? wanted : least);
    job->rows = llm_cpu_pieces(most, job->row_items) * LLM_PAIRS_ROWS;
    job->row_items = llm_cpu_pieces(job->M, job->rows);
    llm_pool_run(cpu->pool, panels * job->row_items, item, job);
}

static void pack_few(job_t *job)
{
    job->block = llm_cpu_pieces(job->K, 32) * LLM_PAIRS_BLOCK;
    for (size_t k = 0; k < job->K; k += 32)
        job->pairs->pack(job->packed + k / 2, job->block, &job->p.from, job->m, job->M, k,
                         llm_cpu_min(32, job->K - k));
}

static void pack_all(llm_cpu_t *cpu, job_t *job)
{
    size_t blocks = llm_cpu_pieces(job->K, 32);
    size_t padded = llm_cpu_padded(job->M, LLM_PAIRS_BLOCK);
    bool fits = padded * LLM_PAIRS_BLOCK * blocks <= LLM_CPU_PACKED;
    job->block = (job->M < 64 || !fits ? job->M : padded) * LLM_PAIRS_BLOCK;
    llm_pool_run(cpu->pool, blocks, pack_block, job);
}

static job_t job_of(llm_cpu_t *cpu, const llm_matrix_t *w, const llm_cpu_product_t *p)
{
    job_t job = {.kernels = cpu->kernels, .pairs = cpu->pairs, .w = w, .p = *p};
    job.packed = (uint32_t *)(void *)cpu->packed;
    job.rooms = cpu->rooms;
    return job;
}

void llm_cpu_pairs_forward(llm_cpu_t *cpu, const llm_matrix_t *w, const llm_cpu_product_t *p)
{
    job_t job = job_of(cpu, w, p);
    job.K = w->in;
    if (!p->count || !p->M)
        return;
    size_t panels = (p->first + p->count - 1) / w->width - p->first / w->width + 1;
    bool few = p->M <= LLM_PAIRS_FEW && (w->form == LLM_FORM_BF16 || by_codes(w));
    size_t rows = rows_at_once(&job);
    for (job.m = 0; job.m < p->M; job.m += rows) {
        job.M = llm_cpu_min(rows, p->M - job.m);
        if (few) {
            pack_few(&job);
            llm_pool_run(cpu->pool, llm_cpu_pieces(panels, 2), few_item, &job);
            continue;
        }
        pack_all(cpu, &job);
        run(cpu, &job, llm_cpu_pieces(panels, ITEM_PANELS), forward_item);
    }
}

void llm_cpu_pairs_backward(llm_cpu_t *cpu, const llm_matrix_t *w, const llm_cpu_product_t *p)
{
    job_t job = job_of(cpu, w, p);
    job.skip = p->first % w->width;
    job.K = job.skip + p->count;
    size_t rows = rows_at_once(&job);
    for (job.m = 0; job.m < p->M; job.m += rows) {
        job.M = llm_cpu_min(rows, p->M - job.m);
        pack_all(cpu, &job);
        run(cpu, &job, llm_cpu_pieces(w->in, 32), backward_item);
    }
}
