/*
 * isa_avx512.c - the kernels compiled for AVX-512; see CMakeLists.txt for the flags.
 */
#define LLM_CPU_TABLE llm_cpu_avx512
#define LLM_CPU_NAME  "avx512"
#include "llm/backend/cpu/kernels/table.h"
