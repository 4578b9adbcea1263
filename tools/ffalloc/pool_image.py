# SPDX-License-Identifier: MIT
"""A pool read from memory that is not this process's: an image, a core file, gdb's inferior.

The layout is that of src/core/pool.h, for words of 32 and 64 bits and either byte order; a test
compares it with the library's. Nothing is believed: what contradicts itself is said.
"""

import struct
import textwrap

from terminal_map import ASCII, LINES, legend, line_cells, line_of

WORD, U8, U32 = "word", "u8", "u32"
FIELDS = (
    ("leaves", WORD), ("blocks", WORD), ("granule_count", WORD),
    ("granule_log2", U8), ("level_count", U8), ("flags", U8), ("page_level_count", U8),
    ("failed_count", U32),
    ("granted", WORD), ("most_used", WORD), ("spare", WORD), ("high_water", WORD),
    ("alloc_count", WORD), ("largest_request_size", WORD), ("requested_size", WORD),
    ("on_error", WORD), ("on_out_of_memory", WORD),
)
MOST_AFTER_FIELDS = {32: 40, 64: 64}  # bytes that only the quick core has; then the levels


class NotAPool(Exception):
    """What was read is no pool."""


def header_fields(word_bits):
    """(name, offset, size) of each field, and the size of what they take."""
    word = word_bits // 8
    at = 0
    fields = []
    for name, kind in FIELDS:
        size = {WORD: word, U8: 1, U32: 4}[kind]
        at = (at + size - 1) // size * size
        fields.append((name, at, size))
        at += size
    return fields, at


class Pool:
    """A pool at an address; `read(address, size)` returns bytes or raises."""

    def __init__(self, read, address, word_bits, is_little=True):
        self.read = read
        self.word = word_bits // 8
        self.word_bits = word_bits
        self.order = "little" if is_little else "big"
        self.address = address
        fields, size = header_fields(word_bits)
        header = read(address, size)
        for name, at, width in fields:
            setattr(self, name, int.from_bytes(header[at:at + width], self.order))
        if not (3 <= self.granule_log2 <= 12 and 0 < self.level_count < 24
                and address < self.leaves < address + size + MOST_AFTER_FIELDS[word_bits] + 64 * self.word
                and self.blocks > self.leaves and self.blocks % (1 << self.granule_log2) == 0
                and self.granule_count > 0):
            raise NotAPool(f"there is no pool at {address:#x}")
        self.granule = 1 << self.granule_log2
        # What a pool that grows has open beyond its mark is chance: for people it ends there.
        is_growing = self.flags & (0x02 if is_little else 0x40)
        self.end = min(self.high_water, self.granule_count) if is_growing else self.granule_count
        self.extent = "bytes below the high-water mark" if is_growing else "usable bytes"
        self.usable_size = self.end * self.granule
        self.full_leaf = (1 << self.word_bits) - 1

    def owns(self, address):
        return 0 <= address - self.blocks < self.granule_count * self.granule

    def leaf_words(self):
        """(used, starts) of each leaf up to the end; the part never used is not read."""
        used = min(self.granule_count, self.high_water) // self.word_bits + 2
        total = self.granule_count // self.word_bits + 1
        content = self.read(self.leaves, min(used, total) * 2 * self.word)
        letter = {4: "I", 8: "Q"}[self.word]
        order = "<" if self.order == "little" else ">"
        words = struct.unpack(f"{order}{len(content) // self.word}{letter}", content)
        return list(zip(words[::2], words[1::2]))

    def each_leaf(self):
        """(leaf, used, starts) of each leaf; a run of blank ones is its first one, all used or all
        free."""
        words = self.leaf_words()
        leaf = 0
        while leaf < len(words):
            used, starts = words[leaf]
            if used:
                yield leaf, used, starts
                leaf += 1
            else:
                yield leaf, self.full_leaf * (starts & 1), 0
                leaf += max(1, starts >> 1)

    def begins(self):
        """(granule, is it used) wherever a block or a hole begins."""
        before = None
        for leaf, used, starts in self.each_leaf():
            before = ~used & 1 if before is None else before
            places = starts | (used ^ (used << 1 | before)) & self.full_leaf
            while places:
                bit = places & -places
                yield leaf * self.word_bits + bit.bit_length() - 1, bool(used & bit)
                places ^= bit
            before = used >> (self.word_bits - 1)

    def walk(self):
        """(offset in granules, granules, is it used) of each block and hole, in address order."""
        first = None
        for granule, is_used in self.begins():
            if granule >= self.end:
                break
            if first is not None:
                yield first, granule - first, first_is_used
            first, first_is_used = granule, is_used
        if first is not None:
            yield first, self.end - first, first_is_used

    def find(self, address):
        """(address, size, is it used) of what lies at an address; None if it is not the pool's."""
        if not self.owns(address):
            return None
        granule = (address - self.blocks) // self.granule
        for first, count, is_used in self.walk():
            if first <= granule < first + count:
                return self.blocks + first * self.granule, count * self.granule, is_used
        beyond = self.granule_count - self.end
        return self.blocks + self.end * self.granule, beyond * self.granule, False

    def stats(self):
        blocks = holes = used = largest = 0
        smallest = None
        for _, count, is_used in self.walk():
            if is_used:
                blocks += 1
                used += count
            else:
                holes += 1
                largest = max(largest, count)
                smallest = count if smallest is None else min(smallest, count)
        granule = self.granule
        return {
            "address": self.address, "granule": granule, "usable_size": self.usable_size,
            "used_size": used * granule, "free_size": self.usable_size - used * granule,
            "peak_used_size": self.most_used * granule,
            "high_water_size": self.high_water * granule,
            "largest_hole_size": largest * granule, "smallest_hole_size": (smallest or 0) * granule,
            "hole_count": holes, "block_count": blocks, "alloc_count": self.alloc_count,
            "free_count": (self.alloc_count - blocks) & self.full_leaf, "failed_count": self.failed_count,
            "largest_request_size": self.largest_request_size,
        }

    def check(self):
        """The rules of pool.h that do not hold, as (rule, offset in bytes, what)."""
        faults = []
        before = 0
        for leaf, bits, starts in self.each_leaf():
            offset = leaf * self.word_bits * self.granule
            if starts & ~bits:
                faults.append(("M2", offset, "a block starts at a free granule"))
            if bits & ~starts & ~(bits << 1 | before):
                faults.append(("M2", offset, "a used granule is no block's"))
            before = bits >> (self.word_bits - 1)
        used = blocks = end = 0
        for granule, count, is_used in self.walk():
            if is_used:
                used += count
                blocks += 1
                end = granule + count
        if self.most_used - self.spare != used:
            faults.append(("C1", 0, "the blocks' sum is not what was counted"))
        if self.high_water < end:
            faults.append(("C2", end * self.granule, "a block lies above the high-water mark"))
        if self.alloc_count < blocks:
            faults.append(("C3", 0, "there are more blocks than requests"))
        return faults

    def rows(self, count):
        """What is used of each of `count` equal parts of the pool, of 255."""
        per_row = max(1, -(-self.end // count))
        used = [0] * -(-self.end // per_row)
        for first, length, is_used in self.walk():
            end = first + length
            while is_used and first < end:
                part = min(end, (first // per_row + 1) * per_row) - first
                used[first // per_row] += part
                first += part
        return [max(part * 255 // per_row, part > 0) for part in used], per_row * self.granule


def align_up(address, alignment):
    return (address + alignment - 1) // alignment * alignment


def pool_in_array(read, address, word_bits, is_little):
    """The pool that lies in an array of memory: ffalloc_init aligns its header."""
    return Pool(read, align_up(address, 2 * word_bits // 8), word_bits, is_little)


def plural(count):
    return "s" * (count != 1)


def text_lines(pool, columns):
    """What people read of a pool in a terminal so wide: its numbers and its map."""
    stats = pool.stats()
    numbers = (
        f"{stats['used_size']} used in {stats['block_count']} block{plural(stats['block_count'])}, "
        f"{stats['free_size']} free in {stats['hole_count']} hole{plural(stats['hole_count'])}, "
        f"the largest {stats['largest_hole_size']}",
        f"peak use {stats['peak_used_size']}, high-water mark {stats['high_water_size']}; "
        f"{stats['alloc_count']} requests served, {stats['failed_count']} failed, "
        f"{stats['free_count']} frees",
    )
    yield from wrap(f"pool at {pool.address:#x}: {stats['usable_size']} {pool.extent} "
                    f"from {pool.blocks:#x}, granule {pool.granule}", columns, first="")
    for text in numbers:
        yield from wrap(text, columns)
    yield from map_lines(pool, columns)


def wrap(text, columns, first="  "):
    return textwrap.wrap(text, columns, initial_indent=first, subsequent_indent="  ")


def map_lines(pool, columns):
    width = len(f"  {pool.blocks + pool.usable_size:#x} ")
    count = line_cells(columns, width)
    used, row_size = pool.rows(LINES * count)
    # What lies above the mark was never used: one line stands for all of it.
    end = min(len(used), pool.high_water * pool.granule // row_size + 1)
    for first in range(0, end, count):
        yield f"  {pool.blocks + first * row_size:#x} {line_of(used[first:first + count], ASCII)}"
    yield from wrap(f"a character is {row_size} bytes: {legend(ASCII)}", columns)
