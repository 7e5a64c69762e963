/*
 * half_portable.c - the kernels of BF16 activations compiled for any machine; see
 * CMakeLists.txt for the flags.
 */
#define LLM_CPU_HALF_TABLE llm_cpu_half_portable
#define LLM_CPU_NAME       "portable"
#include "llm/backend/cpu/kernels/half_table.h"
