/*
 * emulate.h - runs __global__ functions on the CPU, so that a kernel's source
 * is proved on a machine without a GPU.  Tests only; C++.
 *
 * Every thread of a block is a fiber.  A barrier is a place to wait; what a
 * whole warp does together (shuffles, mma, ldmatrix) is done when its last
 * lane has arrived.  What a device leaves open is made as unkind as it may be:
 *   - shared memory holds NaN when a block begins, and the target of a
 *     cp_async until it has been waited for;
 *   - the order of blocks, of warps between barriers and of lanes between warp
 *     operations follows a seed (order()), so that a missing barrier shows;
 *   - threads that wait at different barriers, or lanes that a warp operation
 *     misses, end the program with the places in the source;
 *   - a 16-byte access that is not aligned, or more shared memory than a
 *     device has, does so too.
 * Under AddressSanitizer each shared array is an allocation of its own, and
 * fibers are announced.  There are no atomics: kernels must not use any.
 */
#ifndef LLM_BACKEND_CUDA_EMULATE_H
#define LLM_BACKEND_CUDA_EMULATE_H

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <sys/mman.h>
#include <vector>

#include "llm/backend/cuda/emulate_context.h"

#if defined(__SANITIZE_ADDRESS__)
#define EMULATE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATE_ASAN 1
#endif
#endif
#ifdef EMULATE_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__ static
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1)
        : x(width), y(height), z(depth)
    {
    }
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

namespace emulate
{
constexpr unsigned LANES = 32;
constexpr unsigned THREADS_MAX = 1024;         /* of a block */
constexpr size_t STATIC_SHARED_MAX = 48 << 10; /* bytes, every device */
#ifdef EMULATE_ASAN
constexpr size_t BEHIND = 0; /* the sanitizer watches what lies behind a shared array */
#else
constexpr size_t BEHIND = 128; /* bytes behind a shared array that must stay as they are */
#endif
constexpr size_t DYNAMIC_SHARED_MAX = 227 << 10; /* bytes, an H100 */

/* Where in the source a thread waits. */
struct place_t {
    const char *file;
    int line;
};

enum state_t { RUNNING, AT_BLOCK, AT_WARP, AT_EXCHANGE, DONE };

/* What a warp does together: gets one argument of every lane. */
using exchange_t = void (*)(void *const arguments[LANES]);

struct copy_t {
    void *to;
    const void *from;
    size_t bytes, zeros;
    unsigned group;
};

struct fiber_t {
    context_t context;
    char *stack = nullptr;
    void *fake_stack = nullptr; /* ASan's */
    state_t state = DONE;
    place_t place = {};
    exchange_t exchange = nullptr;
    void *argument = nullptr;
    std::vector<copy_t> copies; /* cp_async that nobody waited for yet */
    unsigned groups = 0;        /* committed ones */
};

struct shared_t {
    const void *key;
    size_t bytes;
    std::unique_ptr<char, void (*)(void *)> memory;
};

/* The order that a thread begins with: FEDMQ_EMULATED_ORDER, or 0. */
inline uint64_t first_order()
{
    const char *said = getenv("FEDMQ_EMULATED_ORDER");
    return said ? strtoull(said, nullptr, 10) : 0;
}

struct machine_t {
    std::vector<fiber_t> fibers;
    context_t home; /* the scheduler's */
    void *home_fake_stack = nullptr;
    const void *home_stack = nullptr;
    size_t home_bytes = 0;
    size_t now = 0, count = 0; /* the running fiber; threads of this block */
    std::function<void()> body;
    std::vector<shared_t> shared;
    std::unique_ptr<char, void (*)(void *)> dynamic{nullptr, free};
    size_t dynamic_bytes = 0;
    uint64_t seed = first_order(), random = 0;

    ~machine_t()
    {
        for (fiber_t &fiber : fibers)
            if (fiber.stack)
                munmap(fiber.stack, STACK_BYTES);
    }
};
/* A thread's own, made when it is first asked for: a pointer, since what has a
 * constructor would be asked for whether it has run, each time. */
inline thread_local machine_t *machine_here = nullptr;

struct machine_owner_t {
    ~machine_owner_t()
    {
        delete machine_here;
        machine_here = nullptr;
    }
};

__attribute__((noinline)) inline void machine_new()
{
    static thread_local machine_owner_t owner;
    (void)&owner;
    machine_here = new machine_t;
}

inline machine_t &machine()
{
    if (!machine_here)
        machine_new();
    return *machine_here;
}

/* The order of blocks, warps and lanes from now on; 0: as they are numbered. */
inline void order(uint64_t seed)
{
    machine().seed = seed;
}

[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fail(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "emulate: block (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z, text);
    abort();
}

inline uint64_t draw()
{
    uint64_t z = machine().random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. n - 1 in the order that the seed asks for: 0 forwards, 1 backwards,
 * then random ones. */
inline void permutation(std::vector<unsigned> &order, size_t n)
{
    order.resize(n);
    for (size_t i = 0; i < n; i++)
        order[i] = (unsigned)(machine().seed == 1 ? n - 1 - i : i);
    if (machine().seed > 1)
        for (size_t i = n; i > 1; i--)
            std::swap(order[i - 1], order[draw() % i]);
}

inline void arrive(fiber_t &fiber)
{
    (void)fiber;
#ifdef EMULATE_ASAN
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &machine().home_stack, &machine().home_bytes);
#endif
}

/* The running fiber waits: back to the scheduler, and here again later. */
inline void leave(state_t state)
{
    fiber_t &fiber = machine().fibers[machine().now];
    fiber.state = state;
#ifdef EMULATE_ASAN
    __sanitizer_start_switch_fiber(&fiber.fake_stack, machine().home_stack, machine().home_bytes);
#endif
    context_switch(fiber.context, machine().home);
    arrive(machine().fibers[machine().now]);
}

inline void fiber_main()
{
    arrive(machine().fibers[machine().now]);
    for (;;) {
        machine().body();
        leave(DONE);
    }
}

inline void resume(size_t index)
{
    fiber_t &fiber = machine().fibers[index];
    machine().now = index;
    unsigned i = (unsigned)index;
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
#ifdef EMULATE_ASAN
    __sanitizer_start_switch_fiber(&machine().home_fake_stack, fiber.stack, STACK_BYTES);
#endif
    context_switch(machine().home, fiber.context);
#ifdef EMULATE_ASAN
    __sanitizer_finish_switch_fiber(machine().home_fake_stack, nullptr, nullptr);
#endif
}

inline void fiber_new(fiber_t &fiber)
{
    void *stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        fail("no memory for a thread's stack");
    mprotect(stack, 4096, PROT_NONE);
    fiber.stack = (char *)stack;
    context_new(fiber.context, fiber.stack, fiber_main);
}

inline bool same(const place_t &a, const place_t &b)
{
    return a.line == b.line && !strcmp(a.file, b.file);
}

/* Fibers first .. last wait for one thing, those that have ended aside: then
 * they go on.  False where one has other business. */
inline bool release(size_t first, size_t last, state_t state)
{
    const fiber_t *waiting = nullptr;
    for (size_t i = first; i < last; i++) {
        const fiber_t &fiber = machine().fibers[i];
        if (fiber.state == DONE)
            continue;
        if (fiber.state != state)
            return false;
        if (waiting && !same(waiting->place, fiber.place))
            fail("threads wait at different barriers: %s:%d and %s:%d", waiting->place.file,
                 waiting->place.line, fiber.place.file, fiber.place.line);
        waiting = &fiber;
    }
    for (size_t i = first; waiting && i < last; i++)
        if (machine().fibers[i].state != DONE)
            machine().fibers[i].state = RUNNING;
    return waiting != nullptr;
}

/* The same for what a warp does together, which needs all of its lanes. */
inline bool release_exchange(size_t first, size_t last)
{
    const fiber_t &leader = machine().fibers[first];
    size_t waiting = 0;
    void *arguments[LANES];
    for (size_t i = first; i < last; i++)
        waiting += machine().fibers[i].state == AT_EXCHANGE;
    if (!waiting)
        return false;
    for (size_t i = first; i < last; i++) {
        const fiber_t &fiber = machine().fibers[i];
        if (fiber.state != AT_EXCHANGE || !same(fiber.place, leader.place) || last - first != LANES)
            fail("a warp operation misses lanes: %zu of 32 are at %s:%d", waiting, fiber.place.file,
                 fiber.place.line);
        arguments[i - first] = fiber.argument;
    }
    leader.exchange(arguments);
    for (size_t i = first; i < last; i++)
        machine().fibers[i].state = RUNNING;
    return true;
}

/* Runs a warp until it waits for other warps, or until the seed has it make
 * way.  Returns whether it did anything. */
inline bool run_warp(size_t first, size_t last)
{
    static thread_local std::vector<unsigned> lanes;
    bool ran = false;
    for (;;) {
        permutation(lanes, last - first);
        for (unsigned lane : lanes)
            if (machine().fibers[first + lane].state == RUNNING) {
                resume(first + lane);
                ran = true;
            }
        if (!release_exchange(first, last) && !release(first, last, AT_WARP))
            return ran;
        if (machine().seed > 1 && machine().seed % 2 && draw() % 8 == 0)
            return true;
    }
}

inline void begin_block()
{
    for (shared_t &shared : machine().shared)
        memset(shared.memory.get(), 0xff, shared.bytes);
    if (machine().dynamic_bytes)
        memset(machine().dynamic.get(), 0xff, machine().dynamic_bytes);
    for (size_t i = 0; i < machine().count; i++) {
        machine().fibers[i].state = RUNNING;
        machine().fibers[i].copies.clear();
        machine().fibers[i].groups = 0;
    }
}

inline bool block_done()
{
    for (size_t i = 0; i < machine().count; i++)
        if (machine().fibers[i].state != DONE)
            return false;
    return true;
}

[[noreturn]] inline void fail_divergent()
{
    const fiber_t *first = nullptr, *other = nullptr;
    for (size_t i = 0; i < machine().count; i++) {
        const fiber_t &fiber = machine().fibers[i];
        if (fiber.state != DONE && !first)
            first = &fiber;
        if (fiber.state != DONE && !same(first->place, fiber.place))
            other = &fiber;
    }
    other = other ? other : first;
    fail("threads wait at different barriers: %s:%d and %s:%d", first->place.file,
         first->place.line, other->place.file, other->place.line);
}

inline void check_behind(const char *memory, size_t bytes)
{
    for (size_t i = 0; memory && i < BEHIND; i++)
        if ((unsigned char)memory[bytes + i] != 0xff)
            fail("a store behind a shared array of %zu bytes", bytes);
}

/* What must be so when all threads of a block have ended. */
inline void end_block()
{
    for (size_t i = 0; i < machine().count; i++)
        if (!machine().fibers[i].copies.empty())
            fail("a thread ended before its cp_async did");
    for (const shared_t &shared : machine().shared)
        check_behind(shared.memory.get(), shared.bytes);
    check_behind(machine().dynamic.get(), machine().dynamic_bytes);
}

inline void run_block()
{
    static thread_local std::vector<unsigned> warps;
    begin_block();
    while (!block_done()) {
        bool ran = false;
        permutation(warps, (machine().count + LANES - 1) / LANES);
        for (unsigned warp : warps) {
            size_t first = (size_t)warp * LANES;
            ran |= run_warp(first, std::min(first + LANES, machine().count));
        }
        if (!block_done() && !release(0, machine().count, AT_BLOCK) && !ran)
            fail_divergent();
    }
    end_block();
}

inline char *aligned_bytes(size_t bytes)
{
    void *memory = nullptr;
    if (posix_memalign(&memory, 128, bytes + BEHIND ? bytes + BEHIND : 1))
        fail("no memory for shared arrays");
    memset(memory, 0xff, bytes + BEHIND);
    return (char *)memory;
}

inline void prepare(dim3 grid, dim3 block, size_t bytes)
{
    gridDim = grid;
    blockDim = block;
    machine().count = (size_t)block.x * block.y * block.z;
    if (!machine().count || machine().count > THREADS_MAX)
        fail("a block of %zu threads", machine().count);
    if (bytes > DYNAMIC_SHARED_MAX)
        fail("%zu bytes of shared memory", bytes);
    if (machine().fibers.size() < machine().count) {
        size_t old = machine().fibers.size();
        machine().fibers.reserve(THREADS_MAX);
        machine().fibers.resize(machine().count);
        for (size_t i = old; i < machine().count; i++)
            fiber_new(machine().fibers[i]);
    }
    machine().shared.clear();
    machine().dynamic.reset(bytes ? aligned_bytes(bytes) : nullptr);
    machine().dynamic_bytes = bytes;
    machine().random = machine().seed * 0xda942042e4dd58b5u;
}

/* Runs kernel(arguments ...) for every block of the grid, one after another. */
template <class... P, class... A>
void launch(dim3 grid, dim3 block, size_t bytes, void (*kernel)(P...), A... arguments)
{
    prepare(grid, block, bytes);
    machine().body = [=] { kernel(static_cast<P>(arguments)...); };
    std::vector<unsigned> blocks;
    permutation(blocks, (size_t)grid.x * grid.y * grid.z);
    for (unsigned b : blocks) {
        blockIdx = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
        run_block();
    }
}

/* A shared array: the same memory for every thread that comes by. */
template <class T> T *shared(const void *key, size_t count)
{
    size_t total = 0;
    for (shared_t &known : machine().shared) {
        if (known.key == key)
            return (T *)known.memory.get();
        total += known.bytes;
    }
    if (total + count * sizeof(T) > STATIC_SHARED_MAX)
        fail("%zu bytes of static shared memory", total + count * sizeof(T));
    machine().shared.push_back({key, count * sizeof(T), {aligned_bytes(count * sizeof(T)), free}});
    return (T *)machine().shared.back().memory.get();
}

/* What the warp does together, at a place of the source. */
inline void exchange(exchange_t what, void *argument, place_t place)
{
    fiber_t &fiber = machine().fibers[machine().now];
    fiber.exchange = what;
    fiber.argument = argument;
    fiber.place = place;
    leave(AT_EXCHANGE);
}

inline void wait(state_t state, place_t place)
{
    machine().fibers[machine().now].place = place;
    leave(state);
}

/* value is given, and answered with that of lane source. */
struct shuffle_t {
    uint64_t value;
    unsigned source;
};

inline void shuffle(void *const arguments[LANES])
{
    uint64_t values[LANES];
    for (unsigned i = 0; i < LANES; i++)
        values[i] = ((shuffle_t *)arguments[i])->value;
    for (unsigned i = 0; i < LANES; i++) {
        shuffle_t *lane = (shuffle_t *)arguments[i];
        lane->value = values[lane->source % LANES];
    }
}

inline void vote(void *const arguments[LANES])
{
    uint64_t votes = 0;
    for (unsigned i = 0; i < LANES; i++)
        votes |= (uint64_t)(*(uint64_t *)arguments[i] != 0) << i;
    for (unsigned i = 0; i < LANES; i++)
        *(uint64_t *)arguments[i] = votes;
}

template <class T> T shuffled(unsigned mask, T value, unsigned source, place_t place)
{
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    if (mask != ~0u)
        fail("a shuffle among some lanes only at %s:%d", place.file, place.line);
    shuffle_t lane = {0, source};
    memcpy(&lane.value, &value, sizeof value);
    exchange(shuffle, &lane, place);
    memcpy(&value, &lane.value, sizeof value);
    return value;
}

inline unsigned lane_index()
{
    return (unsigned)(machine().now % LANES);
}

inline void check_aligned(const void *address, size_t bytes, place_t place)
{
    if ((uintptr_t)address % bytes)
        fail("an access of %zu bytes that is not aligned at %s:%d", bytes, place.file, place.line);
}

} // namespace emulate

#define EMULATE_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATE_PLACE)
{
    emulate::wait(emulate::AT_BLOCK, {file, line});
}

inline void __syncwarp(EMULATE_PLACE)
{
    emulate::wait(emulate::AT_WARP, {file, line});
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes, EMULATE_PLACE)
{
    return emulate::shuffled(mask, value, emulate::lane_index() ^ (unsigned)lanes, {file, line});
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, EMULATE_PLACE)
{
    return emulate::shuffled(mask, value, (unsigned)source, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATE_PLACE)
{
    if (mask != ~0u)
        emulate::fail("a ballot among some lanes only at %s:%d", file, line);
    uint64_t vote = predicate != 0;
    emulate::exchange(emulate::vote, &vote, {file, line});
    return (unsigned)vote;
}

inline int __ffs(int value)
{
    return __builtin_ffs(value);
}

inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

#define SHARED(type, name, count)                                                                  \
    static const char name##_key = 0;                                                              \
    type *name = emulate::shared<type>(&name##_key, count)
#define DYNAMIC_SHARED(type, name) type *name = (type *)emulate::machine().dynamic.get()

#endif
