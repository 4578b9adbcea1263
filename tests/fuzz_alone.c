/* SPDX-License-Identifier: MIT */
/*
 * Runs a libFuzzer target where that cannot go: -m32, for which Debian has no runtime. Each input
 * of the corpus, then random changes of them, without regard to what they reach.
 *
 *     fuzz-m32 SECONDS CORPUS    FFALLOC_SEED repeats a run
 *     fuzz-m32 FILE              one input
 *
 * An input that fails, or takes longer than LONGEST, is written to ./failed-SEED-RUN, which
 * is said.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "twin.h"

#define INPUT_SIZE  2000u
#define INPUT_LIMIT 400u
#ifndef LONGEST
#define LONGEST 20u /* seconds */
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
    size_t size;
    uint8_t bytes[INPUT_SIZE];
};

static struct input inputs[INPUT_LIMIT];
static size_t input_count;
static struct input current;
static unsigned long runs;
static char failed_name[64]; /* of the file for the input under way */

static void read_input(struct input *input, FILE *file)
{
    input->size = fread(input->bytes, 1, INPUT_SIZE, file);
    fclose(file);
}

/* Leaves the input under way in its file; what raised the signal then ends the program. */
static void leave_input(int number)
{
    static const char start[] = "fuzz: the input is left in ";
    int file = open(failed_name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool is_left = file >= 0 && write(file, current.bytes, current.size) == (ssize_t)current.size;
    if (is_left && write(2, start, sizeof start - 1) > 0 &&
        write(2, failed_name, strlen(failed_name)) > 0 && write(2, "\n", 1) > 0)
        close(file);
    raise(number); /* as SA_RESETHAND has it, the default now */
}

static void watch(void)
{
    static const int numbers[] = {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    struct sigaction action = {.sa_handler = leave_input, .sa_flags = SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}

static void run(uint64_t seed)
{
    snprintf(failed_name, sizeof failed_name, "failed-%llu-%lu", (unsigned long long)seed, runs++);
    alarm(LONGEST);
    LLVMFuzzerTestOneInput(current.bytes, current.size);
    alarm(0);
}

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
        read_input(&inputs[input_count++], file);
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

static int run_one(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "fuzz: cannot read %s\n", path);
        return 2;
    }
    read_input(&current, file);
    LLVMFuzzerTestOneInput(current.bytes, current.size);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return run_one(argv[1]);
    if (argc != 3) {
        fprintf(stderr, "usage: fuzz-m32 SECONDS CORPUS\n       fuzz-m32 FILE\n");
        return 2;
    }
    const char *text = getenv("FFALLOC_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    time_t end = time(NULL) + atol(argv[1]);
    printf("FFALLOC_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    watch();
    read_corpus(argv[2]);
    while (runs < input_count) {
        current = inputs[runs];
        run(seed);
    }
    while (time(NULL) < end) {
        current = inputs[twin_random(&state) % input_count];
        change(&current, &state);
        run(seed);
    }
    printf("%lu runs\n", runs);
    return 0;
}
