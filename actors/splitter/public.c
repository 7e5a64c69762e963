/*
 * public.c - the server's public records, loaded and split.
 */
#include "actors/splitter/public.h"

#include "actors/splitter/pieces.h"

int fmq_public_load(const fmq_offsite_settings_t *settings, llm_records_t *out[3], fmq_error_t *err)
{
    const llm_records_source_t source = {.root = settings->public_root,
                                         .type = settings->public_type,
                                         .subsample = 1,
                                         .seed = FMQ_SETTINGS_SPLIT_SEED};
    llm_part_t parts[3] = {{0}};
    int rc = -1;
    llm_records_t *records = llm_records_new();
    for (size_t i = 0; i < 3; i++)
        out[i] = NULL;
    if (!records)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    else if (llm_records_load_source(records, &source, err) == 0 &&
             llm_split_three(llm_records_size(records), settings->public_train,
                             settings->public_val, FMQ_SETTINGS_SPLIT_SEED, parts, err) == 0)
        rc = 0;
    for (size_t i = 0; i < 3; i++) {
        if (rc == 0 && (out[i] = fmq_pieces_select(records, &parts[i], err)) == NULL)
            rc = -1;
        llm_part_release(&parts[i]);
    }
    for (size_t i = 0; i < 3 && rc < 0; i++)
        llm_records_destroy(&out[i]);
    llm_records_destroy(&records);
    return rc < 0 ? fmq_error_prefix(err, "llm.offsite_tuning.emu_align.data") : 0;
}
