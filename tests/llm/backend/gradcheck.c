/*
 * gradcheck.c - central differences, random inputs and NMSE for the tests of
 * the backends.
 */
#include "gradcheck.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define STEP      0.02f
#define TOLERANCE 5e-4

static double loss(const gradcheck_t *check)
{
    check->forward(check->be, check->state, check->out);
    double sum = 0;
    for (size_t i = 0; i < check->outputs; i++)
        sum += (double)check->out[i] * (double)check->weight[i];
    return sum;
}

static double loss_at(const gradcheck_t *check, float *x, float value)
{
    float kept = *x;
    *x = value;
    double result = loss(check);
    *x = kept;
    return result;
}

/* f'(x) = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h + O(h^4). */
static double derivative(const gradcheck_t *check, float *x)
{
    float h = STEP;
    double near = loss_at(check, x, *x + h) - loss_at(check, x, *x - h);
    double far = loss_at(check, x, *x + 2 * h) - loss_at(check, x, *x - 2 * h);
    return (8 * near - far) / (12 * (double)h);
}

void gradcheck(const gradcheck_t *check, const char *what, float *input, const float *analytic,
               size_t n)
{
    double largest = 1e-2;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)analytic[i]));
    for (size_t i = 0; i < n; i++) {
        double numeric = derivative(check, input + i);
        double error = fabs(numeric - (double)analytic[i]) / largest;
        if (!(error <= TOLERANCE))
            fail_msg("%s[%zu]: backward gives %g, differences give %g", what, i,
                     (double)analytic[i], numeric);
    }
}

void random_floats(float *x, size_t n, uint64_t seed)
{
    fmq_rng_name_t name = {.seed = seed, .purpose = FMQ_RNG_TEST};
    fmq_rng_t rng;
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)fmq_rng_normal(&rng);
}

double nmse(const float *a, const float *b, size_t n)
{
    double error = 0;
    double power = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        error += d * d;
        power += (double)b[i] * (double)b[i];
    }
    if (!(error < INFINITY) || !(power < INFINITY))
        return INFINITY;
    return error == 0 ? 0 : error / fmax(power, 1e-30);
}
