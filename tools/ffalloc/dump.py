# SPDX-License-Identifier: MIT
"""ffalloc dump: the pools in an image of a device's memory, or in a core file."""

import json
import os
import sys

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

import terminal_map
from common import Failure, NO, Parser, USAGE, say
from pool_image import NotAPool, Pool, pool_in_array, text_lines


def address(text):
    """0x20000000, or in decimal."""
    return int(text, 0)


def parse(arguments):
    parser = Parser("dump", "Decodes the pools in a device's memory or a core file.")
    parser.add_argument("elf", help="the program, with its symbols")
    parser.add_argument("image", help="RAM.bin, its memory as read from the target, or a core file")
    parser.add_argument("--base", type=address, metavar="ADDRESS", help="of RAM.bin; default: as the ELF file says")
    parser.add_argument("--pool", metavar="SYMBOL|ADDRESS",
                        help="a pool, a pointer to one, or the array in which it lies; default: the "
                        "static arena, or the pools of libffalloc.so")
    parser.add_argument("--blocks", action="store_true", help="list each block and hole")
    parser.add_argument("--json", action="store_true", help="print an object for each pool")
    return parser.parse_args(arguments)


def open_elf(path):
    try:
        return ELFFile(open(path, "rb"))
    except ELFError:
        raise Failure(f"{path} is no ELF file")


class Memory:
    """Pieces of memory by address, read from their file when asked for: a core file may have
    gigabytes, of which little is needed."""

    def __init__(self):
        self.pieces = []  # (start, size, file, offset in the file)

    def add(self, start, size, file, offset):
        if size > 0:
            self.pieces.append((start, size, file, offset))

    def read(self, address, size):
        content = b""
        while size > 0:
            piece = next((p for p in self.pieces if 0 <= address - p[0] < p[1]), None)
            if piece is None:
                raise NotAPool(f"the image does not have address {address:#x}")
            start, length, file, offset = piece
            file.seek(offset + address - start)
            part = file.read(min(size, start + length - address))
            if not part:
                raise NotAPool(f"the image ends before address {address:#x}")
            content += part
            address += len(part)
            size -= len(part)
        return content


def symbols_of(elf, load_address=0):
    """{name: (address, size)} of an ELF file loaded there."""
    found = {}
    for name in (".dynsym", ".symtab"):
        section = elf.get_section_by_name(name)
        for symbol in section.iter_symbols() if section else ():
            if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name:
                found[symbol.name] = (symbol["st_value"] + load_address, symbol["st_size"])
    return found


def mapped_files(core):
    """(path, address of its first byte) of each file that a core's process had mapped."""
    first = {}
    for segment in core.iter_segments("PT_NOTE"):
        for note in segment.iter_notes():
            if note["n_type"] != "NT_FILE":
                continue
            description = note["n_desc"]
            for entry, name in zip(description["Elf_Nt_File_Entry"], description["filename"]):
                path = name.decode(errors="replace")
                address = entry["vm_start"]
                if path not in first or address < first[path]:
                    first[path] = address
    return first.items()


def load_core(elf_path, core):
    """The memory of a core file and the symbols of the program and of libffalloc.so in it."""
    memory = Memory()
    for segment in core.iter_segments("PT_LOAD"):
        memory.add(segment["p_vaddr"], segment["p_filesz"], core.stream, segment["p_offset"])
    symbols = {}
    for path, address in mapped_files(core):
        base = os.path.basename(path)
        is_program = os.path.realpath(path) == os.path.realpath(elf_path)
        if not (is_program or base.startswith("libffalloc.so")) or not os.path.exists(path):
            continue
        file = open_elf(path)
        is_moved = file["e_type"] == "ET_DYN"
        symbols.update(symbols_of(file, address if is_moved else 0))
    return memory, symbols


def bases_of(elf):
    """Where RAM may begin: at the first writable segment, or at a round address before it."""
    starts = sorted(segment["p_vaddr"] for segment in elf.iter_segments("PT_LOAD")
                    if segment["p_flags"] & 2)
    if not starts:
        raise Failure("the ELF file has no memory that can be written")
    for start in starts:
        for log2 in (0, 12, 16, 20, 24, 28):
            yield start >> log2 << log2


def pools(options, memory, symbols, word_bits, is_little):
    """The pools asked for, or those that there are."""
    def at(address):
        return Pool(memory.read, address, word_bits, is_little)

    def pointer(address):
        order = "little" if is_little else "big"
        return int.from_bytes(memory.read(address, word_bits // 8), order)

    if options.pool:
        if options.pool in symbols:
            address, size = symbols[options.pool]
            if size == word_bits // 8:
                return [at(pointer(address))]
        else:
            try:
                address = int(options.pool, 0)
            except ValueError:
                raise Failure(f"{options.elf} has no symbol {options.pool}", USAGE)
        return [pool_in_array(memory.read, address, word_bits, is_little)]
    found = []
    if "ffalloc_pools" in symbols:
        address, size = symbols["ffalloc_pools"]
        for i in range(size // (word_bits // 8)):
            pool_address = pointer(address + i * word_bits // 8)
            if pool_address:
                found.append(at(pool_address))
    if "ffalloc_arena_memory" in symbols:
        found.append(pool_in_array(memory.read, symbols["ffalloc_arena_memory"][0], word_bits,
                                   is_little))
    if not found:
        raise Failure(f"{options.elf} has neither a static arena nor pools of libffalloc.so: "
                      "name one by --pool")
    return found


def pools_of_image(options, elf, image):
    size = os.fstat(image.fileno()).st_size
    symbols = symbols_of(elf)
    reasons = []
    for base in bases_of(elf) if options.base is None else [options.base]:
        memory = Memory()
        memory.add(base, size, image, 0)
        try:
            return pools(options, memory, symbols, elf.elfclass, elf.little_endian)
        except NotAPool as reason:
            reasons.append(str(reason))
    raise Failure(f"{options.image}: {reasons[0]}; --base says where it begins")


def all_pools(options):
    """The pools found; whatever is wrong with the files is told in a line."""
    try:
        return look_for_pools(options)
    except (Failure, OSError):
        raise
    except Exception as error:  # pyelftools raises many kinds
        raise Failure(f"{options.elf} or {options.image} is damaged ({type(error).__name__}: {error})")


def look_for_pools(options):
    elf = open_elf(options.elf)
    image = open(options.image, "rb")
    if image.read(4) != b"\x7fELF":
        return pools_of_image(options, elf, image)
    core = open_elf(options.image)
    if core["e_type"] != "ET_CORE":
        raise Failure(f"{options.image} is an ELF file but no core file")
    memory, symbols = load_core(options.elf, core)
    try:
        return pools(options, memory, symbols, core.elfclass, core.little_endian)
    except NotAPool as reason:
        raise Failure(f"{options.image}: {reason}")


def object_of(pool, faults, has_blocks):
    found = dict(pool.stats(), faults=[{"rule": rule, "offset": offset, "what": what}
                                       for rule, offset, what in faults])
    if has_blocks:
        found["blocks"] = [{"offset": first * pool.granule, "size": count * pool.granule,
                            "is_used": is_used} for first, count, is_used in pool.walk()]
    return found


def main(arguments):
    options = parse(arguments)
    found = all_pools(options)
    faulty = False
    objects = []
    for pool in found:
        try:
            faults = pool.check()
        except (NotAPool, ArithmeticError, ValueError, MemoryError) as reason:
            raise Failure(f"{options.image}: {reason}")
        faulty |= bool(faults)
        for rule, offset, what in faults:
            say(f"pool at {pool.address:#x} is damaged: {rule}, offset {offset}: {what}")
        if options.json:
            objects.append(object_of(pool, faults, options.blocks))
            continue
        print("\n".join(text_lines(pool, terminal_map.columns())))
        for first, count, is_used in pool.walk() if options.blocks else ():
            print(f"  {pool.blocks + first * pool.granule:#x} {count * pool.granule:8} "
                  f"{'used' if is_used else 'free'}")
    if options.json:
        json.dump(objects, sys.stdout, indent=1)
        print()
    return NO if faulty else 0
