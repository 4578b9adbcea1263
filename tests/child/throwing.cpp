// SPDX-License-Identifier: MIT
// A module in C++ for a program that is none: the C++ library comes with it, and is not the
// program's.
#include <cstdint>
#include <new>

extern "C" int throwing_check();

static volatile std::size_t huge = SIZE_MAX / 2 + 1;

// How many of three things are as they should be.
extern "C" int throwing_check()
{
    int right = 0;
    try {
        operator delete(operator new(huge));
    } catch (const std::bad_alloc &) {
        right++;
    }
    std::set_new_handler([] { throw 1; });
    try {
        operator delete(operator new(huge));
    } catch (int) {
        right++;
    }
    right += !operator new(huge, std::nothrow);
    std::set_new_handler(nullptr);
    return right;
}
