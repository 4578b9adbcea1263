# SPDX-License-Identifier: MIT
"""What the core costs on a device: bytes of code and data, of stack, and of metadata.

Code is the one file to drop in, linked at -Os with function sections from what is named, as a firmware
does. The stack is the deepest chain of calls, each function's own from -fstack-usage, the calls from the
object's relocations; a call through a hook counts 0.
"""

import os
import re
import shutil
import subprocess
import tempfile

from common import SOURCE, skipped

CORE = sorted((SOURCE / "src/core").glob("*.c"))
TARGETS = {  # name: compiler prefix, flags
    "Cortex-M0+": ("arm-none-eabi-", ["-mcpu=cortex-m0plus", "-mthumb"]),
    "Cortex-M4": ("arm-none-eabi-", ["-mcpu=cortex-m4", "-mthumb"]),
    "RV32IMAC": ("riscv64-unknown-elf-", ["-march=rv32imac", "-mabi=ilp32"]),
}
PARTS = {
    "malloc, free": ["init", "malloc", "free"],
    "and realloc, calloc": ["init", "malloc", "free", "calloc", "realloc"],
    "and aligned_alloc": ["init", "malloc", "free", "calloc", "realloc", "aligned_alloc"],
    "everything": ["init", "init_with", "malloc", "free", "calloc", "realloc", "aligned_alloc", "resize",
                   "release", "usable_size", "owns", "find", "stats", "marks", "reset_marks", "check",
                   "walk", "walk_holes", "pool_size_for", "metadata_size"],
}
# What the compiler itself calls, of the C library's: not ours.
LIBC = "void *memcpy(void *t, const void *f, unsigned long n) { return t; }\n" \
       "void *memset(void *t, int b, unsigned long n) { return t; }\n"
POOLS = (1, 4, 16, 64, 256)
SMALL = "-DFFALLOC_SMALL=1"


def run(*words, **settings):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True,
                          **settings).stdout


def linked(prefix, flags, names, folder, *choices):
    """(text, data, bss) of the functions named and what they need, without memcpy and memset."""
    program = os.path.join(folder, "program.elf")
    roots = [f"-Wl,-u,ffalloc_{name}" for name in names]
    libc = os.path.join(folder, "libc.c")
    with open(libc, "w") as file:
        file.write(LIBC)
    common = [*flags, "-std=c11", "-Os", "-ffreestanding", "-fno-builtin", "-ffunction-sections",
              "-fdata-sections", "-nostdlib", "-w", "-I", SOURCE / "include", *choices]
    sizes = []
    single = os.path.join(folder, "ffalloc.c")
    for sources, keep in (([single, libc], roots), ([libc], ["-Wl,-u,memcpy", "-Wl,-u,memset"])):
        run(f"{prefix}gcc", *common, "-Wl,--gc-sections", "-Wl,-e,0", *keep, *sources, "-lgcc", "-o", program)
        sizes.append([int(word) for word in run(f"{prefix}size", program).splitlines()[1].split()[:3]])
    return [max(0, a - b) for a, b in zip(*sizes)]


def stack_depths(prefix, flags, folder, *choices):
    """The deepest stack of each public function, in bytes. A jump to another function at the end of
    one leaves nothing of its own behind."""
    own, calls, jumps = {}, {}, {}
    for source in CORE:
        base = os.path.join(folder, source.stem)
        run(f"{prefix}gcc", *flags, "-std=c11", "-Os", "-ffreestanding", "-fno-builtin",
            "-ffunction-sections", "-fstack-usage", "-w", "-I", SOURCE / "include", *choices, "-c", source,
            "-o", base + ".o", cwd=folder)
        with open(base + ".su") as file:
            for line in file:
                place, size, _ = line.split("\t")
                own[clean(place.rsplit(":", 1)[1])] = int(size)
        read_calls(run(f"{prefix}objdump", "-dr", base + ".o").splitlines(), calls, jumps)

    def depth(name, seen=()):
        if name in seen or name not in own:
            return 0
        seen = (*seen, name)
        below = max((depth(callee, seen) for callee in calls.get(name, ())), default=0)
        beside = max((depth(callee, seen) for callee in jumps.get(name, ())), default=0)
        return max(own[name] + below, beside)

    return {name: depth(name) for name in own if name.startswith("ffalloc_")}


def read_calls(lines, calls, jumps):
    """Who calls and who jumps to whom, from an object's listing with relocations."""
    function = None
    lines = [line for line in lines if "RELAX" not in line]
    for line, after in zip(lines, lines[1:] + [""]):
        start = re.match(r"[0-9a-f]+ <(?!\.L)([^>]+)>:", line)
        if start:
            function = clean(start.group(1))
        target = re.search(r"R_(ARM_THM_CALL|ARM_THM_JUMP24|RISCV_CALL_PLT|RISCV_CALL|RISCV_JAL)\s+(\S+)",
                           line)
        if target and function:
            is_jump = target.group(1) == "ARM_THM_JUMP24" or (
                target.group(1).startswith("RISCV") and re.search(r"\s(jr|j)\s", after))
            (jumps if is_jump else calls).setdefault(function, set()).add(clean(target.group(2)))


def clean(name):
    return re.split(r"\.(?:part|constprop|isra|cold)|[-+]0x", name)[0]


STACK_CALLS = ("malloc", "free", "realloc", "aligned_alloc")


def all_stack_depths():
    """By target, and with FFALLOC_SMALL, the stack of each of STACK_CALLS."""
    rows = {}
    for target, (prefix, flags) in TARGETS.items():
        for label, choices in ((target, ()), (f"{target}, FFALLOC_SMALL", (SMALL,))):
            if not shutil.which(f"{prefix}gcc"):
                skipped(f"{label}: no {prefix}gcc")
                continue
            with tempfile.TemporaryDirectory() as folder:
                depth = stack_depths(prefix, flags, folder, *choices)
            rows[label] = [depth[f"ffalloc_{name}"] for name in STACK_CALLS]
    return rows


def print_stack():
    print("Stack, bytes, of the deepest chain of calls.\n")
    print(f"| target | {' | '.join(STACK_CALLS)} |\n|---|---|---|---|---|")
    for label, row in all_stack_depths().items():
        print(f"| {label} | {' | '.join(map(str, row))} |")


def main(names):
    if names == ["stack"]:
        print_stack()
        return
    print("Bytes, -Os, without memcpy and memset.\n")
    print("| target | linked | text | data | bss |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        run(SOURCE / "tools/amalgamate", folder)
        for target, (prefix, flags) in TARGETS.items():
            if not shutil.which(f"{prefix}gcc"):
                skipped(f"{target}: no {prefix}gcc")
                continue
            for part, functions in PARTS.items():
                text, data, bss = linked(prefix, flags, functions, folder)
                print(f"| {target} | {part} | {text} | {data} | {bss} |", flush=True)
            for part in ("malloc, free", "everything"):
                text, data, bss = linked(prefix, flags, PARTS[part], folder, SMALL)
                print(f"| {target} | {part}, FFALLOC_SMALL | {text} | {data} | {bss} |", flush=True)
    print()
    print_stack()
    print("\nMetadata of a pool with 32-bit words, granule 8: bytes, and part of the pool.\n")
    print("| pool | metadata | | FFALLOC_SMALL | |\n|---|---|---|---|---|")
    for kib in POOLS:
        row = f"| {kib} KiB |"
        for target in ("32", "32 | FFALLOC_TARGET_SMALL"):
            usable = 8 * target_granules(target, kib * 1024)
            row += f" {kib * 1024 - usable} | {100 - 100 * usable / kib / 1024:.1f} % |"
        print(row)


def target_granules(target, size):
    """As the core says, of a machine with 32-bit words."""
    program = "#include <ffalloc/ffalloc.h>\n#include <stdio.h>\n#include <stdlib.h>\n" \
              "int main(int c, char **v) { (void)c; " \
              f"printf(\"%zu\", ffalloc_target_granules({target}, strtoul(v[1], 0, 0), 8)); }}\n"
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, "main.c"), os.path.join(folder, "main")
        with open(source, "w") as file:
            file.write(program)
        run("cc", "-w", "-I", SOURCE / "include", source, *CORE, "-o", binary)
        return int(run(binary, size))
