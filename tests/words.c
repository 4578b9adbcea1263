/* SPDX-License-Identifier: MIT */
/*
 * The core's functions of words, as compiled: answers records on standard input, of a function's
 * number and two words, by one word each. test_proofs.py compares them with its translations.
 */
#include <stdio.h>

#include "../src/core/node.h"
#include "../src/core/runs.h"

struct record {
    uint64_t function; /* its place in the list of test_proofs.py */
    uint64_t one, other;
};

static uint64_t answer(const struct record *record)
{
    size_t one = (size_t)record->one;
    size_t other = (size_t)record->other;
    switch (record->function) {
    case 0:
        return WORD_BITS;
    case 1:
        return mask_runs_of_4(one);
    case 2:
        return mask_runs(one, other);
    case 3:
        return mask_longest(one);
    case 4:
        return lowest_bit(mask_runs(one, other));
    case 5:
        return end_of(one);
    case 6:
        return bytes_at_least(one, other);
    case 7:
        return bytes_max(one, other);
    default:
        return UINT64_MAX;
    }
}

int main(void)
{
    struct record record;
    while (fread(&record, sizeof record, 1, stdin) == 1) {
        uint64_t word = answer(&record);
        fwrite(&word, sizeof word, 1, stdout);
    }
    return 0;
}
