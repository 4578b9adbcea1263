/* SPDX-License-Identifier: MIT */
/* Finds what was overwritten behind blocks and in freed memory. */
#include <string.h>

#include "heap.h"

static void note_bytes(struct damage *damage, const unsigned char *first, const unsigned char *end)
{
    damage->first = first;
    damage->count = (size_t)(end - first);
    damage->is_count_known = true;
    memcpy(damage->bytes, first, damage->count < DAMAGE_BYTES ? damage->count : DAMAGE_BYTES);
}

/* Where pages have gone back, as many bytes as a granule has at least may be zero. */
#define ZERO_UNIT 8

static bool is_purged(const unsigned char *unit, const unsigned char *end)
{
    static const unsigned char zeroes[ZERO_UNIT];
    return heap.guards.has_purged && (uintptr_t)unit % ZERO_UNIT == 0 && end - unit >= ZERO_UNIT &&
           memcmp(unit, zeroes, ZERO_UNIT) == 0;
}

bool verify_fill(unsigned char *start, unsigned char *end, struct damage *damage)
{
    const unsigned char byte = heap.guards.byte;
    if (start >= end ||
        (*start == byte && memcmp(start, start + 1, (size_t)(end - start) - 1) == 0))
        return false;
    while (start < end && (*start == byte || is_purged(start, end)))
        start += *start == byte ? 1 : ZERO_UNIT;
    while (start < end && (end[-1] == byte || is_purged(end - ZERO_UNIT, end)))
        end -= end[-1] == byte ? 1 : ZERO_UNIT;
    if (start == end)
        return false;
    note_bytes(damage, start, end);
    memset(start, byte, (size_t)(end - start));
    return true;
}

/* So many bytes of the pattern in a row are no chance. */
#define PATTERN_SURE 4

/* What a block was asked for whose guard's end was overwritten: the pattern begins there. */
static bool find_asked(const unsigned char *block, size_t usable, size_t *asked)
{
    const struct guard *guard = &heap.guards.guard;
    size_t most = usable - guard->size;
    size_t granule_rest = guard->granule - 1;
    for (size_t at = most < granule_rest ? 0 : most - granule_rest; at <= most; at++) {
        size_t matching = 0;
        while (matching < PATTERN_SURE &&
               block[at + matching] ==
                   guard_byte(guard->secret, (uintptr_t)(block + at + matching)))
            matching++;
        *asked = at;
        if (matching == PATTERN_SURE)
            return true;
    }
    return false;
}

/* The block or hole that a byte lies in, a block with the size that was asked for; all is 0 if the
 * pool ends before. */
static struct ffalloc_block at(const struct shard *shard, const unsigned char *address)
{
    struct ffalloc_block found;
    if (!ffalloc_find(shard->pool, address, &found))
        return (struct ffalloc_block){0};
    if (found.is_used) {
        struct guard_end end = guard_read(&heap.guards.guard, found.address, found.size);
        found.is_used = !end.is_waiting;
        found.size = end.asked == SIZE_MAX ? found.size - heap.guards.guard.size : end.asked;
    }
    return found;
}

/* A block or hole with an asked size: whose it is that bytes before it were written. */
static void blame_right(struct damage *damage, const struct ffalloc_block *right,
                        struct ffalloc_block left, const void *site)
{
    damage->kind = DAMAGE_UNDERFLOW;
    damage->block = right->address;
    damage->asked = right->size;
    damage->is_asked_known = true;
    damage->site = site;
    damage->neighbour = left;
}

static const void *site_of(const struct shard *shard, unsigned char *block)
{
    struct ffalloc_block found;
    if (!ffalloc_find(shard->pool, block, &found) || !found.is_used)
        return NULL;
    return (const void *)guard_read(&heap.guards.guard, block, found.size).site;
}

/* The bytes of a guard that were written, what was asked for being known or taken to be so. Where
 * the site was written nobody knows what the end was. */
static void note_guard(unsigned char *block, size_t usable, const struct guard_end *end,
                       bool is_end_whole, struct damage *damage)
{
    const struct guard *guard = &heap.guards.guard;
    size_t pattern_end = usable - guard_end_size(guard);
    size_t first = guard_first_damaged(guard, block, usable, end->asked);
    size_t last = is_end_whole ? pattern_end : usable;
    bool is_count_known = is_end_whole;
    while (is_end_whole &&
           block[last - 1] == guard_byte(guard->secret, (uintptr_t)(block + last - 1)))
        last--;
    if (first == pattern_end) {
        uintptr_t site = guard_site(guard, block, usable);
        uintptr_t was = guard_word_for(guard, block, usable, end->asked, site, false);
        const unsigned char *bytes = (const unsigned char *)&was;
        size_t word = usable - GUARD_WORD;
        while (word + 1 < usable && block[word] == bytes[word - (usable - GUARD_WORD)])
            word++;
        is_count_known = word > usable - GUARD_WORD;
        first = is_count_known ? word : first;
    }
    note_bytes(damage, block + first, block + last);
    damage->is_count_known = is_count_known;
}

bool verify_guard(struct shard *shard, unsigned char *block, size_t usable, struct damage *damage)
{
    const struct guard *guard = &heap.guards.guard;
    if (guard_is_whole(guard, block, usable))
        return false;
    struct guard_end end = guard_read(guard, block, usable);
    bool is_end_whole = end.asked != SIZE_MAX;
    bool is_known = is_end_whole || find_asked(block, usable, &end.asked);
    if (!is_known)
        end.asked = usable - guard->size;
    struct ffalloc_block right = at(shard, block + usable);
    *damage = (struct damage){.kind = DAMAGE_OVERFLOW,
                              .block = block,
                              .asked = end.asked,
                              .is_asked_known = is_known,
                              .site = (const void *)end.site,
                              .neighbour = right};
    note_guard(block, usable, &end, is_end_whole, damage);
    if (!is_end_whole && is_known && damage->first > block + end.asked && right.is_used)
        blame_right(damage, &right, (struct ffalloc_block){block, end.asked, true},
                    site_of(shard, right.address));
    guard_seal(guard, block, usable, end.asked, end.site);
    if (end.is_waiting || (!is_end_whole && quarantine_find(guards_quarantine(shard), block)))
        guard_note(guard, block, usable, end.asked, end.site, true);
    return true;
}

bool verify_left(struct shard *shard, unsigned char *block, size_t usable, struct damage *damage)
{
    struct ffalloc_block left;
    if (!ffalloc_find(shard->pool, block - 1, &left))
        return false;
    if (left.is_used)
        return verify_guard(shard, left.address, left.size, damage);
    unsigned char *start = left.size > UNDERFLOW_LOOK ? block - UNDERFLOW_LOOK : left.address;
    *damage = (struct damage){0};
    if (!verify_fill(start, block, damage))
        return false;
    struct guard_end end = guard_read(&heap.guards.guard, block, usable);
    struct ffalloc_block right = {block, end.asked, true};
    blame_right(damage, &right, left, (const void *)end.site);
    return true;
}

bool verify_waiting(struct shard *shard, const struct waiting *waiting, struct damage *damage)
{
    unsigned char *block = waiting->block;
    size_t usable = ffalloc_usable_size(shard->pool, block);
    struct guard_end end = guard_read(&heap.guards.guard, block, usable);
    *damage = (struct damage){0};
    if (end.asked == SIZE_MAX || !verify_fill(block, block + end.asked, damage))
        return verify_guard(shard, block, usable, damage);
    damage->kind = DAMAGE_AFTER_FREE;
    damage->block = block;
    damage->asked = end.asked;
    damage->is_asked_known = true;
    damage->site = (const void *)end.site;
    damage->freed_at = waiting->freed_at;
    return true;
}

/* All of a pool ------------------------------------------------------------------------- */

struct search {
    struct shard *shard;
    unsigned char *mark;
    struct damage damage;
    bool has_found;
};

static bool look_at(void *context, const struct ffalloc_block *block)
{
    struct search *search = context;
    unsigned char *start = block->address;
    unsigned char *end = start + block->size;
    if (block->is_used) {
        search->has_found = heap.guards.has_guards &&
                            verify_guard(search->shard, start, block->size, &search->damage);
        return !search->has_found;
    }
    search->damage = (struct damage){
        .kind = DAMAGE_IN_HOLE, .block = start, .asked = block->size, .is_asked_known = true};
    search->has_found =
        verify_fill(start, end < search->mark ? end : search->mark, &search->damage);
    return !search->has_found;
}

static bool has_waiting_damage(struct search *search)
{
    const struct quarantine *quarantine = guards_quarantine(search->shard);
    for (size_t i = 0; i < quarantine->count; i++)
        if (verify_waiting(search->shard, quarantine_at(quarantine, i), &search->damage))
            return true;
    return false;
}

/* More than that is not told at once. */
#define TOLD_MOST 100

void guards_check(struct shard *shard, const char *found_by)
{
    struct search search = {.shard = shard};
    if (!heap.guards.is_filled)
        return;
    for (unsigned i = 0; i < TOLD_MOST; i++) {
        search.mark = guards_mark(shard);
        if (!has_waiting_damage(&search)) {
            ffalloc_walk(shard->pool, look_at, &search);
            if (!search.has_found)
                return;
        }
        search.damage.found_by = found_by;
        damage_tell(shard, &search.damage);
    }
}

bool guards_read(struct ffalloc_block *block)
{
    if (!heap.guards.has_guards || !block->is_used)
        return false;
    annotate_enter(heap.watchers);
    struct guard_end end = guard_read(&heap.guards.guard, block->address, block->size);
    annotate_leave(heap.watchers);
    if (end.asked != SIZE_MAX)
        block->size = end.asked;
    return end.is_waiting;
}

static bool count_live(void *context, const struct ffalloc_block *block)
{
    struct guards_live *live = context;
    struct ffalloc_block asked = *block;
    if (asked.is_used && !guards_read(&asked)) {
        live->block_count++;
        live->asked_size += asked.size;
    }
    return true;
}

struct guards_live guards_live(struct shard *shard)
{
    struct guards_live live = {0};
    ffalloc_walk(shard->pool, count_live, &live);
    return live;
}
