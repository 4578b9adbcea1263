# SPDX-License-Identifier: MIT
"""gdb commands: ff heap, ff block ADDRESS, ff check, ff stats, ff map, ff pool EXPRESSION.

They read memory and need neither code on the target nor debugging information of the library: a
live process, a core file and a firmware behind a stub are alike. Loaded by gdb itself when installed,
by "ffalloc run --tool gdb", or by "source gdb_commands.py".
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import terminal_map  # noqa: E402
from pool_image import NotAPool, Pool, map_lines, pool_in_array, text_lines  # noqa: E402

chosen = None  # the expression of "ff pool"


def read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise NotAPool(f"cannot read {size} bytes at {address:#x}")


def word_bits():
    return gdb.lookup_type("char").pointer().sizeof * 8


def is_little():
    return "little" in gdb.execute("show endian", to_string=True)


def address_of(symbol):
    """Of a symbol, without its type; None if there is none."""
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&{symbol}"))
    except gdb.error:
        return None


def pool_at(address):
    return Pool(read, address, word_bits(), is_little())


def chosen_pool():
    value = gdb.parse_and_eval(chosen)
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_ARRAY:
        return pool_in_array(read, int(value.address), word_bits(), is_little())
    return pool_at(int(value))


def pools():
    """The pool chosen, or those of libffalloc.so and the static arena."""
    if chosen:
        return [chosen_pool()]
    found = []
    table = address_of("ffalloc_pools")
    width = word_bits() // 8
    for i in range(16 if table else 0):
        pointer = int.from_bytes(read(table + i * width, width), "little" if is_little() else "big")
        if pointer:
            found.append(pool_at(pointer))
    arena = address_of("ffalloc_arena_memory")
    if arena:
        found.append(pool_in_array(read, arena, word_bits(), is_little()))
    if not found:
        raise gdb.GdbError("ffalloc: no pool here yet; ff pool EXPRESSION names one")
    return found


def columns():
    """gdb's width, or the terminal's if gdb has none."""
    return gdb.parameter("width") or terminal_map.columns()


class Ff(gdb.Command):
    """The heap of ffalloc: ff heap, ff block ADDRESS, ff check, ff stats, ff map, ff pool."""

    def __init__(self):
        super().__init__("ff", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class Sub(gdb.Command):
    """A command of ff: its pools, with what cannot be read as gdb's error."""

    def __init__(self):
        super().__init__(f"ff {self.name}", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        try:
            self.run(argument)
        except NotAPool as reason:
            raise gdb.GdbError(f"ffalloc: {reason}")


class Heap(Sub):
    """ff heap [-v]: the pools; with -v each block and hole."""

    name = "heap"

    def run(self, argument):
        for pool in pools():
            print("\n".join(text_lines(pool, columns())))
            for first, count, is_used in pool.walk() if "-v" in argument else ():
                print(f"  {pool.blocks + first * pool.granule:#x} {count * pool.granule:8} "
                      f"{'used' if is_used else 'free'}")


class Map(Sub):
    """ff map: where blocks and holes lie."""

    name = "map"

    def run(self, argument):
        for pool in pools():
            print("\n".join(map_lines(pool, columns())))


class Stats(Sub):
    """ff stats: the numbers of ffalloc_stats."""

    name = "stats"

    def run(self, argument):
        for pool in pools():
            for name, value in pool.stats().items():
                print(f"{name:22} {value:#x}" if name == "address" else f"{name:22} {value}")


class Check(Sub):
    """ff check: verifies the map and the counts."""

    name = "check"

    def run(self, argument):
        for pool in pools():
            faults = pool.check()
            for rule, offset, what in faults:
                print(f"pool at {pool.address:#x}: {rule}, offset {offset}: {what}")
            if not faults:
                print(f"pool at {pool.address:#x}: sound")


class Block(Sub):
    """ff block ADDRESS: the block or hole in which an address lies."""

    name = "block"

    def run(self, argument):
        if not argument:
            raise gdb.GdbError("ff block ADDRESS")
        address = int(gdb.parse_and_eval(argument)) & (1 << word_bits()) - 1
        for pool in pools():
            found = pool.find(address)
            if found:
                start, size, is_used = found
                kind = "used block" if is_used else "hole"
                print(f"{address:#x} is {address - start} bytes inside a {kind} of {size} bytes at "
                      f"{start:#x}")
                return
        print(f"{address:#x} is in no pool")


class ChoosePool(Sub):
    """ff pool [EXPRESSION]: take this pool, or the array in which it lies; none: all there are."""

    name = "pool"

    def run(self, argument):
        global chosen
        chosen = argument or None


for command in (Ff, Heap, Map, Stats, Check, Block, ChoosePool):
    command()
