/* SPDX-License-Identifier: MIT */
#include "reasons.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "json.h"
#include "text.h"

#define WHAT_IFS 24u
#define HOLES    8u
#define HOLDERS  12u
#define BLOCKS   64u /* of a group, whose events are listed */

static void add_site(cJSON *object, const struct reasons *reasons, uint32_t site)
{
    if (site)
        cJSON_AddStringToObject(
            object, "site", symbols_text(reasons->symbols, &reasons->sizing.trace->stacks[site]));
    json_add(object, "site_number", site);
}

/* A block as it is known by: the call that it comes from. */
static void add_block(cJSON *object, const struct reasons *reasons, uint32_t number)
{
    const struct block *block = &reasons->life.blocks[number];
    const struct trace_event *birth = life_birth(&reasons->life, number);
    json_add(object, "event", block->birth);
    cJSON_AddStringToObject(object, "call", trace_op_name(birth->op));
    json_add(object, "size", birth->size);
    json_add(object, "largest", block->largest);
    json_add(object, "resizes", block->resize_count);
    if (block->death)
        json_add(object, "freed", block->death);
    add_site(object, reasons, birth->site);
}

static void add_moment(cJSON *root, const struct reasons *reasons)
{
    const struct replay *replay = &reasons->sizing.replay;
    const struct trace_event *asked = &replay->at_mark.asked;
    cJSON *mark = cJSON_AddObjectToObject(root, "set_by");
    json_add(mark, "event", replay->at_mark.event);
    cJSON_AddStringToObject(mark, "call", trace_op_name(asked->op));
    json_add(mark, "size", asked->size);
    add_site(mark, reasons, asked->site);
    json_add(root, "payload", replay->at_mark.payload);
    json_add(root, "rounding", replay->at_mark.rounded - replay->at_mark.payload);
    json_add(root, "holes", reasons->sizing.mark_usable - replay->at_mark.rounded);
    json_add(root, "metadata", reasons->sizing.mark_pool - reasons->sizing.mark_usable);
}

static void add_hole(cJSON *array, const struct reasons *reasons, const struct hole *hole)
{
    const struct life *life = &reasons->life;
    uint32_t above = reasons->mark.blocks[hole->above];
    uint64_t mark_time = life_event(life, reasons->mark.event)->time;
    cJSON *object = cJSON_CreateObject();
    json_add(object, "offset", hole->offset);
    json_add(object, "size", hole->size);
    json_add(object, "since", hole->since);
    json_add(object, "age", mark_time - (hole->since ? life_event(life, hole->since)->time : 0));
    json_add(object, "refused", hole->refused_count);
    if (hole->refused_count)
        json_add(object, "refused_least", hole->refused_least);
    json_add(object, "blocks_above", hole->run_count);
    json_add(object, "bytes_above", hole->run_size);
    cJSON *pin = cJSON_AddObjectToObject(object, "below");
    add_block(pin, reasons, above);
    json_add(pin, "offset", reasons->mark.offsets[hole->above]);
    json_add(pin, "age", mark_time - life_birth(life, above)->time);
    cJSON_AddItemToArray(array, object);
}

static void add_group(cJSON *object, const struct reasons *reasons, const struct group *group)
{
    static const char *const names[] = {"block", "run", "size", "site", "pool"};
    cJSON_AddStringToObject(object, "by", names[group->by]);
    json_add(object, "count", group->count);
    if (group->by == BY_NONE)
        return;
    if (group->by == BY_SITE)
        add_site(object, reasons, (uint32_t)group->value);
    if (group->by == BY_SIZE)
        json_add(object, "size", group->value);
    add_block(cJSON_AddObjectToObject(object, "begins_with"), reasons, group->blocks[0]);
    cJSON *events = cJSON_AddArrayToObject(object, "events");
    for (uint32_t i = 0; i < group->count && i < BLOCKS; i++)
        cJSON_AddItemToArray(events,
                             cJSON_CreateNumber(reasons->life.blocks[group->blocks[i]].birth));
}

static cJSON *change_object(const struct reasons *reasons, const struct change *change)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "change", change_name(change->kind));
    if (change->to) {
        json_add(object, "from", change->from);
        json_add(object, "to", change->to);
    }
    add_group(object, reasons, change->group);
    return object;
}

static void add_outcome(cJSON *object, const struct reasons *reasons, const struct outcome *outcome)
{
    const struct sizing *sizing = &reasons->sizing;
    cJSON_AddNumberToObject(object, "saved", (double)sizing->mark_pool - (double)outcome->pool);
    cJSON_AddNumberToObject(object, "saved_usable",
                            (double)sizing->mark_usable - (double)outcome->usable);
    json_add(object, "pool", outcome->pool);
    json_add(object, "usable", outcome->usable);
}

static cJSON *what_if_object(const struct reasons *reasons, const struct what_if *what_if)
{
    cJSON *object = cJSON_CreateObject();
    add_outcome(object, reasons, &what_if->outcome);
    cJSON *changes = cJSON_AddArrayToObject(object, "changes");
    for (unsigned i = 0; i < what_if->plan.count; i++)
        cJSON_AddItemToArray(changes, change_object(reasons, &what_if->plan.changes[i]));
    return object;
}

static void add_together(cJSON *root, const struct reasons *reasons)
{
    const struct search *search = &reasons->search;
    if (search->best.plan.count == 0)
        return;
    cJSON *object = what_if_object(reasons, &search->best);
    cJSON *change = NULL;
    unsigned i = 0;
    cJSON_ArrayForEach(change, cJSON_GetObjectItem(object, "changes"))
        json_add(change, "pool_so_far", search->steps[i++].pool);
    cJSON_AddItemToObject(root, "together", object);
}

static void add_lists(cJSON *root, const struct reasons *reasons)
{
    cJSON *holes = cJSON_AddArrayToObject(root, "largest_holes");
    for (unsigned i = 0; i < reasons->mark.hole_count && i < HOLES; i++)
        add_hole(holes, reasons, &reasons->mark.holes[i]);
    cJSON *what_ifs = cJSON_AddArrayToObject(root, "what_ifs");
    for (size_t i = 0; i < reasons->search.found_count && i < WHAT_IFS; i++)
        cJSON_AddItemToArray(what_ifs, what_if_object(reasons, &reasons->search.found[i]));
    add_together(root, reasons);
    json_add(root, "tried", reasons->search.tried);
}

/* What the payload at the mark is, by site; without sites by size. */
static void add_holders(cJSON *root, const struct reasons *reasons)
{
    uint32_t count;
    bool has_sites = reasons->sizing.trace->stack_count > 1;
    enum group_by by = has_sites ? BY_SITE : BY_SIZE;
    struct holder *holders = holders_take(&reasons->life, &reasons->mark, by, &count);
    cJSON *array = cJSON_AddArrayToObject(root, has_sites ? "held_by_site" : "held_by_size");
    for (uint32_t i = 0; i < count && i < HOLDERS; i++) {
        cJSON *object = cJSON_CreateObject();
        if (has_sites)
            add_site(object, reasons, (uint32_t)holders[i].value);
        else
            json_add(object, "size", holders[i].value);
        json_add(object, "bytes", holders[i].bytes);
        json_add(object, "never_freed", holders[i].forever);
        json_add(object, "blocks", holders[i].count);
        cJSON_AddItemToArray(array, object);
    }
    free(holders);
}

void reasons_print(const struct reasons *reasons)
{
    const struct sizing *sizing = &reasons->sizing;
    size_t granule = reasons->trial.granule;
    uint64_t bound = life_bound(&reasons->life, granule);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "trace", printable(sizing->trace->path));
    json_add(root, "events", sizing->event_count);
    json_add(root, "granule", granule);
    json_add(root, "threads", sizing->thread_count);
    json_add(root, "failed_while_recording", sizing->failed_before);
    cJSON_AddBoolToObject(root, "is_exact", sizing_is_exact(sizing));
    json_add(root, "spare", reasons->trial.spare);
    json_add(root, "min_usable", sizing->mark_usable);
    json_add(root, "min_pool", sizing->mark_pool);
    json_add(root, "least_pool",
             sizing->min_pool); /* what-ifs are compared without what size tries */
    json_add(root, "bound_usable", bound);
    json_add(root, "bound_pool", plan_pool_size(&reasons->trial, bound, granule));
    add_moment(root, reasons);
    add_lists(root, reasons);
    add_holders(root, reasons);
    json_print(root, true);
}
