/*
 * real.c - elementary functions in plain double arithmetic: reduce the
 * argument to a short interval, sum a Taylor series there, undo the reduction.
 */
#include "base/real.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* log 2 in two parts; the first has 32 bits, so that a multiple is exact. */
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW  0x1.a39ef35793c76p-33

/* pi / 2 in three parts, of 26 bits, 27 bits and the rest. */
#define HALF_PI_1 0x1.921fb5p+0
#define HALF_PI_2 0x1.110b46p-26
#define HALF_PI_3 0x1.1a62633145c07p-54
#define TWO_PI    0x1.921fb54442d18p+2

/* 1 / (2k + 1), from the last term on: log((1 + s) / (1 - s)) / 2s in s^2. */
static const double atanh_series[] = {1.0 / 25, 1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15,
                                      1.0 / 13, 1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3};

/* e^r - 1 - r over r^2 in r. */
static const double exp_series[] = {
    1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
    1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2};

/* (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 in r^2. */
static const double sin_series[] = {
    1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
    1.0 / 362880,          -1.0 / 5040,          1.0 / 120,        -1.0 / 6};
static const double cos_series[] = {
    1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800,
    1.0 / 40320,          -1.0 / 720,         1.0 / 24};

#define SERIES(terms, x) series(terms, sizeof(terms) / sizeof(terms)[0], x)

static double series(const double *terms, size_t n, double x)
{
    double sum = terms[0];
    for (size_t i = 1; i < n; i++)
        sum = sum * x + terms[i];
    return sum;
}

/* x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt 2); with s = f / (2 + f),
 * log(1 + f) = f - f^2/2 + s (f^2/2 + 2 s^2 (1/3 + s^2/5 + ...)). */
double fmq_log(double x)
{
    if (!(x > 0) || isinf(x))
        return x == 0 ? -INFINITY : x < 0 ? NAN : x;
    int exponent;
    double f = frexp(x, &exponent);
    if (f < 0.70710678118654752) {
        f *= 2;
        exponent--;
    }
    f -= 1;
    double s = f / (2 + f);
    double half = 0.5 * f * f;
    double rest = s * (half + 2 * s * s * SERIES(atanh_series, s * s));
    double e = (double)exponent;
    return e * LN2_HIGH - ((half - (rest + e * LN2_LOW)) - f);
}

/* x = k log 2 + r, |r| <= log 2 / 2. */
double fmq_exp(double x)
{
    if (isnan(x))
        return x;
    if (x > 710)
        return INFINITY;
    if (x < -746)
        return 0;
    double k = floor(x * 1.4426950408889634 + 0.5);
    double high = x - k * LN2_HIGH;
    double low = k * LN2_LOW;
    double r = high - low;
    double lost = (high - r) - low;
    return ldexp(1 + (r + (lost + r * r * SERIES(exp_series, r))), (int)k);
}

/* x^n by squares: exact where it fits. */
static double whole_power(double x, uint64_t n)
{
    double result = 1;
    for (; n; n >>= 1) {
        if (n & 1)
            result *= x;
        x *= x;
    }
    return result;
}

double fmq_pow(double x, double y)
{
    if (y == 0 || x == 1)
        return 1;
    if (isnan(x) || isnan(y))
        return x + y;
    if (fabs(y) < 0x1p53 && floor(y) == y) {
        double power = whole_power(x, (uint64_t)fabs(y));
        return y < 0 ? 1 / power : power;
    }
    if (isinf(y))
        return fabs(x) == 1 ? 1 : (fabs(x) > 1) == (y > 0) ? INFINITY : 0;
    if (x == 0 || isinf(x)) /* y is no odd number: the sign is lost */
        return (x == 0) == (y > 0) ? 0 : INFINITY;
    if (x < 0 && fabs(y) < 0x1p53)
        return NAN;
    return fmq_exp(y * fmq_log(fabs(x))); /* a y of 2^53 and more is even */
}

/* x = quarter pi / 2 + r, |r| <= pi / 4; returns r. */
static double reduced(double x, unsigned *quarter)
{
    if (!(fabs(x) < 1e8))
        x = fmod(x, TWO_PI);
    double n = floor(x * 0.63661977236758134 + 0.5);
    *quarter = isfinite(n) ? (unsigned)((int64_t)n & 3) : 0;
    return ((x - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3;
}

static double sine(double r)
{
    return r + r * (r * r * SERIES(sin_series, r * r));
}

static double cosine(double r)
{
    double square = r * r;
    double half = 0.5 * square;
    double one = 1 - half;
    return one + (((1 - one) - half) + square * square * SERIES(cos_series, square));
}

double fmq_sin(double x)
{
    if (x == 0)
        return x; /* -0 is kept */
    unsigned quarter;
    double r = reduced(x, &quarter);
    double value = quarter % 2 ? cosine(r) : sine(r);
    return quarter & 2 ? -value : value;
}

double fmq_cos(double x)
{
    unsigned quarter;
    double r = reduced(x, &quarter);
    double value = quarter % 2 ? sine(r) : cosine(r);
    return quarter == 1 || quarter == 2 ? -value : value;
}
