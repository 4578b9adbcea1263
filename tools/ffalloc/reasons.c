/* SPDX-License-Identifier: MIT */
/* ffalloc reasons: why a trace needs its pool and what would change that, as JSON for `why`. */
#include "reasons.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "sites.h"

struct arguments {
    const char *path;
    size_t granule;
    unsigned target;
};

static const struct argp_option options[] = {
    {"granule", 'g', "BYTES", 0, "8 to 4096; default: as recorded, or 16", 0},
    {"target", 't', "BITS", 0, "32, 64, 32-small or 64-small; default: this machine", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'g':
        arguments->granule = parse_granule_argument(text);
        break;
    case 't':
        arguments->target = parse_target_argument(text);
        break;
    case ARGP_KEY_ARG:
        arguments->path = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options, parse, "TRACE", "Prints what ffalloc why tells, as JSON.", sites_children, NULL, NULL};

/* Calls of one site are of one group, by whatever ways the program came there. */
static void merge_sites(struct reasons *reasons)
{
    struct sizing *sizing = &reasons->sizing;
    reasons->symbols = symbols_open(sizing->trace->maps);
    uint32_t *same = symbols_merge(reasons->symbols, sizing->trace);
    for (uint32_t i = 0; i < reasons->life.event_count; i++)
        reasons->life.events[i].site = same[reasons->life.events[i].site];
    sizing->replay.at_mark.asked.site = same[sizing->replay.at_mark.asked.site];
    free(same);
}

/* The largest request, rounded up to a power of two and to any granule, at any address. */
static uint64_t room_of(const struct life *life, uint64_t largest_alignment)
{
    uint64_t largest = 0;
    for (uint32_t i = 0; i < life->block_count; i++)
        if (life->blocks[i].largest > largest)
            largest = life->blocks[i].largest;
    return 2 * largest + 2 * largest_alignment + 2 * REPLAY_PAGE;
}

static void take_reasons(struct reasons *reasons, const struct arguments *arguments)
{
    struct sizing *sizing = &reasons->sizing;
    unsigned target = sizing_target(arguments->target);
    sizing_take(sizing, arguments->path, arguments->path,
                sizing_granule(arguments->granule, target), target, 0);
    if (sizing->replay.at_mark.event == 0)
        die(STATUS_FAILED, "%s: no request in it was served", arguments->path);
    life_load(&reasons->life, sizing->trace);
    merge_sites(reasons);
    size_t granule = sizing->replay.granule;
    uint64_t largest = (uint64_t)1 << sizing->largest_log2;
    reasons->trial = (struct trial){
        .life = &reasons->life,
        .granule = granule,
        .target = target,
        .room = room_of(&reasons->life, largest),
        .pool = sizing->mark_pool,
        .spare = largest > granule ? largest - granule : 0,
        .tags = allocate(reasons->life.block_count),
    };
    static const struct plan unchanged = {.count = 0};
    mark_take(&reasons->mark, &reasons->trial, &unchanged, sizing->replay.at_mark.event);
    mark_date(&reasons->mark, &reasons->trial);
    search_all(&reasons->search, &reasons->trial, &reasons->mark);
}

int command_reasons(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct reasons reasons = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (!arguments.path)
        die(STATUS_USAGE, "reasons: no trace is named");
    take_reasons(&reasons, &arguments);
    reasons_print(&reasons);
    finish_output();
    symbols_close(reasons.symbols);
    search_free(&reasons.search);
    mark_free(&reasons.mark);
    life_free(&reasons.life);
    free(reasons.trial.tags);
    sizing_close(&reasons.sizing);
    return STATUS_OK;
}
