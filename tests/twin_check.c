/* SPDX-License-Identifier: MIT */
/* The statistics of a twin's pool against its model. */
#include <stdio.h>

#include "twin.h"

struct field {
    const char *name;
    size_t core;
    size_t model;
};

/* What is told of the blocks and holes there are. */
static struct ffalloc_stats expected_stats(const struct twin *twin)
{
    const struct model *model = &twin->model;
    struct ffalloc_stats stats = twin->counts;
    for (size_t i = 0; i < model->block_count; i++) {
        size_t size = model->blocks[i].count * twin->granule;
        stats.usable_size += size;
        if (model->blocks[i].is_used) {
            stats.used_size += size;
            stats.block_count++;
            continue;
        }
        stats.free_size += size;
        if (stats.hole_count++ == 0 || size < stats.smallest_hole_size)
            stats.smallest_hole_size = size;
        if (size > stats.largest_hole_size)
            stats.largest_hole_size = size;
    }
    stats.granule = twin->granule;
    stats.peak_used_size = model->peak_used * twin->granule;
    stats.least_free_size = stats.usable_size - stats.peak_used_size;
    stats.free_count = stats.alloc_count - stats.block_count;
    stats.high_water_size = model->high_water * twin->granule;
    return stats;
}

bool twin_check(struct twin *twin)
{
    struct ffalloc_fault fault;
    if (!ffalloc_check(twin->pool, &fault)) {
        snprintf(twin->fault, sizeof twin->fault, "check: %s at offset %zu", fault.rule,
                 fault.offset);
        return false;
    }
    struct ffalloc_stats core;
    struct ffalloc_stats model = expected_stats(twin);
    ffalloc_stats(twin->pool, &core);
    const struct field fields[] = {
        {"granule", core.granule, model.granule},
        {"usable_size", core.usable_size, model.usable_size},
        {"used_size", core.used_size, model.used_size},
        {"peak_used_size", core.peak_used_size, model.peak_used_size},
        {"free_size", core.free_size, model.free_size},
        {"least_free_size", core.least_free_size, model.least_free_size},
        {"largest_hole_size", core.largest_hole_size, model.largest_hole_size},
        {"smallest_hole_size", core.smallest_hole_size, model.smallest_hole_size},
        {"hole_count", core.hole_count, model.hole_count},
        {"block_count", core.block_count, model.block_count},
        {"alloc_count", core.alloc_count, model.alloc_count},
        {"free_count", core.free_count, model.free_count},
        {"failed_count", core.failed_count, model.failed_count},
        {"largest_request_size", core.largest_request_size, model.largest_request_size},
        {"slack_total_size", core.slack_total_size, model.slack_total_size},
        {"high_water_size", core.high_water_size, model.high_water_size},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].core == fields[i].model)
            continue;
        snprintf(twin->fault, sizeof twin->fault, "%s: core %zu, model %zu", fields[i].name,
                 fields[i].core, fields[i].model);
        return false;
    }
    return true;
}

bool twin_reset(struct twin *twin)
{
    ffalloc_reset_marks(twin->pool);
    model_reset_marks(&twin->model);
    twin->counts.largest_request_size = 0;
    return true;
}
