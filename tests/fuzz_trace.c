/* SPDX-License-Identifier: MIT */
/*
 * For libFuzzer: the input is a trace, read to its end and then once more. Whatever it is, the
 * reader ends, says what is wrong or hands out events that make sense, and the second reading
 * sees what the first saw. Each input is also tried as the records of a trace of either version.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace.h"

static void need(int condition)
{
    if (!condition)
        abort();
}

static uint64_t read_all(struct trace *trace)
{
    struct trace_event event;
    while (trace_next(trace, &event)) {
        need(event.op >= TRACE_MALLOC && event.op <= TRACE_FAILED);
        need(event.site < trace->stack_count);
        need(event.id < trace->id_count || event.op == TRACE_FAILED);
    }
    need(!trace_next(trace, &event));
    return trace->event_count;
}

static void try(const uint8_t *start, size_t start_size, const uint8_t *data, size_t size)
{
    char path[40];
    int descriptor = memfd_create("trace", MFD_CLOEXEC);
    need(descriptor >= 0);
    need(write(descriptor, start, start_size) == (ssize_t)start_size);
    need(write(descriptor, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    struct trace *trace = trace_open(path);
    uint64_t count = read_all(trace);
    const char *error = trace->error;
    if (trace_rewind(trace))
        need(read_all(trace) == count && trace->error == error);
    trace_close(trace);
    close(descriptor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t version_2[16] = "FTRC\2";
    uint8_t version_1[16] = "FTRC\1";
    uint64_t count = size / 12;
    memcpy(version_1 + 8, &count, sizeof count);
    try(data, 0, data, size);
    try(version_1, sizeof version_1, data, size);
    try(version_2, sizeof version_2, data, size);
    return 0;
}
