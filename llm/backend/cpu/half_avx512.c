/*
 * half_avx512.c - the kernels of BF16 activations compiled for AVX-512; see
 * CMakeLists.txt for the flags.
 */
#define LLM_CPU_HALF_TABLE llm_cpu_half_avx512
#define LLM_CPU_NAME       "avx512"
#include "llm/backend/cpu/kernels/half_table.h"
