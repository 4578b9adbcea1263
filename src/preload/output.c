/* SPDX-License-Identifier: MIT */
#include "output.h"

void output_open(struct output *output, int descriptor)
{
    *output = (struct output){descriptor, -1, os_file(descriptor)};
}

void output_keep(struct output *output)
{
    output->copy = os_keep(output->descriptor);
}

static bool is_still(int descriptor, struct os_file file)
{
    struct os_file now = os_file(descriptor);
    return now.is_open && file.is_open && now.device == file.device && now.number == file.number;
}

int output_now(const struct output *output)
{
    if (output->copy >= 0 && is_still(output->copy, output->file))
        return output->copy;
    return is_still(output->descriptor, output->file) ? output->descriptor : -1;
}

int output_for_message(const struct output *output)
{
    bool is_moved = output->file.is_open && os_is_log(output->descriptor);
    return is_moved ? output->descriptor : output_now(output);
}
