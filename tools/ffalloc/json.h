/* SPDX-License-Identifier: MIT */
/* What the commands that print JSON share. */
#ifndef FFALLOC_TOOLS_JSON_H
#define FFALLOC_TOOLS_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

void json_add(cJSON *object, const char *name, uint64_t number);

/* Prints it, for people to read with lines, and frees it. */
void json_print(cJSON *object, bool has_lines);

#endif
