/* SPDX-License-Identifier: MIT */
/*
 * Values in environment variables. These run inside the first malloc of the process, maybe before
 * libc is ready: so no strtol, which asks for the locale, and nothing that allocates. Each returns
 * whether there was such a value; those that take a `const char **` move it past the value.
 */
#ifndef FFALLOC_PRELOAD_PARSE_H
#define FFALLOC_PRELOAD_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits. */
bool parse_number(const char **text, uint64_t *value);

/* Decimal digits and nothing after them. */
bool parse_whole(const char *text, uint64_t *value);

/* An optional K, M, G or T and B or iB after a number: the power of two that it stands for. */
unsigned parse_unit(const char **text);

/* A number with an optional K, M, G or T (powers of 1024), B or iB after it. */
bool parse_size(const char *text, size_t *size);

/* More than 0 and at most 1, such as 0.01, as parts of 2^32. */
bool parse_probability(const char **text, uint64_t *parts);

/* This word. */
bool parse_word(const char **text, const char *word);

/* The place of `text` among `count` words, or -1. */
int parse_choice(const char *text, const char *const *words, int count);

#endif
