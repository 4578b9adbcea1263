/* SPDX-License-Identifier: MIT */
/*
 * std::pmr::memory_resource over a pool, header only, C++17. As a pool, it serves one thread at a
 * time.
 *
 *     alignas(16) static unsigned char memory[32 * 1024];
 *     ffalloc::memory_resource resource(memory, sizeof memory);
 *     std::pmr::vector<int> numbers(&resource);
 *
 * do_allocate throws std::bad_alloc if and only if ffalloc_malloc, or ffalloc_aligned_alloc above
 * the granule, returns NULL; compiled without exceptions, it calls std::abort.
 */
#ifndef FFALLOC_PMR_HPP
#define FFALLOC_PMR_HPP

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <new>

#include "ffalloc/ffalloc.h"

namespace ffalloc
{

class memory_resource : public std::pmr::memory_resource
{
  public:
    /* Over a pool that there is; NULL serves nothing. It must outlive the resource. */
    explicit memory_resource(ffalloc_pool *pool) noexcept : pool_(pool)
    {
    }

    /* Over a pool made in `size` bytes at `memory`: pool() is NULL if and only if not one granule
     * fits. */
    memory_resource(void *memory, std::size_t size) noexcept : pool_(ffalloc_init(memory, size))
    {
    }

    ffalloc_pool *pool() const noexcept
    {
        return pool_;
    }

  private:
    void *do_allocate(std::size_t size, std::size_t alignment) override
    {
        void *block = pool_ ? ffalloc_aligned_alloc(pool_, alignment, size) : nullptr;
        if (!block) {
#ifdef __cpp_exceptions
            throw std::bad_alloc();
#else
            std::abort();
#endif
        }
        return block;
    }

    void do_deallocate(void *block, std::size_t, std::size_t) override
    {
        ffalloc_free(pool_, block);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        if (this == &other)
            return true;
        auto *same = of_this_kind(other);
        return same && same->pool_ == pool_;
    }

    /* NULL if it is no memory_resource of ours. Without RTTI the pointer to the virtual functions
     * tells, which objects begin with; then one of a class derived from this is none either. */
    const memory_resource *of_this_kind(const std::pmr::memory_resource &other) const noexcept
    {
#ifdef __cpp_rtti
        return dynamic_cast<const memory_resource *>(&other);
#else
        const void *ours = this;
        const void *theirs = &other;
        bool is_same = std::memcmp(ours, theirs, sizeof(void *)) == 0;
        return is_same ? static_cast<const memory_resource *>(&other) : nullptr;
#endif
    }

    ffalloc_pool *pool_;
};

} // namespace ffalloc

#endif
