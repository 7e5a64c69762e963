/*
 * half_avx512bf16.c - the kernels of BF16 activations compiled for AVX-512 with BF16 products; see
 * CMakeLists.txt for the flags.
 */
#define LLM_CPU_HALF_TABLE llm_cpu_half_avx512bf16
#define LLM_CPU_NAME       "avx512bf16"
#include "llm/backend/cpu/kernels/half_table.h"
