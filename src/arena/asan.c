/* SPDX-License-Identifier: MIT */
/* AddressSanitizer calls this before its own report, which knows nothing of our blocks. Where it
 * is, there is a libc that can print. */
#include "arena.h"
#include "describe.h"

__attribute__((weak)) int dprintf(int descriptor, const char *format, ...);

void __asan_on_error(void);
void __asan_on_error(void)
{
    void *address = __asan_get_report_address ? __asan_get_report_address() : NULL;
    struct description description;
    if (ffalloc_arena_watchers.asan && dprintf &&
        describe(ffalloc_arena_pool(), ffalloc_arena_watchers, address, &description))
        dprintf(2, "ffalloc: " DESCRIBE_FORMAT "\n", DESCRIBE_ARGUMENTS(address, description));
}
