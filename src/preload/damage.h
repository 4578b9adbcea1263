/* SPDX-License-Identifier: MIT */
/* What was overwritten, as it is told. */
#ifndef FFALLOC_PRELOAD_DAMAGE_H
#define FFALLOC_PRELOAD_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "ffalloc/ffalloc.h"

struct shard;

enum damage_kind {
    DAMAGE_OVERFLOW,   /* behind a block */
    DAMAGE_UNDERFLOW,  /* before a block */
    DAMAGE_AFTER_FREE, /* in a block that waits in the quarantine */
    DAMAGE_IN_HOLE     /* in freed memory */
};

#define DAMAGE_BYTES 8

struct damage {
    enum damage_kind kind;
    const char *found_by;              /* a call's name, or what else */
    const unsigned char *block;        /* or hole */
    size_t asked;                      /* bytes of it */
    bool is_asked_known;               /* else at most so many */
    const void *site;                  /* where it was asked for; NULL: not known */
    const void *freed_at;              /* where it was freed; NULL: not known */
    const unsigned char *first;        /* byte that was overwritten */
    size_t count;                      /* bytes, to the last that was */
    bool is_count_known;               /* else at most so many */
    unsigned char bytes[DAMAGE_BYTES]; /* the first of them */
    struct ffalloc_block neighbour;    /* that the write came nearest to, by what was asked for; its
                                          address NULL: none */
};

/* Tells it, with the locks of the calling thread's call given back for as long; then the process
 * ends, or the call goes on. */
void damage_tell(struct shard *shard, const struct damage *damage);

/* A call that asks for no less than a live block was told one that waits in the quarantine, of
 * which its guard has this. */
struct guard_end;
void damage_tell_waiting(struct shard *shard, const void *block, const struct guard_end *end,
                         const void *freed_at);

/* "program+0x1139", where code lies; "" for NULL, "an unknown place" where there is no code. */
#define SITE_SIZE 80
const char *damage_site(char *text, const void *site);

#endif
