/*
 * panels.c - the memory of frozen weights, and what lies where in it.
 *
 * A panel holds `width` outputs side by side for every input.  Panels lie a
 * little further apart than they are long, so that the pieces of successive
 * panels that backward reads together do not fall into the same cache sets.
 */
#include "llm/backend/cpu/cpu.h"

#include <stdlib.h>

#include "llm/backend/half.h"

/* Between two panels.  Those of codes lie close: few bytes are the point of them. */
static size_t panel_size(llm_matrix_form_t form, size_t in, size_t width)
{
    size_t rows = llm_cpu_pieces(in, 32 / llm_form_bits(form));
    return (form <= LLM_FORM_BF16 ? llm_cpu_padded(rows, width) : rows) * width;
}

llm_matrix_t *llm_cpu_matrix_allocate(const llm_cpu_t *cpu, llm_matrix_form_t form, size_t out,
                                      size_t in)
{
    size_t width = cpu->kernels->width;
    if (out > SIZE_MAX / 64 || in > SIZE_MAX / 64 / width)
        return NULL;
    size_t count = llm_cpu_pieces(out, width);
    size_t panel = panel_size(form, in, width);
    if (count && panel > SIZE_MAX / sizeof(float) / count)
        return NULL;
    llm_matrix_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    *self = (llm_matrix_t){.form = form, .out = out, .in = in, .width = width, .panel = panel};
    self->bytes = count * panel * sizeof(float);
    void *memory = llm_cpu_allocate(self->bytes);
    if (form == LLM_FORM_F32)
        self->panels = memory;
    else
        self->words = memory;
    if (!memory) {
        free(self);
        return NULL;
    }
    return self;
}

size_t llm_cpu_read(float *to, const llm_matrix_t *w, const llm_cpu_stored_t *from, size_t panel,
                    size_t i, size_t rows)
{
    float row[LLM_CPU_WIDTH_MAX];
    size_t o = panel * w->width;
    size_t columns = llm_cpu_min(w->width, w->out - o);
    for (size_t c = 0; !from->input_major && c < columns; c++)
        llm_floats_at(to + c * LLM_FORM_GROUP, from->data, from->dtype, (o + c) * w->in + i, rows);
    for (size_t r = 0; from->input_major && r < rows; r++) {
        llm_floats_at(row, from->data, from->dtype, (i + r) * w->out + o, columns);
        for (size_t c = 0; c < columns; c++)
            to[c * LLM_FORM_GROUP + r] = row[c];
    }
    return columns;
}
