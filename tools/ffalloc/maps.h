/* SPDX-License-Identifier: MIT */
/* What a process has mapped from files, as lines of /proc/PID/maps, gathered over its life. */
#ifndef FFALLOC_TOOLS_MAPS_H
#define FFALLOC_TOOLS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct maps {
    struct maps_line {
        uint64_t start, end;
        char *text;
    } * lines; /* by address */
    size_t line_count, line_size;
    char partial[1024]; /* of a line whose rest has not come yet */
    size_t partial_length;
};

/* Takes a piece of such text. */
void maps_add_text(struct maps *maps, const char *text, size_t length);

/* Reads the maps of a process that still runs. */
void maps_read(struct maps *maps, unsigned process);

bool maps_has(const struct maps *maps, uint64_t address);

/* All lines, as one text of this length, to be freed. */
char *maps_text(const struct maps *maps, size_t *length);

void maps_free(struct maps *maps);

#endif
