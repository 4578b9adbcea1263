/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "extent.h"

/* A plan being replayed. */
struct run {
    struct trial *trial;
    const struct plan *plan;
    size_t granule;
    uint64_t most; /* bytes for blocks in as much memory as the trace needs unchanged */
    struct replay pools[1 + PLAN_MOST]; /* the first is everybody's; one for each change after it */
    bool has_pool[1 + PLAN_MOST];
    unsigned at_end;           /* the pool at the other end of the first one's memory; 0: none */
    struct extent extents[2];  /* of those two */
    uint64_t both, both_event; /* bytes: the most that both took, and when */
};

const char *change_name(enum change_kind kind)
{
    static const char *const names[CHANGE_KINDS] = {"first",        "own_pool", "other_end",
                                                    "kept",         "earlier",  "whole",
                                                    "power_of_two", "size",     "granule"};
    return names[kind];
}

uint64_t plan_pool_size(const struct trial *trial, uint64_t usable, size_t granule)
{
    return ffalloc_target_pool_size_for(trial->target, (size_t)((usable + granule - 1) / granule),
                                        granule);
}

static void untag(struct trial *trial, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->count; i++)
        for (uint32_t b = 0; b < plan->changes[i].group->count; b++)
            trial->tags[plan->changes[i].group->blocks[b]] = 0;
}

/* Notes for each block its change; false if one has two. */
static bool tag(struct trial *trial, const struct plan *plan)
{
    bool is_single = true;
    for (unsigned i = 0; i < plan->count; i++) {
        const struct group *group = plan->changes[i].group;
        for (uint32_t b = 0; b < group->count; b++) {
            uint8_t *its = &trial->tags[group->blocks[b]];
            is_single &= *its == 0;
            *its = (uint8_t)(i + 1);
        }
    }
    return is_single;
}

bool plan_is_possible(struct trial *trial, const struct plan *plan)
{
    unsigned granule_count = 0, end_count = 0;
    for (unsigned i = 0; i < plan->count; i++) {
        granule_count += plan->changes[i].kind == CHANGE_GRANULE;
        end_count += plan->changes[i].kind == CHANGE_END;
    }
    bool is_single = tag(trial, plan);
    untag(trial, plan);
    return is_single && granule_count <= 1 && end_count <= 1;
}

static uint64_t power_above(uint64_t size)
{
    return size < 2 ? 1 : (uint64_t)1 << (64 - __builtin_clzll(size - 1));
}

/* What the changed program asks for where the recorded one asks so; false: it makes no call. */
static bool change_event(const struct run *run, const struct change *change,
                         struct trace_event *event)
{
    const struct block *block = &run->trial->life->blocks[event->id];
    switch (change->kind) {
    case CHANGE_FIRST:
        return false;
    case CHANGE_KEPT:
        return event->op != TRACE_FREE;
    case CHANGE_WHOLE:
        if (event->op == TRACE_REALLOC && run->pools[0].live_size > event->id &&
            run->pools[0].live[event->id].address)
            return false;
        event->size = event->op == TRACE_FREE ? 0 : block->largest;
        return true;
    case CHANGE_DOUBLE:
        event->size = event->op == TRACE_FREE ? 0 : power_above(event->size);
        return true;
    case CHANGE_SIZE:
        if (event->op != TRACE_FREE && event->size == change->from)
            event->size = change->to;
        return true;
    default:
        return true;
    }
}

/* Makes a call in one of the pools, and keeps count of what both ends take. */
static bool make_call(struct run *run, unsigned pool, const struct trace_event *event,
                      uint64_t number)
{
    struct replay *replay = &run->pools[pool];
    if (!replay_event(replay, event, number))
        return false;
    if (!run->at_end || (pool != 0 && pool != run->at_end) || event->op == TRACE_FREE)
        return true;
    extent_note(&run->extents[pool != 0], replay, event->id);
    uint64_t both = extent_now(&run->extents[0], &run->pools[0]) +
                    extent_now(&run->extents[1], &run->pools[run->at_end]);
    if (both > run->both) {
        run->both = both;
        run->both_event = number;
    }
    return true;
}

/* Makes the frees that come right after a request before it, of the blocks that are to be freed
 * earlier. They are not freed again: see is_gone. */
static void free_ahead(struct run *run, uint64_t number)
{
    const struct life *life = run->trial->life;
    uint32_t asked = life_event(life, number)->id;
    for (uint64_t next = number + 1; next <= life->event_count; next++) {
        const struct trace_event *event = life_event(life, next);
        if (event->op != TRACE_FREE)
            break;
        unsigned its = run->trial->tags[event->id];
        if (its && event->id != asked && run->plan->changes[its - 1].kind == CHANGE_EARLIER)
            make_call(run, 0, event, number);
    }
}

/* Whether a free was made ahead. */
static bool is_gone(const struct run *run, const struct change *change,
                    const struct trace_event *event)
{
    return change->kind == CHANGE_EARLIER && event->op == TRACE_FREE &&
           !run->pools[0].live[event->id].address;
}

static bool make_event(struct run *run, uint64_t number, bool has_early)
{
    const struct trace_event *recorded = life_event(run->trial->life, number);
    if (recorded->op == TRACE_FAILED)
        return true;
    if (has_early && recorded->op != TRACE_FREE)
        free_ahead(run, number);
    unsigned its = run->trial->tags[recorded->id];
    if (its == 0)
        return make_call(run, 0, recorded, number);
    const struct change *change = &run->plan->changes[its - 1];
    struct trace_event event = *recorded;
    if (is_gone(run, change, &event) || !change_event(run, change, &event))
        return true;
    return make_call(run, run->has_pool[its] ? its : 0, &event, number);
}

/* Asks for the blocks that come before all others, those of the first change first. */
static bool place_first(struct run *run)
{
    const struct life *life = run->trial->life;
    for (unsigned i = 0; i < run->plan->count; i++) {
        const struct change *change = &run->plan->changes[i];
        for (uint32_t b = 0; change->kind == CHANGE_FIRST && b < change->group->count; b++) {
            uint32_t block = change->group->blocks[b];
            struct trace_event event = *life_birth(life, block);
            event.size = life->blocks[block].largest;
            event.op = event.log2align ? TRACE_ALIGNED : TRACE_MALLOC;
            if (!make_call(run, 0, &event, 0))
                return false;
        }
    }
    return true;
}

/*
 * Pools without end, as for ffalloc size: in one that ends, a block that cannot grow where it lies
 * goes elsewhere. A plan is given up where its mark exceeds the trace's pool, so what has room for
 * one more request beyond that is without end; and small, so that it is made in no time.
 */
static void open_run(struct run *run, struct trial *trial, const struct plan *plan)
{
    *run = (struct run){.trial = trial, .plan = plan, .granule = trial->granule};
    run->has_pool[0] = true;
    for (unsigned i = 0; i < plan->count; i++) {
        if (plan->changes[i].kind == CHANGE_GRANULE)
            run->granule = (size_t)plan->changes[i].to;
        if (plan->changes[i].kind == CHANGE_END)
            run->at_end = i + 1;
        run->has_pool[i + 1] = plan->changes[i].kind == CHANGE_OWN || run->at_end == i + 1;
    }
    run->most =
        ffalloc_target_granules(trial->target, (size_t)trial->pool, run->granule) * run->granule;
    size_t most = (size_t)(run->most + trial->room) / run->granule;
    size_t size = ffalloc_pool_size_for(most, run->granule);
    for (unsigned i = 0; i <= plan->count; i++)
        if (run->has_pool[i] && (!size || !replay_open(&run->pools[i], size, run->granule)))
            die(STATUS_FAILED, "no pool can have granules of %zu bytes", run->granule);
}

static void close_run(struct run *run)
{
    for (unsigned i = 0; i <= PLAN_MOST; i++)
        if (run->has_pool[i])
            replay_close(&run->pools[i]);
    extent_free(&run->extents[0]);
    extent_free(&run->extents[1]);
}

/* Makes the events up to and with `last`; false if they need too large a pool before. */
static bool make_events(struct run *run, uint64_t last)
{
    bool has_early = false;
    for (unsigned i = 0; i < run->plan->count; i++)
        has_early |= run->plan->changes[i].kind == CHANGE_EARLIER;
    tag(run->trial, run->plan);
    bool succeeds = place_first(run);
    uint64_t number = 0;
    while (succeeds && number < last)
        succeeds = make_event(run, ++number, has_early) && run->pools[0].mark <= run->most &&
                   run->both <= run->most;
    untag(run->trial, run->plan);
    run->trial->replayed += number;
    return succeeds;
}

static void sum_pools(const struct run *run, struct outcome *outcome)
{
    *outcome = (struct outcome){.mark_event = run->pools[0].at_mark.event};
    for (unsigned i = 0; i <= run->plan->count; i++) {
        bool is_counted = run->has_pool[i] && (i == 0 || i != run->at_end);
        uint64_t mark = is_counted ? run->pools[i].mark + run->trial->spare : 0;
        if (i == 0 && run->at_end) {
            mark = run->both + 2 * run->trial->spare;
            outcome->mark_event = run->both_event;
        }
        outcome->usable += mark;
        if (mark)
            outcome->pool += plan_pool_size(run->trial, mark, run->granule);
    }
}

bool plan_try(struct trial *trial, const struct plan *plan, struct outcome *outcome)
{
    struct run run;
    open_run(&run, trial, plan);
    bool succeeds = make_events(&run, trial->life->event_count);
    sum_pools(&run, outcome);
    close_run(&run);
    return succeeds && outcome->pool < trial->pool;
}

struct replay plan_until(struct trial *trial, const struct plan *plan, uint64_t event)
{
    struct run run;
    open_run(&run, trial, plan);
    make_events(&run, event);
    struct replay first = run.pools[0];
    run.has_pool[0] = false;
    close_run(&run);
    return first;
}
