/* SPDX-License-Identifier: MIT */
/*
 * What lies behind blocks and in freed memory, if FFALLOC_GUARD, FFALLOC_QUARANTINE or FFALLOC_FILL
 * says so (src/guard/guard.h has the layout and what must hold): guards, the fill of freed memory,
 * and blocks that wait in a shard's quarantine before they are freed.
 *
 * A block that waits is a live one to the core. Its guard says that it waits, what was asked for in
 * it is filled, and it is freed when the blocks that were freed after it take FFALLOC_QUARANTINE
 * bytes, or when a request fails.
 *
 * Under Valgrind's memcheck and AddressSanitizer guards and quarantine have a size by default: they
 * see a write beyond a block only where no other block lies. There the tool says what is wrong, and
 * nothing is filled or verified here.
 *
 * All of these run with the shard's lock held; what is damaged is told without it (damage.h).
 */
#ifndef FFALLOC_PRELOAD_GUARDS_H
#define FFALLOC_PRELOAD_GUARDS_H

#include "../guard/guard.h"
#include "annotate.h"
#include "damage.h"
#include "ffalloc/ffalloc.h"
#include "quarantine.h"

#define LEAST_GUARD        (3 * GUARD_WORD)   /* bytes: the end, and a word of the pattern */
#define WATCHED_QUARANTINE ((size_t)16 << 20) /* bytes; the default under a tool */
#define DEFAULT_FREED_BYTE 0xdb
#define UNDERFLOW_LOOK     ((size_t)64) /* bytes before a block, in a hole */

#define SHARDS_MOST 16

struct guards {
    bool is_on;      /* either of the next two */
    bool has_guards; /* behind each block */
    bool is_filled;  /* freed memory has `byte`, and all is verified; not under a tool */
    bool is_default; /* nobody asked for them: a tool watches */
    bool has_purged; /* pages of freed memory went back to the system: they read as zero */
    unsigned char byte;
    struct guard guard;
    size_t quarantine_size;                     /* bytes, in each shard */
    struct quarantine quarantines[SHARDS_MOST]; /* by shard */
};

/* The call site of the thread's call that is under way, if guards are on. */
extern __thread const void *guards_site __attribute__((tls_model("initial-exec")));

/* By the options and who watches; before the first pool. */
void guards_start(void);

/* A shard has got its pool: the guard before the first block. */
void guards_start_pool(struct shard *shard);

/* A block of `size` bytes, NULL if the pool has none. An alignment of 0 is the granule's. */
void *guards_place(struct shard *shard, size_t alignment, size_t size, bool is_zeroed);

/* As the core's calls of these names. What is no block is told of, and the answer is false, or
 * HEAP_NO_BLOCK. */
bool guards_free(struct shard *shard, unsigned char *block);
bool guards_resize(struct shard *shard, unsigned char *block, size_t size);
size_t guards_asked(struct shard *shard, unsigned char *block);

/* Frees all that waits. */
void guards_empty(struct shard *shard);

/* Verifies all guards and all freed memory, and tells what is damaged. */
void guards_check(struct shard *shard, const char *found_by);

/* verify.c: whether something was overwritten. It is noted, and made whole again; the caller adds
 * who found it. Of a block's guard; of what lies before a block; of freed memory from `start` to
 * `end`, which the caller names; and of what was asked for in a block that waits. */
bool verify_guard(struct shard *shard, unsigned char *block, size_t usable, struct damage *damage);
bool verify_left(struct shard *shard, unsigned char *block, size_t usable, struct damage *damage);
bool verify_fill(unsigned char *start, unsigned char *end, struct damage *damage);
bool verify_waiting(struct shard *shard, const struct waiting *waiting, struct damage *damage);

/* Puts what was asked for in a block, if that is known, in place of its size; returns whether it
 * waits. */
bool guards_read(struct ffalloc_block *block);

struct quarantine *guards_quarantine(const struct shard *shard);

/* Beyond it nothing was ever handed out. */
unsigned char *guards_mark(const struct shard *shard);

/* Live blocks that the program knows of, and what it asked for in them. */
struct guards_live {
    size_t block_count;
    size_t asked_size; /* bytes */
};
struct guards_live guards_live(struct shard *shard);

#endif
