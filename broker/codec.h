/*
 * codec.h - runs of 32-bit floats as bytes of a codec, and back.
 *
 * Those that everybody has are little-endian.  f16 is IEEE 754 binary16, bf16 the upper half
 * of binary32; both round to nearest, ties to even.  Neither direction passes
 * on a NaN or an infinity: such a value is reported, not hidden.
 */
#ifndef FEDMQ_BROKER_CODEC_H
#define FEDMQ_BROKER_CODEC_H

#include "fedmq/broker/state.h"
#include "fedmq/extend/codec.h"

/* The codec of that number for states of schema (NULL: those that everybody has); NULL: not
 * known. */
const fmq_codec_ops_t *fmq_codec_of(const fmq_schema_t *schema, uint32_t number);

#endif
