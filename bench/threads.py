# SPDX-License-Identifier: MIT
"""Throughput of 1 to 16 threads."""

import os

from common import (
    BUILD, ROUNDS, built, environment_with, find_peers, interleaved, output_of, print_noise, skipped, with_again,
)

PLACED = ("pipeline-apart", "pipeline-together", "pipeline-large")  # on two cores
MODES = ("independent", "server", "pipeline", *PLACED, "short-lived")
COUNTS = (1, 2, 4, 8, 16)
SECONDS = os.environ.get("BENCH_SECONDS", "0.5")


def throughputs(mode, count, allocators):
    """Millions of calls a second of each allocator: the most, which is the least time."""
    command = [built("threads"), mode, count, SECONDS]
    taken = interleaved({
        name: lambda environment=environment: float(output_of(command, environment)[0])
        for name, environment in allocators.items()})
    return {name: max(rates) for name, rates in taken.items()}


def ratios(rates, alone):
    """What stands behind a row."""
    text = f"{rates['ffalloc'] / rates['glibc']:10.2f}"
    if "mimalloc" in rates:
        text += f"{rates['ffalloc'] / rates['mimalloc']:8.2f}"
    return text + (f"   {rates['ffalloc'] / alone:.2f} of one thread" if alone else "")


def main(_):
    allocators = {name: environment_with(library) for name, library in with_again(find_peers()).items()}
    allocators["one pool"] = environment_with(BUILD / "libffalloc.so", FFALLOC_POOL="256M")
    print(f"millions of calls a second, all threads together, the most of {ROUNDS} runs; {os.cpu_count()} cores")
    print("one pool: ffalloc with FFALLOC_POOL=256M, all threads on one pool")
    print(f"{'load':18}{'threads':>8}" + "".join(f"{name:>10}" for name in allocators) + "  ffalloc / glibc, / mimalloc")
    rows = {}
    for mode in MODES:
        if mode in PLACED and len(os.sched_getaffinity(0)) < 2:
            skipped(f"{mode}: there is but one core")
            continue
        for count in COUNTS[mode.startswith("pipeline") :]:
            rates = rows[mode, count] = throughputs(mode, count, allocators)
            alone = rows["independent", 1]["ffalloc"] if (mode, count) == ("independent", 2) else None
            print(f"{mode:18}{count:8}" + "".join(f"{rate:10.1f}" for rate in rates.values()) + ratios(rates, alone),
                  flush=True)
    print_noise("ffalloc against itself", rows.values())
