/* SPDX-License-Identifier: MIT */
/*
 * Whether an allocator for small devices serves all calls of a trace in a pool of a size:
 *
 *   pools TRACE SIZE     status 0 if it does, 1 if not; SIZE 0 prints the peak of live bytes
 *
 * Linked with one of peers/. A realloc is the allocator's own, where it has one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ftrc.h"
#include "peers/peer.h"

#define SLOTS_MOST ((size_t)1 << 20)
#define POOL_MOST  ((size_t)8 << 20)

static void *blocks[SLOTS_MOST];
static uint32_t sizes[SLOTS_MOST];

/* By hand: as programs do on an allocator without realloc. */
static void *move(void *block, size_t size)
{
    void *moved = peer_malloc(size);
    if (moved)
        peer_free(block);
    return moved;
}

static void *resize(void *block, size_t size)
{
    void *resized = peer_realloc(block, size);
    return resized ? resized : move(block, size);
}

static bool serve(const struct record *record)
{
    void **block = &blocks[record->id];
    if (record->op == OP_FREE) {
        peer_free(*block);
        *block = NULL;
        return true;
    }
    *block = record->op == OP_REALLOC && *block ? resize(*block, record->size)
                                                : peer_malloc(record->size);
    if (*block)
        memset(*block, 0xa5, record->size);
    return *block != NULL;
}

int main(int argc, char **argv)
{
    static _Alignas(4096) unsigned char memory[POOL_MOST];
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    size_t size = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct record record;
    if (!file || size > POOL_MOST || fseek(file, 16, SEEK_SET) != 0)
        return 2;
    if (size > 0 && !peer_start(memory, size))
        return 1;
    uint64_t live = 0;
    uint64_t peak = 0;
    while (fread(&record, sizeof record, 1, file) == 1) {
        if (record.id >= SLOTS_MOST || record.op == OP_ALIGNED)
            return 2;
        if (size > 0 && !serve(&record))
            return 1;
        live -= record.op == OP_FREE || record.op == OP_REALLOC ? sizes[record.id] : 0;
        sizes[record.id] = record.op == OP_FREE ? 0 : record.size;
        live += sizes[record.id];
        peak = live > peak ? live : peak;
    }
    if (size == 0)
        printf("%llu\n", (unsigned long long)peak);
    return 0;
}
