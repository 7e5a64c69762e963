/*
 * emulate_memory.h - the memory of emulated devices.  Tests only; C++.
 *
 * There are DEVICES of them, each with memory of its own at addresses that the
 * host may not touch: pages can be read and written only while a window on
 * their device is open, which kernels and copies open and nobody else.  What
 * dereferences a device's memory otherwise, or that of another device, ends by
 * SIGSEGV.  Memory is full of NaN when it is given and when it is released, and
 * what was written behind its end is told when it is released.
 *
 * Under AddressSanitizer blocks are the heap's instead, so that it watches
 * their bounds.
 */
#ifndef LLM_BACKEND_CUDA_EMULATE_MEMORY_H
#define LLM_BACKEND_CUDA_EMULATE_MEMORY_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <sys/mman.h>

namespace emulate
{
constexpr int DEVICES = 4;
constexpr size_t MEMORY_BYTES = (size_t)4 << 30; /* of a device, unless the environment says less */
constexpr size_t MEMORY_UNIT = 256;              /* blocks begin at multiples of it */
constexpr unsigned char MEMORY_TAIL = 0xA5;      /* fills a unit behind a block, and its last one */

struct device_t {
    std::mutex lock;
    char *base = nullptr;
    size_t used = 0;  /* bytes from base that were ever given */
    size_t given = 0; /* bytes of all blocks */
    unsigned windows = 0;
    std::map<char *, size_t> blocks; /* bytes as asked for */
    std::map<char *, size_t> gaps;   /* between blocks, merged */
};
inline device_t devices[DEVICES];
inline thread_local int current = 0; /* number of the device that this thread works on */

/* The device that a queue's stream stands for. */
inline device_t &device_of(void *stream)
{
    return stream ? *(device_t *)stream : devices[0];
}

/* What a device has in all: FEDMQ_EMULATED_MEMORY bytes, or MEMORY_BYTES. */
inline size_t memory_bytes()
{
    const char *said = getenv("FEDMQ_EMULATED_MEMORY");
    const size_t bytes = said ? strtoull(said, nullptr, 10) : 0;
    return bytes && bytes < MEMORY_BYTES ? bytes : MEMORY_BYTES;
}

inline size_t block_units(size_t bytes)
{
    return (bytes + 2 * MEMORY_UNIT - 1) / MEMORY_UNIT * MEMORY_UNIT;
}

inline void protect(device_t &device, int how)
{
    if (device.used && mprotect(device.base, (device.used + 4095) / 4096 * 4096, how)) {
        perror("emulate: cannot protect a device's memory");
        abort();
    }
}

inline void window_open(device_t &device)
{
    std::lock_guard<std::mutex> held(device.lock);
    if (device.windows++ == 0)
        protect(device, PROT_READ | PROT_WRITE);
}

inline void window_close(device_t &device)
{
    std::lock_guard<std::mutex> held(device.lock);
    if (--device.windows == 0)
        protect(device, PROT_NONE);
}

/* A place for size bytes: the first gap that has them, or behind all; with the lock. */
inline char *place(device_t &device, size_t size)
{
    for (auto gap = device.gaps.begin(); gap != device.gaps.end(); ++gap) {
        if (gap->second < size)
            continue;
        char *at = gap->first;
        const size_t left = gap->second - size;
        device.gaps.erase(gap);
        if (left)
            device.gaps[at + size] = left;
        return at;
    }
    if (!device.base) {
        void *base = mmap(nullptr, 2 * MEMORY_BYTES, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            return nullptr;
        device.base = (char *)base;
    }
    if (size > 2 * MEMORY_BYTES - device.used)
        return nullptr;
    char *at = device.base + device.used;
    device.used += size;
    if (device.windows)
        protect(device, PROT_READ | PROT_WRITE);
    return at;
}

inline void put_back(device_t &device, char *at, size_t size)
{
    auto next = device.gaps.lower_bound(at);
    if (next != device.gaps.end() && next->first == at + size) {
        size += next->second;
        next = device.gaps.erase(next);
    }
    if (next != device.gaps.begin()) {
        auto before = std::prev(next);
        if (before->first + before->second == at) {
            before->second += size;
            return;
        }
    }
    device.gaps[at] = size;
}

/* NULL when the device has no more memory. */
inline void *memory_new(device_t &device, size_t bytes)
{
    char *at = nullptr;
    {
        std::lock_guard<std::mutex> held(device.lock);
        const size_t total = memory_bytes();
        if (bytes > total || device.given > total - bytes)
            return nullptr;
#ifdef EMULATE_ASAN
        void *memory = nullptr;
        at = posix_memalign(&memory, MEMORY_UNIT, bytes ? bytes : 1) ? nullptr : (char *)memory;
#else
        at = place(device, block_units(bytes));
#endif
        if (!at)
            return nullptr;
        device.blocks[at] = bytes;
        device.given += bytes;
    }
    window_open(device);
    memset(at, 0xff, bytes);
#ifndef EMULATE_ASAN
    memset(at + bytes, MEMORY_TAIL, block_units(bytes) - bytes);
#endif
    window_close(device);
    return at;
}

inline bool tail_is_whole(const char *at, size_t bytes)
{
    for (size_t i = bytes; i < block_units(bytes); i++)
        if ((unsigned char)at[i] != MEMORY_TAIL)
            return false;
    return true;
}

/* Memory of whichever device. */
inline void memory_release(void *memory)
{
    for (device_t &device : devices) {
        size_t bytes;
        {
            std::lock_guard<std::mutex> held(device.lock);
            auto block = device.blocks.find((char *)memory);
            if (block == device.blocks.end())
                continue;
            bytes = block->second;
            device.blocks.erase(block);
            device.given -= bytes;
        }
#ifdef EMULATE_ASAN
        free(memory);
#else
        window_open(device);
        const bool whole = tail_is_whole((char *)memory, bytes);
        memset(memory, 0xff, bytes);
        window_close(device);
        if (!whole) {
            fprintf(stderr, "emulate: something wrote behind %zu bytes of a device\n", bytes);
            abort();
        }
        std::lock_guard<std::mutex> held(device.lock);
        put_back(device, (char *)memory, block_units(bytes));
#endif
        return;
    }
    if (memory) {
        fprintf(stderr, "emulate: what is no device's memory is released\n");
        abort();
    }
}

/* Do so many bytes from there lie in one block of the device? */
inline bool memory_holds(device_t &device, const char *at, size_t bytes)
{
    std::lock_guard<std::mutex> held(device.lock);
    auto behind = device.blocks.upper_bound((char *)at);
    if (behind == device.blocks.begin())
        return false;
    const auto block = std::prev(behind);
    const size_t before = (size_t)(at - block->first);
    return before <= block->second && bytes <= block->second - before;
}

inline size_t memory_free(device_t &device)
{
    std::lock_guard<std::mutex> held(device.lock);
    const size_t total = memory_bytes();
    return device.given < total ? total - device.given : 0;
}
} // namespace emulate

#endif
