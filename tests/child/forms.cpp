// SPDX-License-Identifier: MIT
// Every form of operator new and delete, by the standard's rules. The same program runs with glibc
// and libstdc++ alone, so that a rule written down wrongly here fails there.
//
//   forms all | failing | handled
//   forms wrong-HOW | near-HOW     a size told back is wrong by 100, or by 1; HOW: see free_wrongly
//
// With FORMS_REPLACED the program has two forms of its own, which the others must rest on.
// No handler is called there.
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <malloc.h>
#include <new>
#include <thread>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

extern "C" { // C23's
__attribute__((weak)) void free_sized(void *block, std::size_t size);
__attribute__((weak)) void free_aligned_sized(void *block, std::size_t alignment, std::size_t size);
}

using std::align_val_t;
using std::nothrow;
using std::size_t;

static volatile size_t huge = SIZE_MAX / 2 + 1;
static volatile size_t size = 100;

#ifdef FORMS_REPLACED
static int own_news;
static int own_deletes;

void *operator new(size_t wanted)
{
    own_news++;
    void *block = std::malloc(wanted);
    if (!block)
        throw std::bad_alloc();
    return block;
}

void operator delete(void *block) noexcept
{
    own_deletes++;
    std::free(block);
}
#endif

// A block that malloc's family knows.
static void check(void *block, size_t alignment)
{
    CHECK(block && reinterpret_cast<uintptr_t>(block) % alignment == 0);
    CHECK(malloc_usable_size(block) >= size);
    std::memset(block, 0xee, size);
}

static void all_forms()
{
    constexpr align_val_t aligned{256};
    void *block = operator new(size);
    check(block, 16);
    operator delete(block);
    check(block = operator new(size), 16);
    operator delete(block, size);
    check(block = operator new(size, nothrow), 16);
    operator delete(block, nothrow);
    check(block = operator new[](size), 16);
    operator delete[](block);
    check(block = operator new[](size), 16);
    operator delete[](block, size);
    check(block = operator new[](size, nothrow), 16);
    operator delete[](block, nothrow);
#ifdef FORMS_REPLACED
    CHECK(own_news == 6 && own_deletes == 6);
#endif
    check(block = operator new(size, aligned), 256);
    operator delete(block, aligned);
    check(block = operator new(size, aligned), 256);
    operator delete(block, size, aligned);
    check(block = operator new(size, aligned, nothrow), 256);
    operator delete(block, aligned, nothrow);
    check(block = operator new[](size, aligned), 256);
    operator delete[](block, aligned);
    check(block = operator new[](size, aligned), 256);
    operator delete[](block, size, aligned);
    check(block = operator new[](size, aligned, nothrow), 256);
    operator delete[](block, aligned, nothrow);
    operator delete(nullptr);
    operator delete[](nullptr, size, aligned);
    void *none = operator new(0);
    CHECK(none && none != (block = operator new(0)));
    operator delete(none);
    operator delete(block);
}

template <typename Exception, typename Call> static bool throws(Call call)
{
    try {
        call();
    } catch (const Exception &) {
        return true;
    }
    return false;
}

static void failing_forms()
{
    constexpr align_val_t aligned{64};
    CHECK(throws<std::bad_alloc>([] { return operator new(huge); }));
    CHECK(throws<std::bad_alloc>([] { return operator new[](huge); }));
    CHECK(throws<std::bad_alloc>([] { return operator new(huge, aligned); }));
    CHECK(throws<std::bad_alloc>([] { return operator new[](huge, aligned); }));
    CHECK(!operator new(huge, nothrow) && !operator new[](huge, nothrow));
    CHECK(!operator new(huge, aligned, nothrow) && !operator new[](huge, aligned, nothrow));
}

#ifndef FORMS_REPLACED
static int handled;

static void give_up_at_last()
{
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

struct Refusal {
};

static void refuse()
{
    handled++;
    throw Refusal();
}

static void handled_forms()
{
    constexpr align_val_t aligned{64};
    std::set_new_handler(give_up_at_last);
    CHECK(throws<std::bad_alloc>([] { return operator new(huge); }) && handled == 3);
    std::set_new_handler(give_up_at_last);
    handled = 0;
    CHECK(!operator new(huge, nothrow) && handled == 3);
    std::set_new_handler(refuse);
    handled = 0;
    CHECK(throws<Refusal>([] { return operator new(huge); }) && handled == 1);
    CHECK(throws<Refusal>([] { return operator new[](huge, aligned); }) && handled == 2);
    CHECK(!operator new(huge, nothrow) && handled == 3);
    CHECK(!operator new[](huge, nothrow) && handled == 4);
    CHECK(!operator new(huge, aligned, nothrow) && handled == 5);
    CHECK(!operator new[](huge, aligned, nothrow) && handled == 6);
}
#endif

// Tells another size than was asked for, to the function that is named.
static void free_wrongly(const char *how, size_t told)
{
    if (std::strcmp(how, "size") == 0)
        operator delete(operator new(size), told);
    if (std::strcmp(how, "array-size") == 0)
        operator delete[](operator new[](size), told);
    if (std::strcmp(how, "aligned-size") == 0)
        operator delete(operator new(size, align_val_t(64)), told, align_val_t(64));
    if (std::strcmp(how, "free-sized") == 0 && free_sized)
        free_sized(std::malloc(size), told);
    if (std::strcmp(how, "free-aligned-sized") == 0 && free_aligned_sized)
        free_aligned_sized(std::aligned_alloc(64, size), 64, told);
    if (std::strcmp(how, "in-thread") == 0)
        std::thread([told] { operator delete(operator new(size), told); }).join();
}

int main(int argc, char **argv)
{
    if (argc > 1 && std::strcmp(argv[1], "all") == 0)
        all_forms();
    if (argc > 1 && std::strcmp(argv[1], "failing") == 0)
        failing_forms();
#ifndef FORMS_REPLACED
    if (argc > 1 && std::strcmp(argv[1], "handled") == 0)
        handled_forms();
#endif
    if (argc > 1 && std::strncmp(argv[1], "wrong-", 6) == 0)
        free_wrongly(argv[1] + 6, size + 100);
    if (argc > 1 && std::strncmp(argv[1], "near-", 5) == 0)
        free_wrongly(argv[1] + 5, size + 1);
    std::puts("end");
}
