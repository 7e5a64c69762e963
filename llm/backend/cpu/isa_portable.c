/*
 * isa_portable.c - the kernels compiled for any machine; see CMakeLists.txt for the flags.
 */
#define LLM_CPU_TABLE llm_cpu_portable
#define LLM_CPU_NAME  "portable"
#include "llm/backend/cpu/kernels/table.h"
