/*
 * activation.c - the activation functions, plain and behind a gate, with their
 * gradients.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286535588
#define SQRT_HALF      0.70710678118654752440
#define INV_SQRT_2PI   0.39894228040143267794
#define GELU_CUBIC     0.044715
#define QUICK          1.702

/* f(x) and f'(x). */
typedef struct {
    double value, slope;
} point_t;

/* x sigma(k x), sigma the logistic function:
 * d = sigma + k x sigma (1 - sigma) = sigma (1 + k x (1 - sigma)). */
static point_t by_sigmoid(double x, double k)
{
    double sigma = 1.0 / (1.0 + exp(-k * x));
    return (point_t){x * sigma, sigma * (1.0 + k * x * (1.0 - sigma))};
}

/* x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2:
 * d = Phi(x) + x phi(x), phi(x) = exp(-x^2/2) / sqrt(2 pi). */
static point_t gelu(double x)
{
    double twice = 1.0 + erf(x * SQRT_HALF);
    return (point_t){0.5 * x * twice, 0.5 * twice + x * INV_SQRT_2PI * exp(-0.5 * x * x)};
}

/* x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3):
 * d = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u', u' = sqrt(2/pi) (1 + 3 0.044715 x^2). */
static point_t gelu_tanh(double x)
{
    double t = tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
    double du = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
    return (point_t){0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du};
}

/* max(x, 0), of slope 0 at 0 as torch has it; NaN stays. */
static point_t relu(double x)
{
    return x <= 0 ? (point_t){0, 0} : (point_t){x, 1};
}

static point_t point_of(double x, llm_activation_t kind)
{
    switch (kind) {
    case LLM_ACTIVATION_GELU:
        return gelu(x);
    case LLM_ACTIVATION_GELU_TANH:
        return gelu_tanh(x);
    case LLM_ACTIVATION_RELU:
        return relu(x);
    case LLM_ACTIVATION_QUICK_GELU:
        return by_sigmoid(x, QUICK);
    default:
        return by_sigmoid(x, 1);
    }
}

static void activation_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                               llm_activation_t kind)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, out, i, point_of(llm_reference_get(be, x, i), kind).value);
}

static void activation_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                                const llm_act_t *x, size_t n, llm_activation_t kind)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, dx, i,
                          llm_reference_get(be, dout, i) *
                              point_of(llm_reference_get(be, x, i), kind).slope);
}

static void glu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                        const llm_act_t *up, size_t n, llm_activation_t kind)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, out, i,
                          point_of(llm_reference_get(be, gate, i), kind).value *
                              llm_reference_get(be, up, i));
}

/* dgate = dout up f'(gate),  dup = dout f(gate). */
static void glu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup, const llm_act_t *dout,
                         const llm_act_t *gate, const llm_act_t *up, size_t n,
                         llm_activation_t kind)
{
    for (size_t i = 0; i < n; i++) {
        point_t at = point_of(llm_reference_get(be, gate, i), kind);
        double u = llm_reference_get(be, up, i);
        double d = llm_reference_get(be, dout, i);
        llm_reference_put(be, dgate, i, d * u * at.slope);
        llm_reference_put(be, dup, i, d * at.value);
    }
}

/* With t = tanh(x / cap), y = cap t and dy/dx = 1 - t^2. */
static void softcap_forward(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float cap,
                            size_t n)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, y, i, (double)cap * tanh(llm_reference_get(be, x, i) / (double)cap));
}

static void softcap_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *y, float cap,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double t = llm_reference_get(be, y, i) / (double)cap;
        llm_reference_put(be, dx, i, llm_reference_get(be, dx, i) * (1 - t * t));
    }
}

void llm_reference_activation(llm_ops_t *ops)
{
    ops->activation_forward = activation_forward;
    ops->activation_backward = activation_backward;
    ops->glu_forward = glu_forward;
    ops->glu_backward = glu_backward;
    ops->softcap_forward = softcap_forward;
    ops->softcap_backward = softcap_backward;
}
