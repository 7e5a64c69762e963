/*
 * half_avx2.c - the kernels of BF16 activations compiled for AVX2+FMA; see
 * CMakeLists.txt for the flags.
 */
#define LLM_CPU_HALF_TABLE llm_cpu_half_avx2
#define LLM_CPU_NAME       "avx2"
#include "llm/backend/cpu/kernels/half_table.h"
