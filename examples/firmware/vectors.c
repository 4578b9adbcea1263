/* SPDX-License-Identifier: MIT */
/* The first words of a Cortex-M's flash: where the stack begins, and newlib's start-up code. */
#include <stdint.h>

extern uint32_t stack_top[];
void _start(void);

static void stop(void)
{
    for (;;)
        continue;
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)stack_top, _start, stop, stop, stop, stop, stop,
};
