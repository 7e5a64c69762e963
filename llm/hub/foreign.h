/*
 * foreign.h - says what a file or directory is that holds a model in a form
 * which is not read here, and what to do about it.
 *
 * Private to the engine.  Looks at names and at first bytes; reads no model.
 */
#ifndef FEDMQ_LLM_HUB_FOREIGN_H
#define FEDMQ_LLM_HUB_FOREIGN_H

#include <stdbool.h>

#define LLM_FOREIGN_MAX 512

/* True, with "'x.gguf' is a GGUF file (...); ...", when path is such a file, or
 * a directory with such files and no model.safetensors. */
bool llm_foreign_describe(const char *path, char out[LLM_FOREIGN_MAX]);

#endif
