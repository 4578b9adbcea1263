/* SPDX-License-Identifier: MIT */
/*
 * Replays a trace in a pool of a number of granules of 8 bytes, and prints the hash of where its
 * blocks went (tools/ffalloc/hash.h): the same on every machine. Reads "replay.in" in the current
 * folder, which is the host's for a firmware: the number of granules as a u32, then a trace of
 * version 1 (tools/ffalloc/trace.h), both little-endian whatever this machine is. Given a size and
 * no trace, prints how many granules a pool in an array of that size has.
 */
#include <ffalloc/ffalloc.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/ffalloc/hash.h"

#define GRANULE     8
#define PAGE        4096u
#define RECORD_SIZE 12

static _Alignas(4096) unsigned char memory[1 << 20];
static void *live[20000];

static uint32_t little(const unsigned char *bytes, unsigned count)
{
    uint32_t value = 0;
    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

static int fail(const char *why)
{
    printf("%s\n", why);
    return 1;
}

/* As libffalloc.so and ffalloc replay have it, blocks begin on a page: aligned requests fall alike.
 */
static struct ffalloc_pool *make_pool(uint32_t granules)
{
    struct ffalloc_config config = {.granule = GRANULE};
    size_t size = ffalloc_pool_size_for(granules, GRANULE);
    size_t skip = -(size - (size_t)granules * GRANULE) & (PAGE - 1);
    return skip + size <= sizeof memory ? ffalloc_init_with(memory + skip, size, &config) : NULL;
}

static void *serve(struct ffalloc_pool *pool, const unsigned char *record, void *block)
{
    uint32_t size = little(record + 8, 4);
    switch (record[0]) {
    case 1:
        return ffalloc_malloc(pool, size);
    case 2:
        return ffalloc_calloc(pool, 1, size);
    case 3:
        return ffalloc_realloc(pool, block, size);
    default:
        return ffalloc_aligned_alloc(pool, (size_t)1 << record[1], size);
    }
}

int main(void)
{
    unsigned char start[20], record[RECORD_SIZE];
    FILE *file = fopen("replay.in", "rb");
    if (!file || fread(start, sizeof start, 1, file) != 1)
        return fail("replay.in cannot be read");
    uint32_t granules = little(start, 4);
    uint32_t count = little(start + 12, 4);
    if (count == 0) {
        struct ffalloc_stats stats;
        ffalloc_stats(
            ffalloc_init_with(memory, granules, &(struct ffalloc_config){.granule = GRANULE}),
            &stats);
        printf("%u\n", (unsigned)(stats.usable_size / GRANULE));
        return 0;
    }
    struct ffalloc_pool *pool = make_pool(granules);
    if (!pool)
        return fail("no pool has so many granules here");
    struct ffalloc_marks marks;
    ffalloc_marks(pool, &marks);
    uint64_t hash = HASH_START;
    unsigned failed = 0;
    while (count-- > 0 && fread(record, sizeof record, 1, file) == 1) {
        uint32_t id = little(record + 4, 4);
        if (id >= sizeof live / sizeof *live)
            return fail("too many blocks");
        if (record[0] == 4) {
            ffalloc_free(pool, live[id]);
            live[id] = NULL;
            continue;
        }
        unsigned char *block = serve(pool, record, live[id]);
        size_t offset = (size_t)(block - (unsigned char *)marks.blocks);
        hash = hash_add(hash, block ? offset / GRANULE : HASH_FAILED);
        failed += !block;
        if (block || record[0] != 3)
            live[id] = block;
    }
    struct ffalloc_fault fault;
    if (!ffalloc_check(pool, &fault))
        return fail(fault.rule);
    printf("%08" PRIx32 "%08" PRIx32 " %u\n", (uint32_t)(hash >> 32), (uint32_t)hash, failed);
    return 0;
}
