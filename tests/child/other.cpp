// SPDX-License-Identifier: MIT
// A library that brings an allocator of its own, as programs are linked with: it frees nothing, and
// knows nothing of the blocks of others.
#include <cstddef>
#include <cstdlib>
#include <new>

alignas(4096) static char memory[1 << 20];
static std::size_t used;

static void *take(std::size_t size, std::size_t alignment)
{
    std::size_t start = (used + alignment - 1) / alignment * alignment;
    if (size > sizeof memory - start)
        return nullptr;
    used = start + size;
    return memory + start;
}

static void *take_surely(std::size_t size, std::size_t alignment)
{
    void *block = take(size, alignment);
    if (!block)
        throw std::bad_alloc();
    return block;
}

static void give(void *block)
{
    if (block && (block < memory || block >= memory + sizeof memory))
        std::abort();
}

using std::align_val_t;
using std::nothrow_t;
using std::size_t;

// clang-format off
void *operator new(size_t n) { return take_surely(n, 16); }
void *operator new[](size_t n) { return take_surely(n, 16); }
void *operator new(size_t n, const nothrow_t &) noexcept { return take(n, 16); }
void *operator new[](size_t n, const nothrow_t &) noexcept { return take(n, 16); }
void *operator new(size_t n, align_val_t a) { return take_surely(n, size_t(a)); }
void *operator new[](size_t n, align_val_t a) { return take_surely(n, size_t(a)); }
void *operator new(size_t n, align_val_t a, const nothrow_t &) noexcept { return take(n, size_t(a)); }
void *operator new[](size_t n, align_val_t a, const nothrow_t &) noexcept { return take(n, size_t(a)); }
void operator delete(void *p) noexcept { give(p); }
void operator delete[](void *p) noexcept { give(p); }
void operator delete(void *p, size_t) noexcept { give(p); }
void operator delete[](void *p, size_t) noexcept { give(p); }
void operator delete(void *p, const nothrow_t &) noexcept { give(p); }
void operator delete[](void *p, const nothrow_t &) noexcept { give(p); }
void operator delete(void *p, align_val_t) noexcept { give(p); }
void operator delete[](void *p, align_val_t) noexcept { give(p); }
void operator delete(void *p, size_t, align_val_t) noexcept { give(p); }
void operator delete[](void *p, size_t, align_val_t) noexcept { give(p); }
void operator delete(void *p, align_val_t, const nothrow_t &) noexcept { give(p); }
void operator delete[](void *p, align_val_t, const nothrow_t &) noexcept { give(p); }
// clang-format on
