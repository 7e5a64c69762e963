/*
 * main.c - a program of somebody else's that uses libfedmq from base and engine.
 */
#include <stdio.h>

#include <fedmq/base/rng.h>
#include <fedmq/llm/shape.h>

int main(void)
{
    fmq_rng_name_t name = {.seed = 7, .purpose = FMQ_RNG_TEST};
    fmq_rng_t rng;
    fmq_rng_init(&rng, &name);
    const llm_arch_t *arch = llm_arch_find("gpt2");
    if (!arch)
        return 1;
    printf("%08x %s\n", fmq_rng_u32(&rng), arch->hf_class);
    return 0;
}
