/*
 * tensor.cuh - the tensor cores' instructions behind wrappers: mma, ldmatrix
 * and cp.async as PTX for sm_80 and later, and the same in plain C++ for the
 * CPU, with the layouts of the PTX ISA, section "warp level matrix
 * multiply-accumulate".
 *
 * In fragments, lane l has g = l / 4 and t = l % 4.
 */
#ifndef LLM_BACKEND_CUDA_TENSOR_CUH
#define LLM_BACKEND_CUDA_TENSOR_CUH

#include "llm/backend/cuda/device.cuh"

#ifdef LLM_CUDA_EMULATED

namespace emulate
{
struct mma_t {
    float *c;
    const uint32_t *a, *b;
};

/* a0: row g, columns 2t and 2t + 1; a1: row g + 8; a2 and a3: columns + 8.
 * b0: rows 2t and 2t + 1 of column g; b1: rows + 8.  c0, c1: row g, columns
 * 2t and 2t + 1; c2, c3: row g + 8. */
inline void mma(void *const arguments[LANES])
{
    float A[16][16], B[16][8];
    for (unsigned l = 0; l < LANES; l++) {
        const mma_t *lane = (const mma_t *)arguments[l];
        const unsigned g = l / 4, t = l % 4;
        for (unsigned r = 0; r < 4; r++) {
            float *a = &A[g + r % 2 * 8][2 * t + r / 2 * 8];
            a[0] = low_half(lane->a[r]);
            a[1] = high_half(lane->a[r]);
        }
        for (unsigned r = 0; r < 2; r++) {
            B[2 * t + 8 * r][g] = low_half(lane->b[r]);
            B[2 * t + 8 * r + 1][g] = high_half(lane->b[r]);
        }
    }
    for (unsigned l = 0; l < LANES; l++) {
        const mma_t *lane = (const mma_t *)arguments[l];
        const unsigned g = l / 4, t = l % 4;
        for (unsigned r = 0; r < 4; r++) {
            float sum = 0;
            for (unsigned k = 0; k < 16; k++)
                sum += A[g + r / 2 * 8][k] * B[k][2 * t + r % 2];
            lane->c[r] += sum;
        }
    }
}

struct ldmatrix_t {
    const void *row;
    uint32_t *to;
    bool transposed;
};

/* Lane 8 m + i gives the address of row i of matrix m; lane l gets elements
 * 2t and 2t + 1 of row g of each, transposed: of column g. */
inline void ldmatrix(void *const arguments[LANES])
{
    uint16_t rows[32][8];
    for (unsigned l = 0; l < LANES; l++) {
        const ldmatrix_t *lane = (const ldmatrix_t *)arguments[l];
        check_aligned(lane->row, 16, {__FILE__, __LINE__});
        memcpy(rows[l], lane->row, 16);
    }
    for (unsigned l = 0; l < LANES; l++) {
        const ldmatrix_t *lane = (const ldmatrix_t *)arguments[l];
        const unsigned g = l / 4, t = l % 4;
        for (unsigned m = 0; m < 4; m++) {
            const uint16_t low = lane->transposed ? rows[8 * m + 2 * t][g] : rows[8 * m + g][2 * t];
            const uint16_t high =
                lane->transposed ? rows[8 * m + 2 * t + 1][g] : rows[8 * m + g][2 * t + 1];
            lane->to[m] = low | (uint32_t)high << 16;
        }
    }
}
} // namespace emulate

/* C[16][8] += A[16][16] B[16][8] in bf16, summed in float. */
inline void mma(float c[4], const uint32_t a[4], const uint32_t b[2], EMULATE_PLACE)
{
    emulate::mma_t lane = {c, a, b};
    emulate::exchange(emulate::mma, &lane, {file, line});
}

/* Four 8 x 8 matrices of 16-bit elements from shared memory. */
inline void ldmatrix(uint32_t to[4], const bf16 *row, EMULATE_PLACE)
{
    emulate::ldmatrix_t lane = {row, to, false};
    emulate::exchange(emulate::ldmatrix, &lane, {file, line});
}

inline void ldmatrix_transposed(uint32_t to[4], const bf16 *row, EMULATE_PLACE)
{
    emulate::ldmatrix_t lane = {row, to, true};
    emulate::exchange(emulate::ldmatrix, &lane, {file, line});
}

/* 16 bytes from global to shared memory, on their way until they are waited
 * for; not there: 16 zero bytes. */
inline void cp_async(void *to, const void *from, bool there, EMULATE_PLACE)
{
    emulate::fiber_t &fiber = emulate::machine().fibers[emulate::machine().now];
    emulate::check_aligned(to, 16, {file, line});
    emulate::check_aligned(from, 16, {file, line});
    memset(to, 0xff, 16);
    fiber.copies.push_back({to, from, there ? 16u : 0u, there ? 0u : 16u, fiber.groups});
}

inline void cp_async_commit()
{
    emulate::machine().fibers[emulate::machine().now].groups++;
}

/* All groups of this thread's copies but the last pending ones have come. */
template <int PENDING> inline void cp_async_wait()
{
    emulate::fiber_t &fiber = emulate::machine().fibers[emulate::machine().now];
    size_t left = 0;
    for (const emulate::copy_t &copy : fiber.copies) {
        if (copy.group + PENDING >= fiber.groups) {
            fiber.copies[left++] = copy;
            continue;
        }
        memcpy(copy.to, copy.from, copy.bytes);
        memset((char *)copy.to + copy.bytes, 0, copy.zeros);
    }
    fiber.copies.resize(left);
}

#else

DEVICE void mma(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEVICE void ldmatrix(uint32_t to[4], const bf16 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}

DEVICE void ldmatrix_transposed(uint32_t to[4], const bf16 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}

DEVICE void cp_async(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(to)),
                 "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0)
                 : "memory");
}

DEVICE void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int PENDING> DEVICE void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

#endif

#endif
