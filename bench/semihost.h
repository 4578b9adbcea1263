/* SPDX-License-Identifier: MIT */
/* What a program on a bare Cortex-M asks of its host (Arm, "Semihosting for AArch32 and AArch64").
 */
#ifndef FFALLOC_BENCH_SEMIHOST_H
#define FFALLOC_BENCH_SEMIHOST_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE0 = 0x04,
    SYS_READ = 0x06,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT = 0x18
};

static int host(int operation, const void *arguments)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(bool is_fine)
{
    host(SYS_EXIT, (const void *)(uintptr_t)(is_fine ? 0x20026 : 0x20023));
    for (;;) {
    }
}

static void print(const char *text)
{
    host(SYS_WRITE0, text);
}

static void print_number(uint32_t number)
{
    char text[12];
    char *digit = text + sizeof text;
    *--digit = '\0';
    *--digit = ' ';
    do
        *--digit = (char)('0' + number % 10);
    while (number /= 10);
    print(digit);
}

static void fail(const char *why)
{
    print(why);
    print("\n");
    leave(false);
}

#endif
