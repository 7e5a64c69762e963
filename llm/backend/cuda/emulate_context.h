/*
 * emulate_context.h - computations that one thread of the CPU begins, leaves and
 * goes on with: what the emulation's fibers stand on.
 */
#ifndef LLM_BACKEND_CUDA_EMULATE_CONTEXT_H
#define LLM_BACKEND_CUDA_EMULATE_CONTEXT_H

#include <cstddef>
#include <cstring>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulate
{
constexpr size_t STACK_BYTES = 512 << 10; /* of a computation; taken as it is touched */

#if defined(__x86_64__)
/* A suspended computation is its stack: what a call keeps lies on top of it.
 * swapcontext() would do, at two system calls a switch. */
struct context_t {
    void *stack;
};
extern "C" void llm_emulate_switch(void **from, void *to);
__asm__(".pushsection .text.llm_emulate_switch,\"ax\",@progbits\n"
        ".weak llm_emulate_switch\n"
        ".hidden llm_emulate_switch\n"
        ".type llm_emulate_switch, @function\n"
        "llm_emulate_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\n"
        "movq %rsi, %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\n"
        "ret\n"
        ".size llm_emulate_switch, .-llm_emulate_switch\n"
        ".popsection\n");

inline void context_new(context_t &context, char *stack, void (*entry)())
{
    void **top = (void **)(stack + STACK_BYTES) - 8;
    memset(top, 0, 8 * sizeof *top);
    top[6] = (void *)entry; /* below six registers; then the stack is as after a call */
    context.stack = top;
}

inline void context_switch(context_t &from, const context_t &to)
{
    llm_emulate_switch(&from.stack, to.stack);
}
#else
struct context_t {
    ucontext_t context;
};

inline void context_new(context_t &context, char *stack, void (*entry)())
{
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = STACK_BYTES;
    context.context.uc_link = nullptr;
    makecontext(&context.context, entry, 0);
}

inline void context_switch(context_t &from, const context_t &to)
{
    swapcontext(&from.context, &to.context);
}
#endif
} // namespace emulate

#endif
