/* SPDX-License-Identifier: MIT */
/*
 * C++'s operator new and delete, all forms: else a program that brings another allocator would
 * allocate there and free here.
 *
 * What the standard says that the default forms do: each rests on another, down to the plain two,
 * which call malloc and free. All of these calls can be replaced by the program, so that one which
 * has replaced a form gets the calls of all that rest on it.
 *
 * Where there is no memory the program's new_handler is called, and without one std::bad_alloc is
 * thrown: by the functions of the C++ library, which a process that calls operator new has. Only
 * C++ can catch what a handler throws, so that the forms that throw nothing leave this case to
 * those of the C++ library, which call the plain ones here.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "cxx.h"
#include "request.h"

#define REPLACEABLE __attribute__((weak, visibility("default")))

/* Where the program called an exported function that this stands in. */
#define SITE __builtin_return_address(0)

/* The library's own definitions, whatever the program calls by these names. */
#define HERE(name) __attribute__((alias(name), visibility("hidden")))
extern __typeof__(new_plain) new_plain_here HERE(NEW);
extern __typeof__(new_array) new_array_here HERE(NEW_ARRAY);
extern __typeof__(new_aligned) new_aligned_here HERE(NEW_ALIGNED);
extern __typeof__(new_array_aligned) new_array_aligned_here HERE(NEW_ARRAY_ALIGNED);

extern __typeof__(delete_plain) delete_plain_here HERE("_ZdlPv");
extern __typeof__(delete_array) delete_array_here HERE("_ZdaPv");
extern __typeof__(delete_aligned) delete_aligned_here HERE("_ZdlPv" ALIGN_VAL);
extern __typeof__(delete_array_aligned) delete_array_aligned_here HERE("_ZdaPv" ALIGN_VAL);

/* The compiler does not know that two names may be one function's. */
#define IS_HERE(name)                                                                              \
    ({                                                                                             \
        void *called = (void *)(name);                                                             \
        __asm__("" : "+r"(called));                                                                \
        called == (void *)name##_here;                                                             \
    })

/* The C++ library --------------------------------------------------------------------------- */

/* The library that an address lies in; NULL for the program itself, or if it cannot be had. */
static void *library_at(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) != 0 ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

/* What a library, or one that it needs, calls by this name; NULL if nothing. */
static void *find_in(void *library, const char *name)
{
    void *function = library ? dlsym(library, name) : NULL;
    if (library)
        dlclose(library);
    return function;
}

/* A function that only the C++ library has; NULL without one. The program need not know of that
 * which a plugin came with: the call of new then comes from there. */
static void *library_function(const char *name, const void *site)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    return function ? function : find_in(library_at(site), name);
}

/* The program's new_handler, NULL if there is none. */
static void *get_handler(const void *site)
{
    void *(*get)(void) = (void *(*)(void))library_function("_ZSt15get_new_handlerv", site);
    return get ? get() : NULL;
}

/* What operator new does where there is no handler: the object has a pointer to its functions,
 * which stand third in their table, and nothing else. Returns if there is no C++ library. */
static void throw_bad_alloc(const void *site)
{
    void *allocate = library_function("__cxa_allocate_exception", site);
    void *raise = library_function("__cxa_throw", site);
    void *table = library_function("_ZTVSt9bad_alloc", site);
    void *type = library_function("_ZTISt9bad_alloc", site);
    void *destroy = library_function("_ZNSt9bad_allocD1Ev", site);
    if (!allocate || !raise || !table || !type || !destroy)
        return;
    void **exception = ((void *(*)(size_t))allocate)(sizeof(void *));
    *exception = (void **)table + 2;
    ((void (*)(void *, void *, void *))raise)(exception, type, destroy);
}

/* Without memory for `size` bytes: returns after a call of the handler, or not at all. */
static void handle(size_t size, const void *site)
{
    void (*handler)(void) = (void (*)(void))get_handler(site);
    if (handler) {
        handler();
        return;
    }
    throw_bad_alloc(site);
    heap_message("operator new(%zu) failed, and no C++ library is there to throw std::bad_alloc",
                 size);
    abort();
}

/* new --------------------------------------------------------------------------------------- */

/* An alignment of 0 is malloc's. */
static inline void *allocate(size_t size, size_t alignment)
{
    return alignment ? aligned_alloc(alignment, size) : malloc(size);
}

__attribute__((noinline)) static void *allocate_recorded(size_t size, size_t alignment,
                                                         struct caller caller)
{
    return alignment ? request_aligned("operator new", alignment, size, caller)
                     : request("operator new", size, caller);
}

/* The call site in a trace, and of a guard, is that of new, where malloc would name this file. */
__attribute__((always_inline)) static inline void *allocate_for(size_t size, size_t alignment,
                                                                struct caller caller)
{
    if (__builtin_expect(heap.has_sites, 0) && IS_HERE(malloc))
        return allocate_recorded(size, alignment, caller);
    return allocate(size, alignment);
}

__attribute__((noinline)) static void *insist(size_t size, size_t alignment, const void *site)
{
    void *block;
    do {
        handle(size, site);
        block = allocate(size, alignment);
    } while (!block);
    return block;
}

REPLACEABLE void *new_plain(size_t size)
{
    void *block = allocate_for(size, 0, CALLER);
    return likely(block) ? block : insist(size, 0, SITE);
}

REPLACEABLE void *new_aligned(size_t size, size_t alignment)
{
    void *block = allocate_for(size, alignment, CALLER);
    return likely(block) ? block : insist(size, alignment, SITE);
}

REPLACEABLE void *new_array(size_t size)
{
    return new_plain(size);
}

REPLACEABLE void *new_array_aligned(size_t size, size_t alignment)
{
    return new_aligned(size, alignment);
}

/* new that throws nothing ------------------------------------------------------------------- */

/* To the C++ library's own definition of the form. */
static void *leave_to_library(const char *name, size_t size, size_t alignment, const void *tag,
                              const void *site)
{
    void *known = library_function("_ZSt15get_new_handlerv", site);
    void *form = known ? find_in(library_at(known), name) : NULL;
    if (!form)
        return NULL;
    return alignment ? ((void *(*)(size_t, size_t, const void *))form)(size, alignment, tag)
                     : ((void *(*)(size_t, const void *))form)(size, tag);
}

REPLACEABLE void *new_nothrow(size_t size, const void *tag)
{
    if (!IS_HERE(new_plain))
        return leave_to_library(NEW_NOTHROW, size, 0, tag, SITE);
    void *block = allocate_for(size, 0, CALLER);
    return likely(block) || !get_handler(SITE) ? block
                                               : leave_to_library(NEW_NOTHROW, size, 0, tag, SITE);
}

REPLACEABLE void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    if (!IS_HERE(new_aligned))
        return leave_to_library(NEW_ALIGNED_NOTHROW, size, alignment, tag, SITE);
    void *block = allocate_for(size, alignment, CALLER);
    return likely(block) || !get_handler(SITE)
               ? block
               : leave_to_library(NEW_ALIGNED_NOTHROW, size, alignment, tag, SITE);
}

REPLACEABLE void *new_array_nothrow(size_t size, const void *tag)
{
    return IS_HERE(new_array) ? new_nothrow(size, tag)
                              : leave_to_library(NEW_ARRAY_NOTHROW, size, 0, tag, SITE);
}

REPLACEABLE void *new_array_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    return IS_HERE(new_array_aligned)
               ? new_aligned_nothrow(size, alignment, tag)
               : leave_to_library(NEW_ARRAY_ALIGNED_NOTHROW, size, alignment, tag, SITE);
}

/* delete ------------------------------------------------------------------------------------ */

/* The program may put something of its own into blocks, unless every new is ours; and what deletes
 * without a size is the program's to replace. */
void heap_start_cxx(void)
{
    heap.has_own_forms = IS_HERE(malloc) && IS_HERE(free) && IS_HERE(new_plain) &&
                         IS_HERE(new_array) && IS_HERE(new_aligned) && IS_HERE(new_array_aligned) &&
                         IS_HERE(delete_plain) && IS_HERE(delete_array) &&
                         IS_HERE(delete_aligned) && IS_HERE(delete_array_aligned);
}

REPLACEABLE void delete_plain(void *block)
{
    free(block);
}

REPLACEABLE void delete_array(void *block)
{
    delete_plain(block);
}

REPLACEABLE void delete_aligned(void *block, size_t alignment)
{
    (void)alignment;
    free(block);
}

REPLACEABLE void delete_array_aligned(void *block, size_t alignment)
{
    delete_aligned(block, alignment);
}

REPLACEABLE void delete_sized(void *block, size_t size)
{
    if (likely(heap.has_own_forms))
        heap_free_sized("operator delete", block, size);
    else
        delete_plain(block);
}

REPLACEABLE void delete_array_sized(void *block, size_t size)
{
    if (likely(heap.has_own_forms))
        heap_free_sized("operator delete", block, size);
    else
        delete_array(block);
}

REPLACEABLE void delete_aligned_sized(void *block, size_t size, size_t alignment)
{
    if (likely(heap.has_own_forms))
        heap_free_sized("operator delete", block, size);
    else
        delete_aligned(block, alignment);
}

REPLACEABLE void delete_array_aligned_sized(void *block, size_t size, size_t alignment)
{
    if (likely(heap.has_own_forms))
        heap_free_sized("operator delete", block, size);
    else
        delete_array_aligned(block, alignment);
}

REPLACEABLE void delete_nothrow(void *block, const void *tag)
{
    (void)tag;
    delete_plain(block);
}

REPLACEABLE void delete_array_nothrow(void *block, const void *tag)
{
    (void)tag;
    delete_array(block);
}

REPLACEABLE void delete_aligned_nothrow(void *block, size_t alignment, const void *tag)
{
    (void)tag;
    delete_aligned(block, alignment);
}

REPLACEABLE void delete_array_aligned_nothrow(void *block, size_t alignment, const void *tag)
{
    (void)tag;
    delete_array_aligned(block, alignment);
}
