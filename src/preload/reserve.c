/* SPDX-License-Identifier: MIT */
/*
 * Where in the address space the pools lie.
 *
 * Each shard has a range of addresses in which its pool grows. Nothing is mapped there but what the
 * pool has opened (heap_on_open): limits, locks, core files and emulators see a heap as large as
 * what was used, and a page before the pool, one between its metadata and its blocks, and all that
 * lies beyond them have no access. The ranges are far from where the kernel puts other mappings;
 * where something lies in one all the same, its pool cannot grow on, and the next one serves.
 *
 * With FFALLOC_POOL, and for tools that keep books on every mapping, there is one pool that is
 * mapped from the start, between two pages without access.
 */
#include "heap.h"

#define HAS_WIDE_ADDRESSES (sizeof(void *) == 8)

/* What to ask for under a tool that cannot give terabytes: Valgrind, and AddressSanitizer, which
 * keeps a byte of its own for each 8 of ours. */
#define WATCHED_POOL_SIZE ((size_t)1 << (HAS_WIDE_ADDRESSES ? 32 : 29))
#define LEAST_POOL_SIZE   ((size_t)1 << 20)

/* In less than this, a pool of what can be had begins on a page only. */
#define LEAST_ALIGNED_SIZE (32 * LARGEST_FIXED_ALIGNMENT)

/* From this library to the ranges: four times what they take. ThreadSanitizer knows a program's
 * memory only within some 500 GiB of where the kernel puts the libraries. */
#define FAR      ((uint64_t)1 << 44)
#define FAR_TSAN ((uint64_t)1 << 38)
#define NEAREST  ((uint64_t)1 << 30)

/*
 * So that no constant leads from a block to a library or to a pool's header, in which pointers lie:
 * the ranges begin anywhere in so much, and of each range up to so much is left out, which moves
 * the header and, as the metadata is some 2 % of what may come, the blocks behind it by steps of
 * LARGEST_FIXED_ALIGNMENT. Whoever guesses wrong meets a page without access.
 */
#define ANYWHERE(far)  ((far) / 2)
#define LEFT_OUT(size) ((size) / 4)

/* A shard has at least this much, or there are fewer of them. */
#define LEAST_RANGE ((uint64_t)1 << 34)

/* With 32-bit addresses: what the owner of an address is kept for, and how many gaps are used. */
#define WINDOW_LOG2 24
#define ROOMS       2

/* Where no gap seems larger there is a limit, not little room: so much is below the libraries. */
#define LIMITED_ROOM ((size_t)1 << 30)

static void set_range(unsigned shard, unsigned char *start, size_t size)
{
    heap.ranges[shard] = (struct range){start + heap.page_size, size - 2 * heap.page_size};
}

/* One pool, mapped from the start, between two pages without access; its blocks begin at a multiple
 * of `alignment`, a page at least. */
static bool has_whole_pool(size_t size, size_t alignment)
{
    size_t page = heap.page_size;
    size_t metadata_size = ffalloc_metadata_size(size, heap.options.granule);
    size_t held_size = ((size + page - 1) & -page) + alignment + 3 * page;
    unsigned char *held = held_size > size ? os_hold(held_size) : NULL;
    if (!held)
        return false;
    unsigned char *pool = held + page;
    pool += -((uintptr_t)pool + metadata_size) & (alignment - 1);
    size_t start = (size_t)(pool - held) & -page;
    size_t end = ((size_t)(pool - held) + size + page - 1) & -page;
    if (!os_allow(held + start, end - start)) {
        os_release(held, held_size);
        return false;
    }
    os_release(held, start - page);
    os_release(held + end + page, held_size - end - page);
    heap.arena = held + start;
    heap.arena_size = end - start;
    heap.window_log2 = sizeof(size_t) * 8 - 1;
    heap.shard_count = 1;
    heap.ranges[0] = (struct range){pool, size};
    heap.is_growing = false;
    return heap_is_ready(&heap.shards[0], 0);
}

/* Of whole pages, below `most`; it does for one place after the other. */
static uint64_t random_distance(uint64_t most)
{
    static uint64_t state;
    state = (state ? state : os_secret()) * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
    return ((state >> 16) % most) & ~(uint64_t)(heap.page_size - 1);
}

/* Makes a range of a window, but for what is left out at its ends. */
static void set_range_within(unsigned shard, unsigned char *start, size_t size)
{
    size_t skipped = (size_t)random_distance(LARGEST_FIXED_ALIGNMENT);
    size_t left_out = (size_t)random_distance(LEFT_OUT(size));
    set_range(shard, start + skipped, size - skipped - left_out);
}

/* Equal ranges from `arena` on; true if a pool could be begun there. */
static bool has_ranges_at(uintptr_t arena, uint64_t size)
{
    uint64_t distance = size / SHARD_LIMIT;
    if (distance < LEAST_RANGE)
        distance = size < LEAST_RANGE ? size : LEAST_RANGE;
    heap.arena = (unsigned char *)arena;
    heap.arena_size = (size_t)size;
    heap.shard_count = (unsigned)(size / distance);
    heap.window_log2 = (unsigned)__builtin_ctzll(distance);
    for (unsigned i = 0; i < heap.shard_count; i++) {
        set_range_within(i, heap.arena + i * distance, (size_t)distance);
        heap.owners[i] = (uint8_t)i;
    }
    return heap_is_ready(&heap.shards[0], 0);
}

/* Below the libraries, or above them where there is no room below. */
static bool has_ranges_far_away(void)
{
    uint64_t here = (uintptr_t)&heap & ~(heap.page_size - 1);
    for (uint64_t far = annotate_has_tsan() ? FAR_TSAN : FAR; far >= NEAREST; far /= 2)
        if (has_ranges_at((uintptr_t)((here > 2 * far ? here - far : here + far) +
                                      random_distance(ANYWHERE(far))),
                          far / 4))
            return true;
    return false;
}

/* The largest gap in the address space, in whole windows; it is held until it is given back. */
static size_t hold_room(unsigned char **room)
{
    size_t size = 0;
    for (size_t step = (size_t)1 << (sizeof(size_t) * 8 - 1); step >> WINDOW_LOG2; step /= 2) {
        void *held = os_hold(size + step);
        if (held) {
            os_release(held, size + step);
            size += step;
        }
    }
    *room = size > 0 ? os_hold(size) : NULL;
    return *room ? size : 0;
}

/* Makes a range of what of a gap is whole windows by its addresses. */
static void add_range(unsigned char *room, size_t size)
{
    uintptr_t window = (uintptr_t)1 << WINDOW_LOG2;
    uintptr_t start = ((uintptr_t)room + window - 1) & -window;
    uintptr_t end = ((uintptr_t)room + size) & -window;
    if (start >= end)
        return;
    set_range(heap.shard_count, (unsigned char *)start, end - start);
    for (uintptr_t i = start >> WINDOW_LOG2; i < end >> WINDOW_LOG2; i++)
        heap.owners[i] = (uint8_t)heap.shard_count;
    heap.shard_count++;
}

/* The largest gaps of an address space of 4 GiB: above the program, and below it. */
static bool has_ranges_in_gaps(void)
{
    unsigned char *rooms[ROOMS];
    size_t sizes[ROOMS];
    heap.arena = NULL;
    heap.arena_size = SIZE_MAX;
    heap.window_log2 = WINDOW_LOG2;
    heap.shard_count = 0;
    for (unsigned i = 0; i < WINDOWS; i++)
        heap.owners[i] = SHARD_LIMIT;
    for (unsigned i = 0; i < ROOMS; i++)
        sizes[i] = hold_room(&rooms[i]);
    for (unsigned i = 0; i < ROOMS; i++) {
        os_release(rooms[i], sizes[i]);
        if (i == 0 && sizes[i] < LIMITED_ROOM)
            add_range((unsigned char *)((uintptr_t)&heap - LIMITED_ROOM), LIMITED_ROOM);
        else
            add_range(rooms[i], sizes[i]);
    }
    return heap.shard_count > 0 && heap_is_ready(&heap.shards[0], 0);
}

/* One pool of the most that can be had, by halving. */
static bool has_most_in_one(void)
{
    for (size_t size = WATCHED_POOL_SIZE; size >= LEAST_POOL_SIZE; size /= 2)
        if (has_whole_pool(size,
                           size < LEAST_ALIGNED_SIZE ? heap.page_size : LARGEST_FIXED_ALIGNMENT))
            return true;
    return false;
}

static bool has_pool_asked_for(void)
{
    size_t size = options_pool_memory(&heap.options);
    if (size == 0)
        heap_message("FFALLOC_POOL=%zu is no size for a pool: ignored", heap.options.pool_size);
    else if (!has_whole_pool(size, LARGEST_FIXED_ALIGNMENT))
        heap_message("FFALLOC_POOL=%zu cannot be reserved: ignored", heap.options.pool_size);
    else
        return true;
    heap.options.pool_size = 0;
    return false;
}

bool heap_reserve(void)
{
    if (heap.options.pool_size > 0 && has_pool_asked_for())
        return true;
    heap.is_growing = true;
    bool is_watched = heap.watchers.valgrind || annotate_has_asan();
    bool has_ranges =
        !is_watched && (HAS_WIDE_ADDRESSES ? has_ranges_far_away() : has_ranges_in_gaps());
    return has_ranges || has_most_in_one();
}

/* Of all pieces, or none. */
bool heap_on_open(struct ffalloc_pool *pool, const struct ffalloc_piece *pieces, unsigned count)
{
    (void)pool;
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        size += pieces[i].size;
        if (os_open(pieces[i].start, pieces[i].size))
            continue;
        while (i-- > 0)
            os_release(pieces[i].start, pieces[i].size);
        return false;
    }
    __atomic_fetch_add(&heap.opened_size, size, __ATOMIC_RELAXED);
    return true;
}

bool heap_has_room(const struct range *range, size_t size)
{
    size_t pages_size = (size + heap.page_size - 1) & ~(heap.page_size - 1);
    if (pages_size < size || pages_size > range->size || !os_open(range->start, pages_size))
        return false;
    os_release(range->start, pages_size);
    return true;
}
