/* SPDX-License-Identifier: MIT */
/* The report at exit, as a person reads it and as JSON. */
#include <stdio.h>

#include "heap.h"
#include "message.h"

/* A size in a person's units, in one of a few buffers of the caller. */
struct size_text {
    char text[24];
};

static const char *person(struct size_text *buffer, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)size;
    unsigned unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(buffer->text, sizeof buffer->text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buffer->text;
}

static double percent(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* What of the free memory is not in the largest hole. */
static double fragmentation(const struct ffalloc_stats *stats)
{
    return percent(stats->free_size - stats->largest_hole_size, stats->free_size);
}

/* Copies a program's name, as a JSON string or a terminal may have it. */
static void copy_name(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++)
        to[i] = from[i] == '"' || from[i] == '\\' ? '_' : from[i];
    to[i] = '\0';
    message_clean(to);
}

struct report {
    struct ffalloc_stats stats;
    char name[128]; /* of the program */
    unsigned shards_used;
    size_t pool_size;  /* memory of the pool or pools, metadata included */
    size_t least_size; /* the smallest pool for this run; 0: not known */
    size_t hole_size;  /* free bytes below the high-water mark */
    size_t asked_size; /* with guards: bytes that live blocks were asked for */
};

/* With guards, of what the program knows of. */
static size_t asked_size_now(void)
{
    size_t size = 0;
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct shard *shard = &heap.shards[i];
        heap_lock(shard);
        size += shard->pool ? guards_live(shard).asked_size : 0;
        heap_unlock(shard);
    }
    return size;
}

static struct report report_now(void)
{
    struct report report = {0};
    copy_name(report.name, sizeof report.name, options_base_name(os_start().program));
    report.shards_used = heap_stats(&report.stats);
    report.pool_size = heap.options.pool_size ? heap.options.pool_size
                       : heap.is_growing      ? heap.opened_size
                                              : heap.arena_size;
    size_t granules = report.stats.high_water_size / (report.stats.granule + !report.stats.granule);
    granules += granules == 0;
    if (report.shards_used == 1 && report.stats.failed_count == 0)
        report.least_size = heap.options.pool_target
                                ? ffalloc_target_pool_size_for(heap.options.pool_target, granules,
                                                               report.stats.granule)
                                : ffalloc_pool_size_for(granules, report.stats.granule);
    if (heap.guards.has_guards || sampling.size > 0)
        report.least_size = 0;
    if (heap.guards.has_guards)
        report.asked_size = asked_size_now();
    report.hole_size = report.stats.high_water_size - report.stats.used_size;
    return report;
}

/* Why another run may need another pool; "" if it does not. */
static const char *caveat(void)
{
    if (!__libc_single_threaded)
        return ";\n                   another run may need another: its threads interleave "
               "otherwise";
    if (heap.has_large_alignment)
        return ";\n                   another run may need another: alignments above 2 MiB were "
               "asked for";
    return "";
}

static int format_least(char *text, size_t size, const struct report *report)
{
    struct size_text a;
    if (report->least_size)
        return snprintf(text, size,
                        "this run fits in a pool of %zu bytes (%s): FFALLOC_POOL=%zu%s%s\n",
                        report->least_size, person(&a, report->least_size), report->least_size,
                        heap.options.pool_device ? heap.options.pool_device : "", caveat());
    if (report->stats.failed_count)
        return snprintf(text, size, "%zu request%s failed: what this run needs is not known\n",
                        report->stats.failed_count, report->stats.failed_count == 1 ? "" : "s");
    if (heap.guards.has_guards)
        return snprintf(
            text, size,
            "with guards; FFALLOC_GUARD=0, or record and size, tell the pool without\n");
    if (sampling.size > 0)
        return snprintf(text, size,
                        "blocks lay outside the pools; without FFALLOC_SAMPLE it is told\n");
    return snprintf(text, size,
                    "threads used %u pools: run with FFALLOC_POOL=1G for the size of one\n",
                    report->shards_used);
}

static const char *placement(char *text, size_t size)
{
    const struct guards *guards = &heap.guards;
    struct size_text quarantine;
    int length = 0;
    if (guards->has_guards)
        length = snprintf(text, size, "not exact: guards of %zu bytes%s, a quarantine of %s",
                          guards->guard.size, guards->is_default ? " by default here" : "",
                          person(&quarantine, guards->quarantine_size));
    if (sampling.size > 0)
        length +=
            snprintf(text + length, size - (size_t)length, "%s1 request of %zu outside, %zu so far",
                     length ? ", " : "not exact: ", sampling.every, sampling.count);
    return length ? text : "exact first fit";
}

/* What the program has: with guards as it was asked for. */
static int format_in_use(char *text, size_t size, const struct report *report)
{
    struct size_text used;
    size_t count = report->stats.block_count;
    bool is_asked = heap.guards.has_guards;
    size_t used_size = is_asked ? report->asked_size : report->stats.used_size;
    return snprintf(text, size, "%s (%zu bytes) %sin %zu block%s", person(&used, used_size),
                    used_size, is_asked ? "asked for " : "", count, count == 1 ? "" : "s");
}

static int format_text(char *text, size_t size, const struct report *report)
{
    const struct ffalloc_stats *stats = &report->stats;
    struct size_text a, b, c, e, f, g;
    char least[240], in_use[100], how[180];
    format_least(least, sizeof least, report);
    format_in_use(in_use, sizeof in_use, report);
    return snprintf(
        text, size,
        "ffalloc: %s, process %u: %s, granule %zu bytes\n"
        "  %s %s (%zu bytes) in %u pool%s, %u used\n"
        "  peak use         %s (%zu bytes)\n"
        "  high-water mark  %s (%zu bytes), %.1f %% above the peak use\n"
        "                   %s"
        "  in use now       %s\n"
        "  requests         %zu served, %zu failed, %zu frees; the largest %s;\n"
        "                   rounding up to granules added %.1f bytes to each on average\n"
        "  holes            %zu, %s%s; the largest %s; fragmentation %.1f %%\n",
        report->name, os_process_id(), placement(how, sizeof how), stats->granule,
        heap.is_growing ? "memory mapped   " : "memory          ", person(&a, report->pool_size),
        report->pool_size, heap.shard_count, heap.shard_count == 1 ? "" : "s", report->shards_used,
        person(&b, stats->peak_used_size), stats->peak_used_size,
        person(&c, stats->high_water_size), stats->high_water_size,
        percent(stats->high_water_size - stats->peak_used_size, stats->peak_used_size), least,
        in_use, stats->alloc_count, stats->failed_count, stats->free_count,
        person(&e, stats->largest_request_size),
        stats->alloc_count ? (double)stats->slack_total_size / (double)stats->alloc_count : 0.0,
        stats->hole_count, heap.is_growing ? "all below the mark, " : "below the mark ",
        person(&f, report->hole_size), person(&g, stats->largest_hole_size), fragmentation(stats));
}

static int format_json(char *text, size_t size, const struct report *report)
{
    const struct ffalloc_stats *stats = &report->stats;
    return snprintf(
        text, size,
        "{\"program\":\"%s\",\"pid\":%u,\"version\":\"" FFALLOC_VERSION "\",\"granule\":%zu,"
        "\"pools\":%u,\"pool_size\":%zu,\"usable_size\":%zu,\"used_size\":%zu,"
        "\"peak_used_size\":%zu,\"high_water_size\":%zu,\"min_pool\":%zu,\"free_size\":%zu,"
        "\"least_free_size\":%zu,\"largest_hole_size\":%zu,\"smallest_hole_size\":%zu,"
        "\"hole_count\":%zu,\"block_count\":%zu,\"alloc_count\":%zu,\"free_count\":%zu,"
        "\"failed_count\":%zu,\"largest_request_size\":%zu,\"slack_total_size\":%zu,"
        "\"fragmentation_percent\":%.2f,\"guard_size\":%zu,\"quarantine_size\":%zu,"
        "\"asked_size\":%zu,\"sample\":%zu,\"sampled_count\":%zu}\n",
        report->name, os_process_id(), stats->granule, report->shards_used, report->pool_size,
        stats->usable_size, stats->used_size, stats->peak_used_size, stats->high_water_size,
        report->least_size, stats->free_size, stats->least_free_size, stats->largest_hole_size,
        stats->smallest_hole_size, stats->hole_count, stats->block_count, stats->alloc_count,
        stats->free_count, stats->failed_count, stats->largest_request_size,
        stats->slack_total_size, fragmentation(stats), heap.guards.guard.size,
        heap.guards.quarantine_size, report->asked_size, sampling.every, sampling.count);
}

static bool write_report(int descriptor, enum stats_format format)
{
    char text[REPORT_SIZE];
    struct report report = report_now();
    int length = format == STATS_JSON ? format_json(text, sizeof text, &report)
                                      : format_text(text, sizeof text, &report);
    return descriptor >= 0 && os_write(descriptor, text, (size_t)length);
}

void heap_report_text(char *text)
{
    struct report report = report_now();
    format_text(text, REPORT_SIZE, &report);
}

/* FFALLOC_LOG with each %p replaced by the process's number. */
static void log_path(char *path, size_t size, const char *pattern)
{
    size_t length = 0;
    for (; *pattern && length + 12 < size; pattern++) {
        if (pattern[0] == '%' && pattern[1] == 'p') {
            length += (size_t)snprintf(path + length, size - length, "%u", os_process_id());
            pattern++;
        } else {
            path[length++] = *pattern;
        }
    }
    path[length] = '\0';
}

void heap_open_report(void)
{
    if (heap.options.stats == STATS_NONE)
        return;
    output_keep(&heap.standard_error);
    heap.report = heap.standard_error;
    if (heap.options.log_descriptor == 2)
        return;
    output_open(&heap.report, heap.options.log_descriptor);
    output_keep(&heap.report);
}

static bool is_reported_to_file(const struct options *options)
{
    char path[4096];
    log_path(path, sizeof path, options->log);
    int descriptor = os_open_log(path);
    bool is_done = write_report(descriptor, options->stats);
    if (descriptor >= 0)
        os_close(descriptor);
    return is_done;
}

void heap_report(void)
{
    const struct options *options = &heap.options;
    char number[12];
    if (options->stats == STATS_NONE || heap.shard_count == 0)
        return;
    if (options->log ? is_reported_to_file(options)
                     : write_report(output_now(&heap.report), options->stats))
        return;
    if (!options->log && options->log_descriptor == 2)
        return;
    snprintf(number, sizeof number, "%d", options->log_descriptor);
    heap_message("cannot write FFALLOC_LOG=%s: reporting here instead",
                 options->log ? options->log : number);
    write_report(output_for_message(&heap.standard_error), options->stats);
}
