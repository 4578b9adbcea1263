/* SPDX-License-Identifier: MIT */
#include "guards.h"

#include <string.h>

#include "heap.h"

__thread const void *guards_site __attribute__((tls_model("initial-exec")));

/* Start --------------------------------------------------------------------------------- */

/* memcheck knows of each byte whether it may be used, other tools nothing. */
static bool is_memcheck(void)
{
    unsigned char byte = 0, bits;
    return heap.watchers.valgrind && VALGRIND_GET_VBITS(&byte, &bits, 1) != 0;
}

/* What the options and those who watch ask for. */
static void choose_sizes(struct guards *guards, const struct options *options, bool is_tool)
{
    guards->is_default =
        is_tool && !options->has_guard && !options->has_quarantine && options->pool_size == 0;
    guards->quarantine_size = guards->is_default ? WATCHED_QUARANTINE : options->quarantine_size;
    size_t size = guards->is_default ? DEFAULT_GUARD : options->guard_size;
    guards->has_guards = size > 0 || guards->quarantine_size > 0;
    size = size < LEAST_GUARD ? LEAST_GUARD : size;
    guards->guard = (struct guard){.size = guards->has_guards ? size : 0,
                                   .granule = options->granule,
                                   .secret = os_secret(),
                                   .has_sites = true};
}

void guards_start(void)
{
    const struct options *options = &heap.options;
    struct guards *guards = &heap.guards;
    choose_sizes(guards, options, is_memcheck() || annotate_has_asan());
    bool is_watched = heap.watchers.valgrind || annotate_has_asan();
    guards->is_filled = !is_watched && (guards->has_guards || options->fill >= 0);
    guards->byte = options->fill >= 0 ? (unsigned char)options->fill : DEFAULT_FREED_BYTE;
    guards->is_on = guards->has_guards || guards->is_filled;
}

struct quarantine *guards_quarantine(const struct shard *shard)
{
    return &heap.guards.quarantines[shard - heap.shards];
}

unsigned char *guards_mark(const struct shard *shard)
{
    struct ffalloc_marks marks;
    ffalloc_marks(shard->pool, &marks);
    return (unsigned char *)marks.blocks + marks.high_water_size;
}

/* What the core gives for a request of `size` bytes. */
static size_t usable_for(size_t size)
{
    return guard_usable(&heap.guards.guard, size + (!heap.guards.has_guards && size == 0));
}

static void seal(unsigned char *block, size_t size)
{
    if (!heap.guards.has_guards)
        return;
    annotate_enter(heap.watchers);
    guard_seal(&heap.guards.guard, block, usable_for(size), size, (uintptr_t)guards_site);
    annotate_leave(heap.watchers);
}

void guards_start_pool(struct shard *shard)
{
    unsigned char *front = heap.guards.has_guards
                               ? ffalloc_malloc(shard->pool, guard_gross(&heap.guards.guard, 1))
                               : NULL;
    if (!front)
        return;
    const struct guard *guard = &heap.guards.guard;
    size_t usable = usable_for(1);
    annotate_enter(heap.watchers);
    guard_seal(guard, front, usable, 1, 0);
    guard_note(guard, front, usable, 1, 0, true); /* so that it counts as nobody's */
    annotate_leave(heap.watchers);
}

static void tell(struct shard *shard, struct damage *damage, const char *found_by)
{
    damage->found_by = found_by;
    damage_tell(shard, damage);
}

/* Giving back --------------------------------------------------------------------------- */

static void fill(unsigned char *start, size_t size)
{
    if (heap.guards.is_filled)
        memset(start, heap.guards.byte, size);
}

static void give_back(struct shard *shard, unsigned char *block, size_t usable)
{
    fill(block, usable);
    ffalloc_release(shard->pool, block);
}

static void leave_quarantine(struct shard *shard)
{
    struct quarantine *quarantine = guards_quarantine(shard);
    struct waiting waiting = quarantine_take(quarantine);
    size_t usable = ffalloc_usable_size(shard->pool, waiting.block);
    struct damage damage;
    quarantine->size -= usable;
    if (heap.guards.is_filled && verify_waiting(shard, &waiting, &damage))
        tell(shard, &damage, "the check as it leaves the quarantine");
    give_back(shard, waiting.block, usable);
}

void guards_empty(struct shard *shard)
{
    while (guards_quarantine(shard)->count > 0)
        leave_quarantine(shard);
}

/* Whether the block now waits. The least of them take a guard each. */
static bool waits(struct shard *shard, unsigned char *block, size_t usable, size_t asked)
{
    struct quarantine *quarantine = guards_quarantine(shard);
    const struct guard *guard = &heap.guards.guard;
    size_t most = heap.guards.quarantine_size;
    struct waiting waiting = {block, guards_site};
    if (usable > most || !quarantine_add(quarantine, most / guard->size + 1, waiting, usable))
        return false;
    fill(block, asked);
    annotate_enter(heap.watchers);
    guard_note(guard, block, usable, asked, guard_site(guard, block, usable), true);
    annotate_leave(heap.watchers);
    while (quarantine->size > most)
        leave_quarantine(shard);
    return true;
}

/* What a guard says, after it was verified and told of; HEAP_NO_BLOCK for a block that waits, which
 * is told as well. */
static size_t asked_of(struct shard *shard, unsigned char *block, size_t usable, const char *call)
{
    struct damage damage;
    if (heap.guards.is_filled && verify_guard(shard, block, usable, &damage))
        tell(shard, &damage, call);
    annotate_enter(heap.watchers);
    struct guard_end end = guard_read(&heap.guards.guard, block, usable);
    annotate_leave(heap.watchers);
    if (end.asked == SIZE_MAX) /* it was overwritten, and the tool has said so */
        return annotate_requested_size(heap.watchers, block, usable - heap.guards.guard.size);
    if (!end.is_waiting)
        return end.asked;
    const struct waiting *waiting = quarantine_find(guards_quarantine(shard), block);
    damage_tell_waiting(shard, block, &end, waiting ? waiting->freed_at : NULL);
    return HEAP_NO_BLOCK;
}

bool guards_free(struct shard *shard, unsigned char *block)
{
    size_t usable = ffalloc_usable_size(shard->pool, block);
    struct damage damage;
    size_t asked = usable;
    if (usable == 0)
        return false;
    if (heap.guards.has_guards) {
        asked = asked_of(shard, block, usable, "free");
        if (asked == HEAP_NO_BLOCK)
            return false;
        if (heap.guards.is_filled && verify_left(shard, block, usable, &damage))
            tell(shard, &damage, "free");
    }
    if (heap.watchers.asan)
        annotate_forbid(heap.watchers, block, usable);
    if (!heap.guards.has_guards || !waits(shard, block, usable, asked))
        give_back(shard, block, usable);
    return true;
}

/* Placing ------------------------------------------------------------------------------- */

static void *ask(struct shard *shard, size_t alignment, size_t size)
{
    return alignment ? ffalloc_aligned_alloc(shard->pool, alignment, size)
                     : ffalloc_malloc(shard->pool, size);
}

static size_t gross_of(size_t size)
{
    return heap.guards.has_guards ? guard_gross(&heap.guards.guard, size) : size;
}

/* Freed memory that is given out again; what an alignment leaves free before the block, and was
 * never used, is filled as freed memory is. */
static bool is_reused_damaged(unsigned char *block, size_t usable, unsigned char *mark,
                              struct damage *damage)
{
    unsigned char *end = block + usable < mark ? block + usable : mark;
    if (!heap.guards.is_filled)
        return false;
    if (block > mark)
        fill(mark, (size_t)(block - mark));
    *damage = (struct damage){
        .kind = DAMAGE_IN_HOLE, .block = block, .asked = usable, .is_asked_known = true};
    return verify_fill(block, end, damage);
}

void *guards_place(struct shard *shard, size_t alignment, size_t size, bool is_zeroed)
{
    unsigned char *mark = guards_mark(shard);
    unsigned char *block = ask(shard, alignment, gross_of(size));
    while (!block && guards_quarantine(shard)->count > 0) {
        leave_quarantine(shard);
        mark = guards_mark(shard);
        block = ask(shard, alignment, gross_of(size));
    }
    if (!block)
        return NULL;
    struct damage damage;
    bool is_damaged = is_reused_damaged(block, usable_for(size), mark, &damage);
    if (is_zeroed && size >= CLEAR_BY_PURGE)
        heap_clear(block, size, mark);
    else if (is_zeroed)
        memset(block, 0, size);
    seal(block, size);
    if (is_damaged)
        tell(shard, &damage, "the next request there");
    return block;
}

size_t guards_asked(struct shard *shard, unsigned char *block)
{
    size_t usable = ffalloc_usable_size(shard->pool, block);
    if (usable == 0)
        return HEAP_NO_BLOCK;
    return heap.guards.has_guards ? asked_of(shard, block, usable, heap_call) : usable;
}

/* The caller has asked for its size before, which has verified its guard. */
bool guards_resize(struct shard *shard, unsigned char *block, size_t size)
{
    unsigned char *mark = guards_mark(shard);
    size_t before = ffalloc_usable_size(shard->pool, block);
    size_t after = usable_for(size);
    struct damage damage;
    if (after < before) /* which always can be; what it frees may go back to the system at once */
        fill(block + after, before - after);
    if (before == 0 || !ffalloc_resize(shard->pool, block, gross_of(size)))
        return false;
    bool is_damaged = after > before && block + before < mark &&
                      is_reused_damaged(block + before, after - before, mark, &damage);
    seal(block, size);
    if (is_damaged)
        tell(shard, &damage, "realloc");
    return true;
}
