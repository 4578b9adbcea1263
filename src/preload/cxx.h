/* SPDX-License-Identifier: MIT */
/* The forms of C++'s operator new and delete as C sees them, under the names of the Itanium C++
 * ABI. */
#ifndef FFALLOC_PRELOAD_CXX_H
#define FFALLOC_PRELOAD_CXX_H

#include <stddef.h>

#if __SIZEOF_SIZE_T__ == 8
#define SIZE_T "m"
#else
#define SIZE_T "j"
#endif
#define ALIGN_VAL "St11align_val_t"
#define NOTHROW   "RKSt9nothrow_t"

#define NEW                       "_Znw" SIZE_T
#define NEW_ARRAY                 "_Zna" SIZE_T
#define NEW_ALIGNED               NEW ALIGN_VAL
#define NEW_ARRAY_ALIGNED         NEW_ARRAY ALIGN_VAL
#define NEW_NOTHROW               NEW NOTHROW
#define NEW_ARRAY_NOTHROW         NEW_ARRAY NOTHROW
#define NEW_ALIGNED_NOTHROW       NEW_ALIGNED NOTHROW
#define NEW_ARRAY_ALIGNED_NOTHROW NEW_ARRAY_ALIGNED NOTHROW

void *new_plain(size_t size) __asm__(NEW);
void *new_array(size_t size) __asm__(NEW_ARRAY);
void *new_aligned(size_t size, size_t alignment) __asm__(NEW_ALIGNED);
void *new_array_aligned(size_t size, size_t alignment) __asm__(NEW_ARRAY_ALIGNED);
void *new_nothrow(size_t size, const void *tag) __asm__(NEW_NOTHROW);
void *new_array_nothrow(size_t size, const void *tag) __asm__(NEW_ARRAY_NOTHROW);
void *new_aligned_nothrow(size_t size, size_t alignment,
                          const void *tag) __asm__(NEW_ALIGNED_NOTHROW);
void *new_array_aligned_nothrow(size_t size, size_t alignment,
                                const void *tag) __asm__(NEW_ARRAY_ALIGNED_NOTHROW);

void delete_plain(void *block) __asm__("_ZdlPv");
void delete_array(void *block) __asm__("_ZdaPv");
void delete_sized(void *block, size_t size) __asm__("_ZdlPv" SIZE_T);
void delete_array_sized(void *block, size_t size) __asm__("_ZdaPv" SIZE_T);
void delete_nothrow(void *block, const void *tag) __asm__("_ZdlPv" NOTHROW);
void delete_array_nothrow(void *block, const void *tag) __asm__("_ZdaPv" NOTHROW);
void delete_aligned(void *block, size_t alignment) __asm__("_ZdlPv" ALIGN_VAL);
void delete_array_aligned(void *block, size_t alignment) __asm__("_ZdaPv" ALIGN_VAL);
void delete_aligned_sized(void *block, size_t size,
                          size_t alignment) __asm__("_ZdlPv" SIZE_T ALIGN_VAL);
void delete_array_aligned_sized(void *block, size_t size,
                                size_t alignment) __asm__("_ZdaPv" SIZE_T ALIGN_VAL);
void delete_aligned_nothrow(void *block, size_t alignment,
                            const void *tag) __asm__("_ZdlPv" ALIGN_VAL NOTHROW);
void delete_array_aligned_nothrow(void *block, size_t alignment,
                                  const void *tag) __asm__("_ZdaPv" ALIGN_VAL NOTHROW);

#endif
