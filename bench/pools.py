# SPDX-License-Identifier: MIT
"""The smallest pool of each embedded trace, in ffalloc and in the allocators that devices have today."""

import os
import pathlib
import subprocess
import tempfile

from common import SOURCE, geometric_mean, is_embedded, output_of, skipped, traces

PEERS = pathlib.Path(os.environ.get("BENCH_PEERS", SOURCE / "build/peers"))
FILES = {  # peer: its file below PEERS, which its file in peers/ includes
    "ffalloc": None, "umm_malloc": "umm_malloc/src/umm_malloc.c",
    "heap_4": "heap_4/portable/MemMang/heap_4.c", "tlsf": "tlsf/tlsf.c", "o1heap": "o1heap/o1heap/o1heap.c",
}
ARRAY = "extern uint8_t ucHeap[ configTOTAL_HEAP_SIZE ];"  # heap_4's; peers/heap_4.c has a pointer
EMPTY = ("FreeRTOS.h", "task.h", "umm_malloc_cfgport.h")


def compile_peer(name, folder):
    """The path of the program for 32-bit words."""
    words = ["cc", "-m32", "-O2", "-w", "-I", folder, "-I", SOURCE / "include", "-I", SOURCE / "bench",
             SOURCE / "bench/pools.c", SOURCE / f"bench/peers/{name}.c"]
    if FILES[name]:
        source = PEERS / FILES[name]
        (folder / f"{name}_source.c").write_text(source.read_text().replace(ARRAY, ""))
        words += ["-I", source.parent]
    else:
        words += sorted((SOURCE / "src/core").glob("*.c"))
    output_of([*words, "-o", folder / name])
    return folder / name


def is_enough(program, trace, size):
    return subprocess.run([program, trace, str(size)], stderr=subprocess.DEVNULL).returncode == 0


def smallest(program, trace, peak):
    """Upwards from the peak in steps of a twentieth, and then between the last two to 8 bytes; None if
    four times the peak is not enough."""
    low = high = peak // 8
    while not is_enough(program, trace, 8 * high):
        low, high = high, high + high // 20 + 1
        if high > 4 * peak // 8:
            return None
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(program, trace, 8 * middle) else (middle, high)
    return 8 * high


def print_chart(means):
    print("\ngeometric mean of the traces that all of them serve")
    for name, mean in sorted(means.items(), key=lambda pair: pair[1]):
        print(f"{name:12}{mean:6.2f} {'#' * round(40 * (mean - 1) / (max(means.values()) - 1))}")


def main(wanted):
    names = [name for name, file in FILES.items() if not file or (PEERS / file).exists()]
    for name in FILES.keys() - set(names):
        skipped(f"{name}: no {FILES[name]} in {PEERS} (tools/bench gets it)")
    with tempfile.TemporaryDirectory() as text, traces(wanted) as paths:
        folder = pathlib.Path(text)
        for name in EMPTY:
            (folder / name).write_text("")
        programs = {name: compile_peer(name, folder) for name in names}
        print("smallest pool / peak of live bytes, 32-bit words, granule 8")
        print(f"{'trace':24}{'peak':>10}" + "".join(f"{name:>12}" for name in names))
        rows = []
        for trace in filter(is_embedded, paths):
            peak = int(output_of([programs["ffalloc"], trace, 0])[0])
            row = [smallest(program, trace, peak) for program in programs.values()]
            print(f"{trace.name:24}{peak:10}" + "".join(f"{size / peak:12.3f}" if size else f"{'-':>12}"
                                                       for size in row), flush=True)
            if all(row):
                rows.append([size / peak for size in row])
        print_chart(dict(zip(names, map(geometric_mean, zip(*rows)))))
