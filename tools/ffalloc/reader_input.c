/* SPDX-License-Identifier: MIT */
#include "reader_input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

bool reader_refuse(struct trace *trace, const char *why)
{
    if (!trace->error)
        trace->error = why;
    return false;
}

bool reader_cut(struct trace *trace)
{
    trace->is_truncated = true;
    return false;
}

bool reader_fill_input(struct trace *trace)
{
    struct reader *reader = trace->reader;
    ssize_t length;
    do
        length = read(reader->descriptor, reader->input, READER_INPUT_SIZE);
    while ((length < 0 && errno == EINTR) ||
           (length == 0 && reader->wait && reader->wait(reader->wait_context)));
    if (length < 0)
        return reader_refuse(trace, "cannot be read");
    reader->is_at_end = length == 0;
    reader->input_at = 0;
    reader->input_end = (size_t)length;
    return length > 0;
}

bool reader_fill_output(struct trace *trace)
{
    struct reader *reader = trace->reader;
    memmove(reader->output, reader->output + reader->output_at,
            reader->output_end - reader->output_at);
    reader->output_end -= reader->output_at;
    reader->output_at = 0;
    if (reader->input_at == reader->input_end && !reader_fill_input(trace))
        return !trace->error && reader->is_in_frame ? reader_cut(trace) : false;
    ZSTD_inBuffer in = {reader->input, reader->input_end, reader->input_at};
    ZSTD_outBuffer out = {reader->output, READER_OUTPUT_SIZE, reader->output_end};
    if (reader->is_compressed) {
        size_t left = ZSTD_decompressStream(reader->stream, &out, &in);
        if (ZSTD_isError(left))
            return reader_refuse(trace, "is damaged: zstd cannot decompress it");
        reader->is_in_frame = left != 0;
    } else {
        size_t room = READER_OUTPUT_SIZE - out.pos;
        size_t length = in.size - in.pos < room ? in.size - in.pos : room;
        memcpy(reader->output + out.pos, reader->input + in.pos, length);
        out.pos += length;
        in.pos += length;
    }
    reader->input_at = in.pos;
    reader->output_end = out.pos;
    return true;
}

bool reader_take_long(struct trace *trace, void *to, size_t size)
{
    size_t left = size;
    while (left > 0) {
        size_t length = left < 4096 ? left : 4096;
        const unsigned char *bytes = reader_take(trace, length);
        if (!bytes)
            return reader_cut(trace);
        memcpy((char *)to + size - left, bytes, length);
        left -= length;
    }
    return reader_take(trace, -size & 7) || reader_cut(trace);
}

/* A copy of what can be read once only. Closes the original; -1 and errno if it cannot be kept. */
static int keep(int pipe)
{
    char bytes[1 << 16];
    ssize_t length = 0;
    int descriptor = temporary_file();
    while (descriptor >= 0 && (length = read(pipe, bytes, sizeof bytes)) > 0)
        if (write(descriptor, bytes, (size_t)length) != length)
            break;
    bool is_kept = descriptor >= 0 && length == 0 && lseek(descriptor, 0, SEEK_SET) == 0;
    int saved = errno;
    close(pipe);
    if (is_kept)
        return descriptor;
    if (descriptor >= 0)
        close(descriptor);
    errno = saved;
    return -1;
}

int reader_open_input(const char *path)
{
    int input = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    bool is_pipe = input >= 0 && lseek(input, 0, SEEK_CUR) < 0 && errno == ESPIPE;
    return is_pipe ? keep(input) : input;
}
