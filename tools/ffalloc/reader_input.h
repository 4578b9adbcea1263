/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a trace's file, decompressed: what reader.c makes records of. Whatever they are,
 * nothing beyond them is touched and nothing is believed.
 */
#ifndef FFALLOC_TOOLS_READER_INPUT_H
#define FFALLOC_TOOLS_READER_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "trace.h"

struct reader {
    int descriptor;
    bool is_compressed;
    bool is_at_end; /* of the file */
    bool is_in_frame;
    ZSTD_DStream *stream;
    unsigned char *input;
    size_t input_at, input_end;
    unsigned char *output; /* decompressed, not yet read */
    size_t output_at, output_end;
    uint8_t *is_live; /* of each id */
    size_t live_size;
    uint64_t promised_count; /* of events; all ones: not known */
    bool has_ended;
    bool is_cut_told;            /* it was said that the trace is truncated */
    bool (*wait)(void *context); /* trace_follow */
    void *wait_context;
};

#define READER_INPUT_SIZE  ((size_t)1 << 17)
#define READER_OUTPUT_SIZE ((size_t)1 << 18)

/* Says why a trace is none. Always false. */
bool reader_refuse(struct trace *trace, const char *why);

/* What ends too early is taken for what there is of it. Always false. */
bool reader_cut(struct trace *trace);

/* Opens a trace, which is read as often as need be; "-" is standard input. -1 and errno if not. */
int reader_open_input(const char *path);

/* Reads on; false at the end of the file or on an error. */
bool reader_fill_input(struct trace *trace);

/* Appends what can be had to the output; false at the end or on an error. */
bool reader_fill_output(struct trace *trace);

/* The next `size` bytes (a few), or NULL if there are not so many. */
static inline const unsigned char *reader_take(struct trace *trace, size_t size)
{
    struct reader *reader = trace->reader;
    while (__builtin_expect(reader->output_end - reader->output_at < size, 0))
        if (!reader_fill_output(trace))
            return NULL;
    const unsigned char *bytes = reader->output + reader->output_at;
    reader->output_at += size;
    return bytes;
}

/* Copies `size` bytes of any number, and skips their padding. */
bool reader_take_long(struct trace *trace, void *to, size_t size);

#endif
