/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include <string.h>

bool parse_number(const char **text, uint64_t *value)
{
    const char *digit = *text;
    uint64_t number = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (unsigned)(*digit - '0'), &number))
            return false;
    bool is_number = digit != *text;
    *text = digit;
    *value = number;
    return is_number;
}

bool parse_whole(const char *text, uint64_t *value)
{
    return parse_number(&text, value) && *text == '\0';
}

unsigned parse_unit(const char **text)
{
    static const char units[] = "KkMmGgTt";
    const char *unit = **text ? strchr(units, **text) : NULL;
    if (unit) {
        (*text)++;
        *text += strcmp(*text, "iB") == 0 ? 2 : 0;
    }
    *text += strcmp(*text, "B") == 0;
    return unit ? 10 * (unsigned)((unit - units) / 2 + 1) : 0;
}

bool parse_size(const char *text, size_t *size)
{
    uint64_t value;
    if (!parse_number(&text, &value))
        return false;
    unsigned shift = parse_unit(&text);
    if (*text != '\0' || value << shift >> shift != value ||
        (size_t)(value << shift) != value << shift)
        return false;
    *size = (size_t)(value << shift);
    return true;
}

bool parse_probability(const char **text, uint64_t *parts)
{
    uint64_t value;
    if (!parse_number(text, &value) || value > 1)
        return false;
    value <<= 32;
    if (**text == '.') {
        uint64_t weight = (uint64_t)1 << 32;
        for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
            weight /= 10;
            value += weight * (unsigned)(**text - '0');
        }
    }
    *parts = value;
    return value > 0 && value <= (uint64_t)1 << 32;
}

bool parse_word(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

int parse_choice(const char *text, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -1;
}
