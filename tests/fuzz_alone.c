/* SPDX-License-Identifier: MIT */
/*
 * Runs a libFuzzer target where that cannot go: -m32, for which Debian has no runtime. Each input
 * of the corpus, then random changes of them, without regard to what they reach.
 *
 *     fuzz-m32 SECONDS CORPUS    FFALLOC_SEED repeats a run; an input that fails is left in
 * ./failed
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "twin.h"

#define INPUT_SIZE  2000u
#define INPUT_LIMIT 200u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
    size_t size;
    uint8_t bytes[INPUT_SIZE];
};

static struct input inputs[INPUT_LIMIT];
static size_t input_count;
static struct input current;

static void read_corpus(const char *folder)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && input_count < INPUT_LIMIT && (entry = readdir(directory))) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        struct input *input = &inputs[input_count++];
        input->size = fread(input->bytes, 1, INPUT_SIZE, file);
        fclose(file);
    }
    if (directory)
        closedir(directory);
    if (input_count == 0) {
        fprintf(stderr, "fuzz: no input in %s\n", folder);
        exit(2);
    }
}

/* Another one's end behind its beginning, then up to 16 other bytes. */
static void change(struct input *input, uint64_t *state)
{
    const struct input *other = &inputs[twin_random(state) % input_count];
    size_t at = twin_random(state) % (input->size + 1);
    size_t from = twin_random(state) % (other->size + 1);
    size_t count = other->size - from;
    count = count < INPUT_SIZE - at ? count : INPUT_SIZE - at;
    memcpy(input->bytes + at, other->bytes + from, count);
    input->size = at + count;
    for (unsigned i = twin_random(state) % 17; i > 0 && input->size > 0; i--)
        input->bytes[twin_random(state) % input->size] = (uint8_t)twin_random(state);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fuzz-m32 SECONDS CORPUS\n");
        return 2;
    }
    const char *text = getenv("FFALLOC_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    time_t end = time(NULL) + atol(argv[1]);
    unsigned long runs = 0;
    printf("FFALLOC_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    read_corpus(argv[2]);
    for (; runs < input_count; runs++)
        LLVMFuzzerTestOneInput(inputs[runs].bytes, inputs[runs].size);
    for (; time(NULL) < end; runs++) {
        current = inputs[twin_random(&state) % input_count];
        change(&current, &state);
        LLVMFuzzerTestOneInput(current.bytes, current.size);
    }
    printf("%lu runs\n", runs);
    return 0;
}
