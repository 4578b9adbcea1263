/* SPDX-License-Identifier: MIT */
/* A target that fails where an input has a certain byte, and never ends where it has another. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static volatile unsigned count;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == 'a')
            abort();
        while (bytes[i] == 'h')
            count++;
    }
    return 0;
}
