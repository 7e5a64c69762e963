/*
 * real.h - elementary functions that give the same bits on every machine.
 *
 * The C library's are as good, but two versions of it, and even one on two
 * processors, may round the last bit differently; what a run draws, schedules
 * and tabulates must not depend on that.  These use additions, multiplications
 * and divisions alone, which IEEE 754 rounds in one way only.  Errors are about
 * one unit in the last place, in fmq_pow() |y| of them at most where y is a whole
 * number and |y log x| where it is not.  Series are those of Taylor; constants are exact or
 * correctly rounded.  NaN, infinities and zeros are treated as the C library does.
 */
#ifndef FMQ_BASE_REAL_H
#define FMQ_BASE_REAL_H

double fmq_log(double x);
double fmq_exp(double x);
double fmq_pow(double x, double y);

/* Accurate up to |x| = 1e8; of larger x the same everywhere, and no more. */
double fmq_sin(double x);
double fmq_cos(double x);

#endif
