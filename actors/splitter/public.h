/*
 * public.h - the server's public records: what an emulator is made and aligned
 * on.  They are the server's own and nobody's shard.
 */
#ifndef FEDMQ_ACTORS_SPLITTER_PUBLIC_H
#define FEDMQ_ACTORS_SPLITTER_PUBLIC_H

#include "actors/settings/settings.h"
#include "fedmq/llm/data.h"

/* Loads llm.offsite_tuning.emu_align.data and splits it into training,
 * validation and test records, the same ones at every call; all three are the
 * caller's.  On failure out is all NULL. */
int fmq_public_load(const fmq_offsite_settings_t *settings, llm_records_t *out[3],
                    fmq_error_t *err);

#endif
