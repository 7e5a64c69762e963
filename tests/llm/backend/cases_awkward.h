/*
 * cases_awkward.h - ops on values that a product of well-behaved weights never
 * shows: infinities and NaN, subnormals, sums that end between two floats, at
 * every size from 1 to a little over two registers of any machine.
 *
 * Their traces are compared with each other, not with the reference, whose
 * double precision rounds and overflows elsewhere.
 */
#ifndef TESTS_BACKEND_CASES_AWKWARD_H
#define TESTS_BACKEND_CASES_AWKWARD_H

#include "cases.h"

extern const case_t awkward_cases[];
extern const size_t awkward_cases_count;

#endif
