# SPDX-License-Identifier: MIT
"""The core alone in one pool, for the embedded traces (or those named): counts, and sizes."""

import shutil

import device
from common import built, geometric_mean, instructions_per_call, is_embedded, output_of, skipped, traces


def size_of(replayer, trace):
    """The smallest pool, the peak of live bytes and the metadata, in bytes."""
    return tuple(map(int, output_of([replayer, "size", trace])[0].split()))


def x86_row(trace):
    per_call = instructions_per_call("core", trace)
    least, peak, metadata = size_of(built("replay"), trace)
    print(f"{trace.name:24}{per_call:8.0f}{least / peak:9.3f}{metadata:10}", flush=True)
    return per_call, least / peak


def device_row(trace):
    least, peak, metadata = size_of(built("replay-32"), trace)
    counts = device.replay(least, trace)
    row = f"{trace.name:24}{device.mean(counts):8.0f}"
    for kind in ("malloc", "free", "realloc"):
        row += f"{counts[kind].permille_999:10}{counts[kind].worst:7}"
    print(f"{row}{least / peak:9.3f}{metadata:10}", flush=True)
    return device.mean(counts), least / peak


def small_row(trace):
    least, peak, _ = size_of(built("replay-32-small"), trace)
    return device.mean(device.replay(least, trace, "device-small.elf")), least / peak


def print_mean(label, rows):
    print(f"{label:24}" + "".join(f"{geometric_mean(column):10.3f}" for column in zip(*rows)))


def main(wanted):
    with traces(wanted) as paths:
        chosen = [trace for trace in paths if wanted or is_embedded(trace)]
        if shutil.which("valgrind"):
            print("core alone, x86-64, granule 16, a pool of 16 GiB: instructions per call (callgrind),")
            print("smallest pool / peak of live bytes, metadata of that pool")
            print_mean("geometric mean", [x86_row(trace) for trace in chosen])
        else:
            skipped("instructions of the core on x86-64: no valgrind")
        reason = device.missing()
        if reason:
            skipped(f"instructions of the core on Cortex-M4: {reason}")
            return
        print("\ncore alone, Cortex-M4 -Os, granule 8, the smallest pool: instructions per call (QEMU, exact),")
        print("then 99.9 % and the worst single malloc, free and realloc without its copy; sizes as above")
        print_mean("geometric mean", [device_row(trace) for trace in chosen])
        print_mean("with FFALLOC_SMALL", [small_row(trace) for trace in chosen])
