/*
 * checksum.h - notices what a disk or a memory has changed, at the speed of
 * memory.  Against people there are digests (digest.h): a checksum is for bytes
 * that nobody had reason to change.
 */
#ifndef FEDMQ_BASE_CHECKSUM_H
#define FEDMQ_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* 64 bits of size bytes.  Bytes that differ within one aligned word of eight
 * never have the same, others have it once in 2^64.  Not to be kept: other
 * machines compute another one. */
uint64_t fmq_checksum(const void *data, size_t size);

#endif
