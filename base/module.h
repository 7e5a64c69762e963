/*
 * module.h - a symbol of a shared object that is loaded while the program runs.
 */
#ifndef FEDMQ_BASE_MODULE_H
#define FEDMQ_BASE_MODULE_H

#include "fedmq/base/error.h"

/* Loads file, as dlopen() finds it, for as long as the process lives, and gives the address of a
 * symbol of its own.  -1 with why, for who says what it was about: FMQ_ERR_UNSUPPORTED when it
 * cannot be loaded, FMQ_ERR_MISMATCH when it has no such symbol. */
int fmq_module_symbol(const char *file, const char *symbol, void **out, fmq_error_t *why);

#endif
