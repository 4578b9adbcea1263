# SPDX-License-Identifier: MIT
"""Throughput of 1 to 16 threads."""

import os
import statistics

from common import BUILD, ROUNDS, built, environment_with, find_peers, output_of, skipped

MODES = ("independent", "server", "pipeline", "pipeline-apart", "pipeline-together", "short-lived")
PLACED = ("pipeline-apart", "pipeline-together")  # on two cores
COUNTS = (1, 2, 4, 8, 16)
SECONDS = os.environ.get("BENCH_SECONDS", "0.5")


def throughputs(mode, count, allocators):
    """Median millions of calls a second of each allocator, interleaved."""
    rates = {name: [] for name in allocators}
    for _ in range(ROUNDS):
        for name, environment in allocators.items():
            rates[name].append(float(output_of([built("threads"), mode, count, SECONDS], environment)[0]))
    return {name: statistics.median(rate) for name, rate in rates.items()}


def main(_):
    allocators = {name: environment_with(library) for name, library in find_peers().items()}
    allocators["one pool"] = environment_with(BUILD / "libffalloc.so", FFALLOC_POOL="256M")
    print(f"millions of calls a second, all threads together; {os.cpu_count()} cores")
    print("one pool: ffalloc with FFALLOC_POOL=256M, all threads on one pool")
    print(f"{'load':18}{'threads':>8}" + "".join(f"{name:>10}" for name in allocators) + "  ffalloc / glibc, / mimalloc")
    alone = None
    for mode in MODES:
        if mode in PLACED and len(os.sched_getaffinity(0)) < 2:
            skipped(f"{mode}: there is but one core")
            continue
        for count in COUNTS[mode.startswith("pipeline") :]:
            rates = throughputs(mode, count, allocators)
            row = f"{mode:18}{count:8}" + "".join(f"{rate:10.1f}" for rate in rates.values())
            row += f"{rates['ffalloc'] / rates['glibc']:10.2f}"
            if "mimalloc" in rates:
                row += f"{rates['ffalloc'] / rates['mimalloc']:8.2f}"
            if mode == "independent" and count == 1:
                alone = rates["ffalloc"]
            if mode == "independent" and count == 2:
                row += f"   {rates['ffalloc'] / alone:.2f} of one thread"
            print(row, flush=True)
