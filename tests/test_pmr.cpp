// SPDX-License-Identifier: MIT
// The C++ memory_resource; with and without exceptions.
#include "ffalloc/pmr.hpp"

#include <cstdint>
#include <cstdio>
#include <list>
#include <string>
#include <vector>

static int failures;

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : (void)(failures++, std::printf("%d: %s\n", __LINE__, #condition)))

alignas(64) static unsigned char memory[8192];

static struct ffalloc_stats stats_of(const ffalloc::memory_resource &resource)
{
    struct ffalloc_stats stats;
    ffalloc_stats(resource.pool(), &stats);
    return stats;
}

static void containers_live_in_the_pool()
{
    ffalloc::memory_resource resource(memory, sizeof memory);
    {
        std::pmr::vector<int> numbers(&resource);
        std::pmr::list<std::pmr::string> words(&resource);
        for (int i = 0; i < 50; i++) {
            numbers.push_back(i);
            words.emplace_back("a word that is too long to be kept inside the string");
        }
        CHECK(ffalloc_owns(resource.pool(), numbers.data()));
        CHECK(ffalloc_owns(resource.pool(), words.back().data()));
        CHECK(stats_of(resource).block_count == 101);
        CHECK(ffalloc_check(resource.pool(), nullptr));
    }
    CHECK(stats_of(resource).block_count == 0);
}

static void alignment_is_respected()
{
    ffalloc::memory_resource resource(memory, sizeof memory);
    for (std::size_t alignment = 1; alignment <= 512; alignment *= 2) {
        void *block = resource.allocate(10, alignment);
        CHECK(reinterpret_cast<std::uintptr_t>(block) % alignment == 0);
        resource.deallocate(block, 10, alignment);
    }
}

static void equal_if_and_only_if_of_one_pool()
{
    ffalloc::memory_resource one(memory, sizeof memory / 2);
    ffalloc::memory_resource other(memory + sizeof memory / 2, sizeof memory / 2);
    CHECK(one == one);
    CHECK(!(one == other));
    CHECK(one == ffalloc::memory_resource(one.pool()));
    CHECK(!(one == *std::pmr::new_delete_resource()));
    CHECK(!(one == *std::pmr::null_memory_resource()));
}

static void exhaustion_throws()
{
#ifdef __cpp_exceptions
    ffalloc::memory_resource resource(memory, sizeof memory);
    ffalloc::memory_resource none(memory, 8);
    bool has_thrown = false;
    try {
        (void)resource.allocate(sizeof memory);
    } catch (const std::bad_alloc &) {
        has_thrown = true;
    }
    CHECK(has_thrown);
    CHECK(none.pool() == nullptr);
#endif
}

int main()
{
    containers_live_in_the_pool();
    alignment_is_respected();
    equal_if_and_only_if_of_one_pool();
    exhaustion_throws();
    std::printf("%d failed\n", failures);
    return failures != 0;
}
