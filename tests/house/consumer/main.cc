/*
 * main.cc - the same program in C++: C linkage, and CZMQ's types through actors.h.
 */
#include <cstdio>

#include <fedmq/actors/actors.h>
#include <fedmq/base/rng.h>
#include <fedmq/llm/shape.h>

int main()
{
    fmq_rng_name_t name = {};
    name.seed = 7;
    name.purpose = FMQ_RNG_TEST;
    fmq_rng_t rng;
    fmq_rng_init(&rng, &name);
    const llm_arch_t *arch = llm_arch_find("gpt2");
    zactor_fn *client = fmq_client_actor;
    if (!arch || !client)
        return 1;
    std::printf("%08x %s\n", fmq_rng_u32(&rng), arch->hf_class);
    return 0;
}
