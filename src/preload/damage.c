/* SPDX-License-Identifier: MIT */
#include "damage.h"

#include <dlfcn.h>
#include <stdio.h>

#include "heap.h"

/* By the names that `ffalloc size` and its like have without debugging information. */
const char *damage_site(char *text, const void *site)
{
    Dl_info info;
    text[0] = '\0';
    if (site && dladdr(site, &info) != 0 && info.dli_fname)
        snprintf(text, SITE_SIZE, "%.60s+0x%zx", options_base_name(info.dli_fname),
                 (size_t)((const char *)site - (const char *)info.dli_fbase));
    else if (site)
        snprintf(text, SITE_SIZE, "%p", site);
    return text;
}

static void format_bytes(char *text, size_t size, const struct damage *damage)
{
    size_t count = damage->count < DAMAGE_BYTES ? damage->count : DAMAGE_BYTES;
    int length = 0;
    for (size_t i = 0; i < count; i++)
        length += snprintf(text + length, size - (size_t)length, " %02x", damage->bytes[i]);
    if (damage->count > count)
        snprintf(text + length, size - (size_t)length, " ...");
}

/* Where the first byte lies, seen from the block. */
static void format_place(char *text, size_t size, const struct damage *damage)
{
    const char *unit = damage->count == 1 ? "byte" : "bytes";
    const char *most = damage->is_count_known ? "" : "up to ";
    size_t before = (size_t)(damage->block - damage->first);
    if (damage->kind == DAMAGE_UNDERFLOW && before == damage->count)
        snprintf(text, size, "%s%zu %s before it", most, damage->count, unit);
    else if (damage->kind == DAMAGE_UNDERFLOW)
        snprintf(text, size, "%s%zu %s, %zu before it,", most, damage->count, unit, before);
    else
        snprintf(text, size, "%s%zu %s from byte %zu on", most, damage->count, unit,
                 (size_t)(damage->first - damage->block));
}

static void format_neighbour(char *text, size_t size, const struct damage *damage)
{
    const struct ffalloc_block *neighbour = &damage->neighbour;
    text[0] = '\0';
    if (neighbour->address)
        snprintf(text, size, "; %s of it a %s of %zu bytes at %p",
                 damage->kind == DAMAGE_OVERFLOW ? "right" : "left",
                 neighbour->is_used ? "block" : "hole", neighbour->size, neighbour->address);
}

static void format_sites(char *text, size_t size, const struct damage *damage)
{
    char site[SITE_SIZE], freed_at[SITE_SIZE];
    damage_site(site, damage->site);
    damage_site(freed_at, damage->freed_at);
    snprintf(text, size, "%s%s%s%s", *site ? "; asked for at " : "", site,
             *freed_at ? "; freed at " : "", freed_at);
}

static void tell(const struct damage *damage)
{
    static const char *const kinds[] = {"overflow of", "underflow of", "write after free to",
                                        "write after free to"};
    char place[64], bytes[40], neighbour[80], sites[200];
    format_place(place, sizeof place, damage);
    format_bytes(bytes, sizeof bytes, damage);
    format_neighbour(neighbour, sizeof neighbour, damage);
    format_sites(sites, sizeof sites, damage);
    heap_message("%s a %s of %s%zu bytes at %p: %s overwritten by%s%s%s; seen by %s",
                 kinds[damage->kind], damage->kind == DAMAGE_IN_HOLE ? "hole" : "block",
                 damage->is_asked_known ? "" : "at most ", damage->asked,
                 (const void *)damage->block, place, bytes, sites, neighbour, damage->found_by);
}

void damage_tell_waiting(struct shard *shard, const void *block, const struct guard_end *end,
                         const void *freed_at)
{
    struct damage damage = {.site = (const void *)end->site, .freed_at = freed_at};
    const char *call = heap_call ? heap_call : "double free";
    char sites[200];
    struct locks locks = misuse_give_locks(shard);
    format_sites(sites, sizeof sites, &damage);
    heap_message("%s of a block of %zu bytes at %p, which was freed%s", call, end->asked, block,
                 sites);
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}

void damage_tell(struct shard *shard, const struct damage *damage)
{
    struct locks locks = misuse_give_locks(shard);
    tell(damage);
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}
