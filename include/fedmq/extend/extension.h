/*
 * extension.h - what a shared object says that adds methods, rules, samplers, splitters or codecs
 * to fedmq (--load FILE.so; docs/extending.md).
 *
 * It defines one symbol, fmq_extension, which FMQ_EXTENSION begins:
 *
 *     FMQ_EXTENSION("mine", .samplers = samplers);
 *
 * It needs nothing but include/fedmq/, and calls what these headers declare in the program that
 * loads it: it is linked with nothing.  What its lists point to lives as long as the program.  The
 * functions run in the threads of those who ask them, with no lock held; state of their own
 * belongs into what create() makes, never into variables of the file.
 */
#ifndef FEDMQ_EXTEND_EXTENSION_H
#define FEDMQ_EXTEND_EXTENSION_H

#include "fedmq/extend/codec.h"
#include "fedmq/extend/rule.h"
#include "fedmq/extend/sampler.h"
#include "fedmq/extend/splitter.h"
#include "fedmq/extend/strategy.h"

#define FMQ_EXTENSION_SYMBOL "fmq_extension"
#define FMQ_EXTENSION_MAGIC  UINT64_C(0x4e4f49534e545846) /* "FXTNSION" */
#define FMQ_EXTENSION_TABLE  1u /* grows when these headers change what a call means */

/* Sizes of what both sides read and write: another compiler's, or another version's, differ. */
#define FMQ_EXTENSION_SIZES_MAX 16
#define FMQ_EXTENSION_SIZES                                                                        \
    {                                                                                              \
        (uint32_t)sizeof(fmq_extension_t), (uint32_t)sizeof(fmq_strategy_ops_t),                   \
            (uint32_t)sizeof(fmq_rule_t), (uint32_t)sizeof(fmq_sampler_t),                         \
            (uint32_t)sizeof(fmq_splitter_t), (uint32_t)sizeof(fmq_codec_ops_t),                   \
            (uint32_t)sizeof(fmq_strategy_setup_t), (uint32_t)sizeof(fmq_strategy_host_t),         \
            (uint32_t)sizeof(fmq_updates_t), (uint32_t)sizeof(fmq_exchange_t),                     \
            (uint32_t)sizeof(fmq_pass_t), (uint32_t)sizeof(fmq_sections_t),                        \
            (uint32_t)sizeof(fmq_message_report_t), (uint32_t)sizeof(fmq_sampling_t),              \
            (uint32_t)sizeof(llm_split_deal_t), (uint32_t)sizeof(fmq_error_t)                      \
    }

typedef struct {
    uint64_t magic;
    uint32_t table;
    uint32_t sizes[FMQ_EXTENSION_SIZES_MAX];
    const char *name; /* of the whole: a word */
    /* Lists that end with NULL; NULL: none. */
    const fmq_strategy_ops_t *const *strategies;
    const fmq_rule_t *const *rules;
    const fmq_sampler_t *const *samplers;
    const fmq_splitter_t *const *splitters;
    const fmq_codec_ops_t *const *codecs;
    const char *const *keys; /* of fedmq.extension that it reads */
} fmq_extension_t;

#define FMQ_EXTENSION(word, ...)                                                                   \
    extern const fmq_extension_t fmq_extension __attribute__((visibility("default")));             \
    const fmq_extension_t fmq_extension = {.magic = FMQ_EXTENSION_MAGIC,                           \
                                           .table = FMQ_EXTENSION_TABLE,                           \
                                           .sizes = FMQ_EXTENSION_SIZES,                           \
                                           .name = (word),                                         \
                                           __VA_ARGS__}

#endif
