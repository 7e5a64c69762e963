/*
 * fill.c - see fill.h.
 */
#include "llm/backend/fill.h"

#define PIECE 4096 /* floats uploaded at a time, at most */

void llm_backend_fill(llm_backend_t *be, float *to, size_t n, float value)
{
    float piece[PIECE];
    size_t most = n < PIECE ? n : PIECE;
    for (size_t i = 0; i < most; i++)
        piece[i] = value;
    for (size_t at = 0; at < n; at += most)
        be->ops->upload(be, to + at, piece, (n - at < most ? n - at : most) * sizeof *piece);
}
