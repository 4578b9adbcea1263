/* SPDX-License-Identifier: MIT */
#include "candidates.h"

#include <stdlib.h>

#define TOP 12u /* of the sizes, and of the sites, that hold most */

void candidates_try_change(struct round *round, enum change_kind kind, struct group *group,
                           uint64_t from, uint64_t to)
{
    struct plan plan = round->base;
    bool has_parameter = kind == CHANGE_SIZE || kind == CHANGE_GRANULE;
    if (plan.count == PLAN_MOST || (group->tried[kind] == round->number && !has_parameter))
        return;
    group->tried[kind] = round->number;
    plan.changes[plan.count++] = (struct change){kind, group, from, to};
    search_try(round->search, &plan, round->limit, round->listed_below);
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
        candidates_try_change(round, CHANGE_OWN, group, 0, 0);
    candidates_try_change(round, CHANGE_END, group, 0, 0);
    candidates_try_change(round, CHANGE_FIRST, group, 0, 0);
    if (group->by == BY_RUN)
        return;
    if (has_resize(life, group)) {
        candidates_try_change(round, CHANGE_WHOLE, group, 0, 0);
        candidates_try_change(round, CHANGE_DOUBLE, group, 0, 0);
    }
    if (has_death(life, group)) {
        candidates_try_change(round, CHANGE_EARLIER, group, 0, 0);
        if (group->by == BY_BLOCK)
            candidates_try_change(round, CHANGE_KEPT, group, 0, 0);
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
        candidates_try_change(round, CHANGE_SIZE, group, size, power);
    for (unsigned i = 0; i < count; i++) {
        bool is_above = sizes[i] > size && sizes[i] - size <= size / 8;
        if (sizes[i] != power && (is_above || is_near_below(size, sizes[i])))
            candidates_try_change(round, CHANGE_SIZE, group, size, sizes[i]);
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
        candidates_try_change(round, CHANGE_FIRST,
                              group_of(&round->search->groups, &mark->blocks[i], 1), 0, 0);
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
        candidates_try_change(round, CHANGE_SIZE, as_large->count ? as_large : group, event->size,
                              hole);
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
            candidates_try_change(round, CHANGE_GRANULE, none, granule, other);
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

void candidates_try(struct round *round, const struct mark *mark)
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
