/*
 * linear.c - products with frozen weights, forward and backward from the one
 * packed copy.
 *
 * Forward reads a panel as the vector operand (width outputs at a time) and
 * broadcasts the activations.  Backward broadcasts the weight and takes width
 * tokens of dy as the vector operand, so its tiles come out transposed and are
 * turned as they are stored.  Only activations are packed per call.
 */
#include "llm/backend/cpu/cpu.h"

#include <string.h>

#define DIRECT_ROWS LLM_CPU_FEW_ROWS /* up to so many rows of x are read in place */
#define ITEM_ROWS   196              /* about so many rows in an item of forward */
#define ITEM_INPUTS 112              /* about so many inputs in an item of backward */
#define ITEM_WIDTH  128              /* columns of panels in an item of either */

typedef struct {
    const llm_cpu_kernels_t *kernels;
    const llm_matrix_t *w;
    size_t first, count; /* rows of W that take part */
    float *to;
    size_t to_stride;
    const float *from;
    size_t from_stride;
    const float *bias;
    size_t M;
    size_t K;      /* of this stretch of the sum */
    size_t k;      /* where the stretch begins: an input, or an output behind those skipped */
    bool add;      /* the result has a value already */
    float *packed; /* NULL: x is read in place */
    float *rooms;  /* LLM_CPU_ROOM floats a thread, for weights that are widened */
    size_t block;  /* floats between packed blocks */
    size_t row_items, panel_items;
} job_t;

/* About n rows, in whole tiles. */
static size_t whole_tiles(const job_t *job, size_t n)
{
    return llm_cpu_pieces(n, job->kernels->tile_rows) * job->kernels->tile_rows;
}

static size_t panels_of(const job_t *job)
{
    size_t width = job->kernels->width;
    return (job->first + job->count - 1) / width - job->first / width + 1;
}

/* x[M][K] into blocks [k / width][M][width]. */
static void pack_rows(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t width = job->kernels->width;
    job->kernels->pack_copy(job->packed + item * job->block, job->from + job->k + item * width,
                            job->from_stride, job->M, llm_cpu_min(width, job->K - item * width));
}

/* Whether narrow weights can meet a few rows in registers: in whole words. */
static bool in_words(const job_t *job)
{
    const llm_matrix_t *w = job->w;
    size_t each = w->panels ? 1 : llm_cpu_each(w);
    bool codes = w->form > LLM_FORM_BF16;
    return !w->panels && !job->packed && w->in % each == 0 &&
           (!codes || (!w->input_major && w->group % each == 0));
}

/* One stretch of a panel of words, likewise; to the byte what the tile gives. */
static void few_sums(const job_t *job, float *acc, size_t panel, size_t i, size_t depth)
{
    const llm_matrix_t *w = job->w;
    llm_cpu_few_t few = {.a = job->from + i, .a_stride = job->from_stride, .rows = job->M};
    few.panel = w->words + panel * w->panel;
    few.first = i;
    few.K = depth;
    few.form = w->form;
    if (w->scales)
        few.scales = w->scales + panel * w->groups * w->width;
    few.group = w->group;
    job->kernels->few(acc, &few);
}

/* One stretch of k of one panel against a range of rows; weights are the
 * stretch, or NULL where they stay words. */
static void forward_panel(const job_t *job, const float *weights, size_t panel, size_t row,
                          size_t end, size_t k, size_t depth)
{
    const llm_matrix_t *w = job->w;
    size_t width = w->width;
    size_t column = panel * width; /* of W */
    size_t last = job->first + job->count;
    bool begun = job->add || k > 0;
    float acc[LLM_CPU_ROWS_MAX * LLM_CPU_WIDTH_MAX];
    llm_cpu_store_t how = {.alpha = 1, .add = begun};
    how.first = column < job->first ? job->first - column : 0;
    how.last = llm_cpu_min(width, last - column);
    size_t y_column = column + how.first - job->first;
    how.bias = begun || !job->bias ? NULL : job->bias + y_column;
    llm_cpu_tile_t tile = {.columns = how.last, .K = depth, .b_row = width};
    tile.b = weights;
    tile.direct = !job->packed;
    tile.a_stride = job->packed ? job->block : job->from_stride;
    while (row < end) {
        how.rows = tile.rows = llm_cpu_min(job->kernels->tile_rows, end - row);
        tile.a = job->packed ? job->packed + k / width * job->block + row * width
                             : job->from + row * job->from_stride + job->k + k;
        if (weights)
            job->kernels->tile(acc, &tile);
        else
            few_sums(job, acc, panel, job->k + k, depth);
        job->kernels->store(job->to + row * job->to_stride + y_column, job->to_stride, acc, &how);
        row += tile.rows;
    }
}

/* Inputs i .. i + depth of a panel, widened where they have to be. */
static const float *stretch_of(const job_t *job, size_t panel, size_t i, size_t depth,
                               size_t thread)
{
    const llm_matrix_t *w = job->w;
    if (w->panels)
        return w->panels + panel * w->panel + i * w->width;
    float *room = job->rooms + thread * LLM_CPU_ROOM;
    llm_cpu_widen(job->kernels, room, w, panel, i, depth);
    return room;
}

static void forward_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    size_t rows = whole_tiles(job, ITEM_ROWS);
    size_t row = item % job->row_items * rows;
    size_t count = ITEM_WIDTH / job->kernels->width;
    size_t begin = item / job->row_items * count;
    size_t end = llm_cpu_min(begin + count, panels_of(job));
    for (size_t k = 0; k < job->K; k += LLM_CPU_DEPTH)
        for (size_t p = begin; p < end; p++) {
            size_t panel = job->first / job->kernels->width + p;
            size_t depth = llm_cpu_min(LLM_CPU_DEPTH, job->K - k);
            const float *weights =
                in_words(job) ? NULL : stretch_of(job, panel, job->k + k, depth, thread);
            forward_panel(job, weights, panel, row, llm_cpu_min(row + rows, job->M), k, depth);
        }
}

static void forward_rows_of(llm_cpu_t *cpu, job_t job, size_t M)
{
    const float *x = job.from;
    float *y = job.to;
    for (size_t m = 0; m < M; m += LLM_CPU_ROWS) {
        job.M = llm_cpu_min(LLM_CPU_ROWS, M - m);
        job.from = x + m * job.from_stride;
        job.to = y + m * job.to_stride;
        job.block = llm_cpu_padded(job.M, job.kernels->width) * job.kernels->width;
        for (job.k = 0; job.k < job.w->in; job.k += LLM_CPU_LONG_DEPTH) {
            job.K = llm_cpu_min(LLM_CPU_LONG_DEPTH, job.w->in - job.k);
            job.add = job.k > 0;
            job.packed = job.M <= DIRECT_ROWS ? NULL : cpu->packed;
            if (job.packed)
                llm_pool_run(cpu->pool, llm_cpu_pieces(job.K, job.kernels->width), pack_rows, &job);
            job.row_items = llm_cpu_pieces(job.M, whole_tiles(&job, ITEM_ROWS));
            llm_pool_run(cpu->pool,
                         job.row_items *
                             llm_cpu_pieces(panels_of(&job), ITEM_WIDTH / job.kernels->width),
                         forward_item, &job);
        }
    }
}

static void forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                    size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M)
{
    double start = llm_instance_now();
    job_t job = {.kernels = llm_cpu(be)->kernels, .w = w, .count = w->out, .bias = bias};
    job.rooms = llm_cpu(be)->rooms;
    job.to = llm_cpu_floats_out(y);
    job.to_stride = y_stride;
    job.from = llm_cpu_floats(x);
    job.from_stride = x_stride;
    if (w->out)
        forward_rows_of(llm_cpu(be), job, M);
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

static void forward_rows(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                         size_t x_stride, const llm_matrix_t *w, size_t first, size_t count,
                         size_t M)
{
    double start = llm_instance_now();
    job_t job = {.kernels = llm_cpu(be)->kernels, .w = w, .first = first, .count = count};
    job.rooms = llm_cpu(be)->rooms;
    job.to = llm_cpu_floats_out(y);
    job.to_stride = y_stride;
    job.from = llm_cpu_floats(x);
    job.from_stride = x_stride;
    if (count)
        forward_rows_of(llm_cpu(be), job, M);
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

/* dy[M][K] into panels of tokens [M / width][K][width]; outputs of the panels
 * that do not take part are zeros.  An item is one panel's stretch. */
static void pack_tokens(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    const llm_cpu_kernels_t *kernels = job->kernels;
    size_t width = kernels->width;
    size_t pieces = llm_cpu_pieces(job->K, LLM_CPU_DEPTH);
    size_t m = item / pieces * width;
    size_t begin = item % pieces * LLM_CPU_DEPTH;
    size_t end = llm_cpu_min(begin + LLM_CPU_DEPTH, job->K);
    float *panel = job->packed + item / pieces * job->block;
    size_t skip = job->first % LLM_CPU_WIDTH_MAX; /* outputs before ours */
    size_t lead = job->k + begin < skip ? llm_cpu_min(skip - job->k - begin, end - begin) : 0;
    for (size_t i = 0; i < lead * width; i++)
        panel[begin * width + i] = 0;
    begin += lead;
    if (begin < end)
        kernels->pack_transposed(panel + begin * width,
                                 job->from + m * job->from_stride + job->k + begin - skip,
                                 job->from_stride, end - begin, llm_cpu_min(width, job->M - m));
}

static void zero_rows(float *rows, size_t stride, size_t M, size_t width)
{
    for (size_t m = 0; m < M; m++)
        memset(rows + m * stride, 0, width * sizeof(float));
}

/* The weights of a stretch of outputs, for inputs from `row` on. */
typedef struct {
    const float *at; /* of input `row` in the first panel */
    size_t stride;   /* between panels */
    size_t row, end;
} weights_t;

/* One stretch of k of one panel of tokens against the inputs of weights.  The
 * panel stays in the nearest cache while the weights pass by. */
static void backward_panel(const job_t *job, const weights_t *weights, size_t panel, size_t k,
                           size_t depth)
{
    size_t width = job->w->width;
    size_t m = panel * width;
    float acc[LLM_CPU_ROWS_MAX * LLM_CPU_WIDTH_MAX];
    llm_cpu_tile_t tile = {.a_stride = weights->stride, .b_row = width, .K = depth};
    llm_cpu_store_t how = {.alpha = 1, .add = job->add || k > 0};
    how.last = tile.columns = llm_cpu_min(width, job->M - m);
    tile.b = job->packed + panel * job->block + k * width;
    for (size_t row = weights->row; row < weights->end; row += tile.rows) {
        how.rows = tile.rows = llm_cpu_min(job->kernels->tile_rows, weights->end - row);
        tile.a = weights->at + (row - weights->row) * width;
        job->kernels->tile(acc, &tile);
        job->kernels->store_transposed(job->to + m * job->to_stride + row, job->to_stride, acc,
                                       &how);
    }
}

/* Points at the weights of outputs k .. k + depth of the stretch, widened
 * where they have to be. */
static void aim(const job_t *job, weights_t *weights, size_t k, size_t depth, size_t thread)
{
    const llm_matrix_t *w = job->w;
    size_t begin = job->first / LLM_CPU_WIDTH_MAX * LLM_CPU_WIDTH_MAX;
    size_t panel = (begin + job->k + k) / w->width;
    if (w->panels) {
        weights->at = w->panels + panel * w->panel + weights->row * w->width;
        weights->stride = w->panel;
        return;
    }
    size_t rows = weights->end - weights->row;
    float *room = job->rooms + thread * LLM_CPU_ROOM;
    weights->at = room;
    weights->stride = llm_cpu_padded(rows, w->width) * w->width;
    for (size_t p = 0; p < llm_cpu_pieces(depth, w->width); p++)
        llm_cpu_widen(job->kernels, room + p * weights->stride, w, panel + p, weights->row, rows);
}

static void backward_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    size_t rows = whole_tiles(job, ITEM_INPUTS);
    size_t row = item % job->row_items * rows;
    weights_t weights = {.row = row, .end = llm_cpu_min(row + rows, job->w->in)};
    size_t count = ITEM_WIDTH / job->kernels->width;
    size_t panel = item / job->row_items * count;
    size_t end_panel = llm_cpu_min(panel + count, llm_cpu_pieces(job->M, job->kernels->width));
    for (size_t k = 0; k < job->K; k += LLM_CPU_DEPTH) {
        size_t depth = llm_cpu_min(LLM_CPU_DEPTH, job->K - k);
        aim(job, &weights, k, depth, thread);
        for (size_t p = panel; p < end_panel; p++)
            backward_panel(job, &weights, p, k, depth);
    }
}

static void backward_rows(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                          size_t dy_stride, const llm_matrix_t *w, size_t first, size_t count,
                          size_t M, bool add)
{
    double start = llm_instance_now();
    llm_cpu_t *cpu = llm_cpu(be);
    size_t width = cpu->kernels->width;
    job_t job = {.kernels = cpu->kernels, .w = w, .first = first, .count = count};
    job.to_stride = dx_stride;
    job.from_stride = dy_stride;
    job.packed = cpu->packed;
    job.rooms = cpu->rooms;
    /* From where the widest panel would begin, so that every width cuts alike. */
    size_t outputs = count ? first % LLM_CPU_WIDTH_MAX + count : 0;
    if (!count && !add)
        zero_rows(llm_cpu_floats_out(dx), dx_stride, M, w->in);
    for (size_t m = 0; m < M; m += LLM_CPU_ROWS) {
        job.M = llm_cpu_min(LLM_CPU_ROWS, M - m);
        job.from = llm_cpu_floats(dy) + m * dy_stride;
        job.to = llm_cpu_floats_out(dx) + m * dx_stride;
        size_t panels = llm_cpu_pieces(job.M, width);
        for (job.k = 0; job.k < outputs; job.k += LLM_CPU_LONG_DEPTH) {
            job.K = llm_cpu_min(LLM_CPU_LONG_DEPTH, outputs - job.k);
            job.add = add || job.k > 0;
            job.block = llm_cpu_padded(job.K, width) * width;
            llm_pool_run(cpu->pool, panels * llm_cpu_pieces(job.K, LLM_CPU_DEPTH), pack_tokens,
                         &job);
            job.row_items = llm_cpu_pieces(w->in, whole_tiles(&job, ITEM_INPUTS));
            llm_pool_run(cpu->pool, job.row_items * llm_cpu_pieces(panels, ITEM_WIDTH / width),
                         backward_item, &job);
        }
    }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

static void backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                     size_t dy_stride, const llm_matrix_t *w, size_t M, bool add)
{
    backward_rows(be, dx, dx_stride, dy, dy_stride, w, 0, w->out, M, add);
}

void llm_cpu_linear(llm_ops_t *ops)
{
    ops->linear_forward = forward;
    ops->linear_forward_rows = forward_rows;
    ops->linear_backward = backward;
    ops->linear_backward_rows = backward_rows;
}
