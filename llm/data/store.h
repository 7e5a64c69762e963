/*
 * store.h - what the files of this folder may do with records beyond the
 * public header: correct them while they are read, and take them back.
 */
#ifndef FEDMQ_LLM_DATA_STORE_H
#define FEDMQ_LLM_DATA_STORE_H

#include "fedmq/llm/records.h"

/* Forgets the records from size on. */
void llm_records_truncate(llm_records_t *self, size_t size);

/* Corrects a record before it is kept.  Texts that it makes go to made[],
 * one for each field that it may replace, and are freed by the caller.
 * Returns 1 to keep the record, 0 to leave it out, -1 when out of memory. */
typedef int(llm_correction_fn)(llm_record_t *record, char *made[2]);

/* As llm_records_load() with a correction, which may be NULL. */
int llm_records_load_corrected(llm_records_t *self, const char *path, const llm_record_keys_t *keys,
                               llm_correction_fn *correct, fmq_error_t *err);

/* Reads a text file (plain or gzip) whole into records of plain text, without
 * its byte order mark, and with newlines for line ends of Windows. */
int llm_records_load_text(llm_records_t *self, const char *path, fmq_error_t *err);

#endif
