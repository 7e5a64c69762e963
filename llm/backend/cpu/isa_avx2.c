/*
 * isa_avx2.c - the kernels compiled for AVX2+FMA; see CMakeLists.txt for the flags.
 */
#define LLM_CPU_TABLE llm_cpu_avx2
#define LLM_CPU_NAME  "avx2"
#include "llm/backend/cpu/kernels/table.h"
