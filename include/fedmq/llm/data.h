/*
 * data.h - everything about training data: records, their splits, and the
 * datasets of tokens made from them.  Holds nothing of its own.
 */
#ifndef FEDMQ_LLM_DATA_H
#define FEDMQ_LLM_DATA_H

#include "fedmq/llm/dataset.h"
#include "fedmq/llm/records.h"
#include "fedmq/llm/split.h"

#endif
