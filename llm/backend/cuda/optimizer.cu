/*
 * optimizer.cu - vectors of floats: scaling, sums, and the steps of
 * torch.optim.
 *
 * Compiled without contraction to fused multiply-adds, in the reference's
 * order of operations, so that a step gives the reference's bits.
 */
#include "llm/backend/cuda/adam.cuh"

constexpr unsigned THREADS = 256;
constexpr unsigned BLOCKS_MAX = 4096;

template <class F> __global__ void each(F what, size_t n)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        what(i);
}

template <class F> static void run(const llm_cuda_queue_t *queue, F what, size_t n)
{
    launch(queue, dim3((unsigned)smaller(ceil_div(n, THREADS), BLOCKS_MAX)), dim3(THREADS), 0,
           each<F>, what, n);
}

struct add_t {
    float *y;
    const float *x;

    __device__ void operator()(size_t i) const
    {
        y[i] += x[i];
    }
};

void llm_cuda_add_floats(const llm_cuda_queue_t *queue, float *y, const float *x, size_t n)
{
    run(queue, add_t{y, x}, n);
}

struct scale_t {
    float *x;
    float factor;

    __device__ void operator()(size_t i) const
    {
        x[i] *= factor;
    }
};

void llm_cuda_scale(const llm_cuda_queue_t *queue, float *x, float factor, size_t n)
{
    run(queue, scale_t{x, factor}, n);
}

struct adam_t {
    float *params, *m, *v, *greatest; /* greatest may be NULL */
    const float *grads;
    llm_cuda_adam_t how;

    __device__ void operator()(size_t i) const
    {
        adam(params + i, grads[i], m + i, v + i, greatest ? greatest + i : nullptr, how);
    }
};

void llm_cuda_adam_step(const llm_cuda_queue_t *queue, float *params, float *m, float *v,
                        float *greatest, const float *grads, size_t n, const llm_cuda_adam_t *how)
{
    run(queue, adam_t{params, m, v, greatest, grads, *how}, n);
}

struct adagrad_t {
    float *params, *sums;
    const float *grads;
    llm_adagrad_t how;

    __device__ void operator()(size_t i) const
    {
        const float g = grads[i] + how.weight_decay * params[i];
        sums[i] += g * g;
        params[i] -= how.lr * (g / (sqrtf(sums[i]) + how.eps));
    }
};

void llm_cuda_adagrad_step(const llm_cuda_queue_t *queue, float *params, float *sums,
                           const float *grads, size_t n, const llm_adagrad_t *how)
{
    run(queue, adagrad_t{params, sums, grads, *how}, n);
}

struct rmsprop_t {
    float *params;
    llm_rmsprop_state_t state;
    const float *grads;
    llm_rmsprop_t how;

    __device__ void operator()(size_t i) const
    {
        float g = grads[i] + how.weight_decay * params[i];
        float s = how.alpha * state.squares[i] + how.one_minus_alpha * (g * g);
        state.squares[i] = s;
        if (state.means) {
            const float a = how.alpha * state.means[i] + how.one_minus_alpha * g;
            state.means[i] = a;
            s -= a * a;
            s = s > 0 ? s : 0;
        }
        g = g / (sqrtf(s) + how.eps);
        if (state.momentum) {
            g = how.momentum * state.momentum[i] + g;
            state.momentum[i] = g;
        }
        params[i] -= how.lr * g;
    }
};

void llm_cuda_rmsprop_step(const llm_cuda_queue_t *queue, float *params,
                           const llm_rmsprop_state_t *state, const float *grads, size_t n,
                           const llm_rmsprop_t *how)
{
    run(queue, rmsprop_t{params, *state, grads, *how}, n);
}

struct sgd_t {
    float *params, *momentum; /* momentum may be NULL */
    const float *grads;
    llm_cuda_sgd_t how;

    __device__ void operator()(size_t i) const
    {
        float g = grads[i] + how.weight_decay * params[i];
        if (momentum) {
            const float b = how.first ? g : how.momentum * momentum[i] + how.share * g;
            momentum[i] = b;
            g = how.nesterov ? g + how.momentum * b : b;
        }
        params[i] -= how.lr * g;
    }
};

void llm_cuda_sgd_step(const llm_cuda_queue_t *queue, float *params, float *momentum,
                       const float *grads, size_t n, const llm_cuda_sgd_t *how)
{
    run(queue, sgd_t{params, momentum, grads, *how}, n);
}

/* Pieces of at least this many elements, and at most LLM_CUDA_SUM_SCRATCH of
 * them: the shape of the sum depends on n alone. */
constexpr size_t SUM_PIECE = 4096;

static size_t sum_piece(size_t n)
{
    const size_t piece = ceil_div(n, LLM_CUDA_SUM_SCRATCH);
    return piece > SUM_PIECE ? piece : SUM_PIECE;
}

template <class A>
__global__ void sum_pieces(double *sums, const A *x, size_t n, size_t piece, bool squares)
{
    SHARED(double, part, LANES);
    const size_t first = blockIdx.x * piece;
    const size_t last = (size_t)smaller((long)(first + piece), (long)n);
    double sum = 0;
    for (size_t i = first + threadIdx.x; i < last; i += blockDim.x) {
        const double value = (double)wide(x[i]);
        sum += squares ? value * value : value;
    }
    block_sums<1>(&sum, part);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = sum;
}

__global__ void sum_up(double *result, const double *sums, size_t count)
{
    SHARED(double, part, LANES);
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += blockDim.x)
        sum += sums[i];
    block_sums<1>(&sum, part);
    if (threadIdx.x == 0)
        *result = sum;
}

template <class A>
static void sum_of(const llm_cuda_queue_t *queue, double *result, const A *x, size_t n,
                   bool squares, double *scratch)
{
    const size_t piece = sum_piece(n), count = ceil_div(n, piece);
    launch(queue, dim3((unsigned)count), dim3(THREADS), 0, sum_pieces<A>, scratch, x, n, piece,
           squares);
    launch(queue, dim3(1), dim3(THREADS), 0, sum_up, result, scratch, count);
}

void llm_cuda_sum(const llm_cuda_queue_t *queue, double *result, const float *x, size_t n,
                  bool squares, double *scratch)
{
    sum_of(queue, result, x, n, squares, scratch);
}

void llm_cuda_sum_activations(const llm_cuda_queue_t *queue, double *result, const void *x,
                              size_t n, bool squares, double *scratch)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        sum_of(queue, result, (const A *)x, n, squares, scratch);
    });
}
