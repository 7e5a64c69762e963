/*
 * pcre2.h - the part of PCRE2's interface that adapters use, for machines that
 * lack the library: every expression is refused.  scripts/device-check builds
 * with it; nothing else does.
 */
#ifndef STANDIN_PCRE2_H
#define STANDIN_PCRE2_H

#include <stddef.h>
#include <stdint.h>

#define PCRE2_SIZE            size_t
#define PCRE2_ZERO_TERMINATED ((PCRE2_SIZE)-1)
#define PCRE2_ANCHORED        1U
#define PCRE2_ENDANCHORED     2U
#define PCRE2_UTF             4U

typedef unsigned char PCRE2_UCHAR;
typedef const PCRE2_UCHAR *PCRE2_SPTR;
typedef struct pcre2_code pcre2_code;
typedef struct pcre2_match_data pcre2_match_data;
typedef struct pcre2_match_context pcre2_match_context;

pcre2_code *pcre2_compile(PCRE2_SPTR pattern, PCRE2_SIZE size, uint32_t options, int *code,
                          PCRE2_SIZE *at, void *context);
int pcre2_get_error_message(int code, PCRE2_UCHAR *out, PCRE2_SIZE size);
void pcre2_code_free(pcre2_code *code);
pcre2_match_data *pcre2_match_data_create(uint32_t pairs, void *context);
void pcre2_match_data_free(pcre2_match_data *match);
pcre2_match_context *pcre2_match_context_create(void *context);
void pcre2_match_context_free(pcre2_match_context *limits);
int pcre2_set_match_limit(pcre2_match_context *limits, uint32_t limit);
int pcre2_match(const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE size, PCRE2_SIZE first,
                uint32_t options, pcre2_match_data *match, pcre2_match_context *limits);

#endif
