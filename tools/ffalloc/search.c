/* SPDX-License-Identifier: MIT */
#include "candidates.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#define PAIRS_OF   6u
#define MEMBERS_OF 8u
#define MEMBERS    100u
#define ALWAYS     16000000u /* events that may be replayed, and as many as this ... */
#define PER_EVENT  14u       /* ... for each event of the trace */

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

void search_try(struct search *search, const struct plan *plan, uint64_t limit,
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

/* Of the groups that are of use, the blocks that are so alone. */
static void try_members(struct round *round)
{
    struct search *search = round->search;
    size_t count = search->found_count < MEMBERS_OF ? search->found_count : MEMBERS_OF;
    for (size_t i = 0; i < count; i++) {
        const struct group *group = search->found[i].plan.changes[0].group;
        for (uint32_t b = 0; b < group->count && group->count <= MEMBERS; b++)
            candidates_try_change(round, CHANGE_FIRST,
                                  group_of(&search->groups, &group->blocks[b], 1), 0, 0);
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
            search_try(search, &plan, limit, search->found[i].outcome.pool);
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
    candidates_try(&round, &mark);
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
    candidates_try(&first, mark);
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
