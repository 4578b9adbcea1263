/* SPDX-License-Identifier: MIT */
#include "search.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#define TOP        12u /* of the sizes, and of the sites, that hold most */
#define PAIRS_OF   6u
#define MEMBERS_OF 8u
#define MEMBERS    100u
#define ALWAYS     16000000u /* events that may be replayed, and as many as this ... */
#define PER_EVENT  14u       /* ... for each event of the trace */

/* Trials ------------------------------------------------------------------------------- */

static void show_progress(const struct search *search)
{
    static uint64_t shown;
    uint64_t part = search->trial->replayed * 100 / search->budget;
    if (part == shown || !isatty(2) || search->budget < 2 * ALWAYS)
        return;
    shown = part;
    dprintf(2, "\rffalloc: %2ju %%, %u replays\r", (uintmax_t)part, search->tried);
}

static int compare_found(const void *a, const void *b)
{
    const struct what_if *x = a, *y = b;
    if (x->outcome.pool != y->outcome.pool)
        return x->outcome.pool < y->outcome.pool ? -1 : 1;
    if (x->plan.count != y->plan.count)
        return x->plan.count < y->plan.count ? -1 : 1;
    uint32_t blocks = x->plan.changes[0].group->count, others = y->plan.changes[0].group->count;
    return blocks != others ? (blocks < others ? -1 : 1)
                            : (int)x->plan.changes[0].kind - (int)y->plan.changes[0].kind;
}

static void sort_found(struct search *search)
{
    qsort(search->found, search->found_count, sizeof *search->found, compare_found);
}

/* Replays a plan, as long as there is something left of `limit`. It is listed if it needs less than
 * `listed_below`, and kept if it is the best yet. */
static void consider(struct search *search, const struct plan *plan, uint64_t limit,
                     uint64_t listed_below)
{
    struct what_if what_if = {.plan = *plan};
    if (search->trial->replayed >= limit || !plan_is_possible(search->trial, plan))
        return;
    search->tried++;
    show_progress(search);
    if (!plan_try(search->trial, plan, &what_if.outcome))
        return;
    if (what_if.outcome.pool < listed_below) {
        search->found = grow(search->found, &search->found_size, search->found_count + 1,
                             sizeof *search->found);
        search->found[search->found_count++] = what_if;
    }
    if (search->best.plan.count == 0 || what_if.outcome.pool < search->best.outcome.pool)
        search->best = what_if;
}

/* Candidates --------------------------------------------------------------------------- */

/* The plan to which candidates are added, and what may be replayed for it. */
struct round {
    struct search *search;
    struct plan base;
    unsigned number; /* from 1 */
    uint64_t limit;
    uint64_t listed_below; /* bytes of a pool */
};

/* Sizes are many for a group, and come once each. */
static void try_change(struct round *round, enum change_kind kind, struct group *group,
                       uint64_t from, uint64_t to)
{
    struct plan plan = round->base;
    bool has_parameter = kind == CHANGE_SIZE || kind == CHANGE_GRANULE;
    if (plan.count == PLAN_MOST || (group->tried[kind] == round->number && !has_parameter))
        return;
    group->tried[kind] = round->number;
    plan.changes[plan.count++] = (struct change){kind, group, from, to};
    consider(round->search, &plan, round->limit, round->listed_below);
}

static bool has_death(const struct life *life, const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (life->blocks[group->blocks[i]].death)
            return true;
    return false;
}

static bool has_resize(const struct life *life, const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (life->blocks[group->blocks[i]].resize_count)
            return true;
    return false;
}

/* What can be done with any blocks; those of a run have only their place in common. */
static void try_group(struct round *round, struct group *group)
{
    const struct life *life = round->search->trial->life;
    if (group->count > 1)
        try_change(round, CHANGE_OWN, group, 0, 0);
    try_change(round, CHANGE_FIRST, group, 0, 0);
    if (group->by == BY_RUN)
        return;
    if (has_resize(life, group)) {
        try_change(round, CHANGE_WHOLE, group, 0, 0);
        try_change(round, CHANGE_DOUBLE, group, 0, 0);
    }
    if (has_death(life, group)) {
        try_change(round, CHANGE_EARLIER, group, 0, 0);
        if (group->by == BY_BLOCK)
            try_change(round, CHANGE_KEPT, group, 0, 0);
    }
}

/* A little less, as where a header makes of a power of two a little more. */
static bool is_near_below(uint64_t size, uint64_t other)
{
    uint64_t little = size / 8 < 16 ? size / 8 : 16;
    return other < size && size - other <= (little > size / 32 ? little : size / 32);
}

/* The power of two below, if it is near, and the sizes of others that are. */
static void try_sizes(struct round *round, struct group *group, const uint64_t *sizes,
                      unsigned count)
{
    uint64_t size = group->value, power = 1;
    while (power * 2 < size)
        power *= 2;
    if (is_near_below(size, power))
        try_change(round, CHANGE_SIZE, group, size, power);
    for (unsigned i = 0; i < count; i++) {
        bool is_above = sizes[i] > size && sizes[i] - size <= size / 8;
        if (sizes[i] != power && (is_above || is_near_below(size, sizes[i])))
            try_change(round, CHANGE_SIZE, group, size, sizes[i]);
    }
}

/* The block above a hole, those up to the next hole, those of its size, and of its site. */
static void try_hole(struct round *round, const struct mark *mark, const struct hole *hole)
{
    struct search *search = round->search;
    const struct life *life = search->trial->life;
    const uint32_t *above = &mark->blocks[hole->above];
    uint32_t site = life_birth(life, *above)->site;
    try_group(round, group_of(&search->groups, above, 1));
    if (hole->run_count > 1 && hole->run_count <= mark->count / 2)
        try_group(round, group_of(&search->groups, above, hole->run_count));
    struct group *of_size =
        group_of_all(&search->groups, life, BY_SIZE, life->blocks[*above].largest);
    if (of_size->count > 1)
        try_group(round, of_size);
    if (site)
        try_group(round, group_of_all(&search->groups, life, BY_SITE, site));
}

/* Each block at the mark, from the lowest hole up, placed first. */
static void try_each_block(struct round *round, const struct mark *mark)
{
    uint32_t lowest = mark->count;
    for (unsigned h = 0; h < mark->hole_count; h++)
        if (mark->holes[h].above < lowest)
            lowest = mark->holes[h].above;
    for (uint32_t i = lowest; i < mark->count && round->search->trial->replayed < round->limit; i++)
        try_change(round, CHANGE_FIRST, group_of(&round->search->groups, &mark->blocks[i], 1), 0,
                   0);
}

/* The request that sets the mark, and those as large, made to fit into the largest hole. */
static void try_request(struct round *round, const struct mark *mark)
{
    struct search *search = round->search;
    if (mark->event == 0 || mark->hole_count == 0)
        return;
    const struct life *life = search->trial->life;
    const struct trace_event *event = life_event(life, mark->event);
    uint64_t hole = mark->holes[0].size;
    struct group *group = group_of(&search->groups, &event->id, 1);
    if (hole < event->size && is_near_below(event->size, hole)) {
        struct group *as_large = group_of_all(&search->groups, life, BY_SIZE, event->size);
        try_change(round, CHANGE_SIZE, as_large->count ? as_large : group, event->size, hole);
    }
    try_group(round, group);
}

static void try_granules(struct round *round)
{
    struct group *none =
        group_of_all(&round->search->groups, round->search->trial->life, BY_NONE, 0);
    size_t granule = round->search->trial->granule;
    for (size_t other = 8; other <= 64; other *= 2)
        if (other != granule && other <= 2 * granule)
            try_change(round, CHANGE_GRANULE, none, granule, other);
}

/* The sizes, or the sites, that hold most at a mark. */
static unsigned take_values(const struct life *life, const struct mark *mark, enum group_by by,
                            uint64_t *values)
{
    uint32_t count;
    struct holder *holders = holders_take(life, mark, by, &count);
    unsigned taken = count < TOP ? count : TOP;
    for (unsigned i = 0; i < taken; i++)
        values[i] = holders[i].value;
    free(holders);
    return taken;
}

static void try_all(struct round *round, const struct mark *mark)
{
    struct search *search = round->search;
    const struct life *life = search->trial->life;
    uint64_t sizes[TOP], sites[TOP];
    unsigned size_count = take_values(life, mark, BY_SIZE, sizes);
    unsigned site_count = take_values(life, mark, BY_SITE, sites);
    try_granules(round);
    try_request(round, mark);
    for (unsigned i = 0; i < MARK_HOLES; i++) {
        if (i < mark->hole_count)
            try_hole(round, mark, &mark->holes[i]);
        if (i < size_count)
            try_group(round, group_of_all(&search->groups, life, BY_SIZE, sizes[i]));
        if (i < site_count && sites[i])
            try_group(round, group_of_all(&search->groups, life, BY_SITE, sites[i]));
    }
    for (unsigned i = 0; i < size_count; i++)
        try_sizes(round, group_of_all(&search->groups, life, BY_SIZE, sizes[i]), sizes, size_count);
    try_each_block(round, mark);
}

/* Of the groups that are of use, the blocks that are so alone. */
static void try_members(struct round *round)
{
    struct search *search = round->search;
    size_t count = search->found_count < MEMBERS_OF ? search->found_count : MEMBERS_OF;
    for (size_t i = 0; i < count; i++) {
        const struct group *group = search->found[i].plan.changes[0].group;
        for (uint32_t b = 0; b < group->count && group->count <= MEMBERS; b++)
            try_change(round, CHANGE_FIRST, group_of(&search->groups, &group->blocks[b], 1), 0, 0);
    }
    sort_found(search);
}

/* Those that are of more use than either alone. */
static void try_pairs(struct search *search, uint64_t limit)
{
    size_t count = search->found_count < PAIRS_OF ? search->found_count : PAIRS_OF;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            struct plan plan = search->found[i].plan;
            plan.changes[plan.count++] = search->found[j].plan.changes[0];
            consider(search, &plan, limit, search->found[i].outcome.pool);
        }
    }
}

/* Adds to the best plan what its own mark suggests; false if nothing is gained. */
static bool add_change(struct search *search, unsigned number, uint64_t limit)
{
    struct round round = {
        .search = search, .base = search->best.plan, .number = number, .limit = limit};
    struct mark mark;
    uint64_t before = search->best.outcome.pool;
    if (search->best.outcome.mark_event == 0 || round.base.count == PLAN_MOST)
        return false;
    mark_take(&mark, search->trial, &round.base, search->best.outcome.mark_event);
    try_all(&round, &mark);
    mark_free(&mark);
    return search->best.outcome.pool < before;
}

/* Leaves out of the best plan what others made needless, and notes what each step comes to. */
static void finish_best(struct search *search)
{
    struct what_if *best = &search->best;
    for (unsigned i = 0; i < best->plan.count && best->plan.count > 1;) {
        struct what_if less = {.plan = best->plan};
        less.plan.count--;
        memmove(&less.plan.changes[i], &less.plan.changes[i + 1],
                (less.plan.count - i) * sizeof *less.plan.changes);
        if (plan_try(search->trial, &less.plan, &less.outcome) &&
            less.outcome.pool <= best->outcome.pool)
            *best = less;
        else
            i++;
    }
    for (unsigned i = 0; i < best->plan.count; i++) {
        struct plan start = best->plan;
        start.count = i + 1;
        if (!plan_try(search->trial, &start, &search->steps[i]))
            search->steps[i].pool = search->trial->pool;
    }
}

static void clear_progress(const struct search *search)
{
    if (isatty(2) && search->budget >= 2 * ALWAYS)
        dprintf(2, "\r%40s\r", "");
}

void search_all(struct search *search, struct trial *trial, const struct mark *mark)
{
    *search = (struct search){.trial = trial};
    uint64_t tenth = ALWAYS / 10 + (uint64_t)PER_EVENT * trial->life->event_count / 10;
    search->budget = trial->replayed + 10 * tenth;
    struct round first = {.search = search,
                          .number = 1,
                          .limit = trial->replayed + 5 * tenth,
                          .listed_below = trial->pool};
    try_all(&first, mark);
    sort_found(search);
    first.limit = trial->replayed + tenth;
    try_members(&first);
    try_pairs(search, trial->replayed + tenth);
    for (unsigned number = 2; search->best.plan.count > 0; number++)
        if (!add_change(search, number, trial->replayed + tenth))
            break;
    finish_best(search);
    sort_found(search);
    clear_progress(search);
}

void search_free(struct search *search)
{
    groups_free(&search->groups);
    free(search->found);
}
