/* SPDX-License-Identifier: MIT */
/*
 * The lines about sampled blocks. A fault is told in a handler of SIGSEGV, with no lock held and
 * without waiting for one: what it reads of a slot may be changing only while the program frees the
 * very block that it touches.
 */
#include "sample_fault.h"

#include <stdio.h>

#include "damage.h"
#include "heap.h"
#include "sample.h"

#define STACK_SIZE 230 /* bytes of a stack's text: two of them fit in a line */

/* "program+0x1139 < program+0x1200", as far as it fits. */
static const char *format_stack(char *text, const char *head, const struct stack *stack)
{
    size_t length = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < stack->count && stack->sites[i]; i++) {
        char site[SITE_SIZE];
        damage_site(site, (const void *)stack->sites[i]);
        int more = snprintf(text + length, STACK_SIZE - length, "%s%s", i ? " < " : head, site);
        if (more < 0 || (size_t)more >= STACK_SIZE - length) {
            text[length] = '\0';
            break;
        }
        length += (size_t)more;
    }
    return text;
}

/* Bytes from the block to the address, and where that lies. */
static size_t distance(const struct slot *slot, const unsigned char *address, const char **where)
{
    const unsigned char *end = slot->block + slot->size;
    *where = address < slot->block ? "before" : address < end ? "inside" : "after";
    return (size_t)(address < slot->block ? slot->block - address
                    : address < end       ? address - slot->block
                                          : address - end);
}

static void tell(const char *what, const struct slot *slot, const unsigned char *address,
                 const char *end)
{
    char asked[STACK_SIZE], freed[STACK_SIZE];
    const char *where;
    size_t bytes = distance(slot, address, &where);
    format_stack(asked, "; asked for at ", &slot->asked);
    format_stack(freed, "; freed at ", &slot->freed);
    heap_message("%s %p, %zu byte%s %s a %ssampled block of %zu byte%s at %p%s%s%s", what,
                 (const void *)address, bytes, bytes == 1 ? "" : "s", where,
                 slot->is_live ? "" : "freed ", slot->size, slot->size == 1 ? "" : "s",
                 (void *)slot->block, asked, freed, end);
}

void sample_tell_wrong(const struct slot *slot, const unsigned char *address)
{
    char what[60];
    bool is_double = !slot->is_live && slot->block == address;
    if (!slot->block) {
        heap_report_foreign(address);
        return;
    }
    snprintf(what, sizeof what, "%s of",
             heap_call   ? heap_call
             : is_double ? "double free"
                         : "free");
    struct locks locks = misuse_give_locks(NULL);
    tell(what, slot, address, "");
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}

void sample_tell_damage(const struct slot *slot, const unsigned char *where)
{
    char end[60];
    snprintf(end, sizeof end, "; overwritten by %02x, seen by free", slot->byte);
    struct locks locks = misuse_give_locks(NULL);
    tell(where < slot->block ? "underflow at" : "overflow at", slot, where, end);
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}

static void tell_fault(const void *touched)
{
    const unsigned char *address = touched;
    if (!sample_has(address))
        return;
    struct slot slot = *sample_slot_of(address);
    if (!slot.block) {
        heap_message("touch of %p, between pages of sampled blocks, and near none", touched);
        return;
    }
    tell(!slot.is_live          ? "use after free: touch of"
         : address < slot.block ? "underflow: touch of"
                                : "overflow: touch of",
         &slot, address, "");
}

void sample_start_faults(void)
{
    if (sampling.size > 0)
        os_see_faults(tell_fault);
}

void sample_finish(void)
{
    if (sampling.count > 0 && !os_sees_faults())
        heap_message("FFALLOC_SAMPLE: the program handles SIGSEGV by itself: a fault at one of the "
                     "%zu sampled blocks was not told",
                     sampling.count);
}
