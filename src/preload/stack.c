/* SPDX-License-Identifier: MIT */
/* By which calls a call of malloc came about, as FFALLOC_BACKTRACE says. */
#include "recording.h"

/* A frame further away than this is none. */
#define FRAME_SIZE_MOST ((uintptr_t)1 << 16)

__thread struct record_stack record_stack __attribute__((tls_model("initial-exec")));

/* libffalloc-unwind.so, where it is loaded too: the return addresses, innermost first. */
__attribute__((weak)) int ffalloc_unwind(void **frames, int count);

/* The end of the stack in which `frame` lies, as far as that is known: a thread's descriptor
 * stands above its stack, the first thread's stack ends where the kernel began it. */
static uintptr_t stack_end(uintptr_t frame)
{
    uintptr_t descriptor = (uintptr_t)__builtin_thread_pointer();
    uintptr_t first = os_first_stack_end();
    bool is_first = frame < first && (descriptor < frame || descriptor > first);
    return is_first ? first : descriptor;
}

static unsigned walk_frames(struct caller caller, uint64_t *frames)
{
    unsigned count = 0;
    uintptr_t frame = (uintptr_t)caller.frame;
    uintptr_t end = stack_end(frame);
    while (count < FRAMES_MOST) {
        uintptr_t next = *(uintptr_t *)frame;
        if (next <= frame || next - frame > FRAME_SIZE_MOST || next % sizeof(void *) != 0 ||
            next + 2 * sizeof(void *) > end)
            break;
        uintptr_t site = ((uintptr_t *)next)[1];
        if (site < heap.page_size)
            break;
        frames[count++] = site;
        frame = next;
    }
    return count;
}

static unsigned unwind_frames(struct caller caller, uint64_t *frames)
{
    void *all[FRAMES_MOST + 8];
    unsigned count = 0;
    int all_count = ffalloc_unwind(all, FRAMES_MOST + 8);
    int from = 0;
    while (from < all_count && all[from] != caller.site)
        from++;
    for (int i = from + 1; i < all_count && count < FRAMES_MOST; i++)
        frames[count++] = (uintptr_t)all[i];
    return count;
}

void record_capture(struct caller caller)
{
    if (heap.options.backtrace == BACKTRACE_CALLER)
        return;
    unsigned count = 0;
    if (heap.options.backtrace == BACKTRACE_UNWIND && ffalloc_unwind)
        count = unwind_frames(caller, record_stack.frames);
    else if (heap.options.backtrace == BACKTRACE_FRAMES && caller.frame)
        count = walk_frames(caller, record_stack.frames);
    record_stack.count = count;
}
