# SPDX-License-Identifier: MIT
"""ns and instructions per call through malloc's names, for every trace."""

import shutil
import statistics

from common import (
    ROUNDS, find_peers, geometric_mean, instructions, is_desktop, is_embedded, replay, skipped, traces,
)


def nanoseconds(mode, trace, library=None):
    return float(replay(mode, trace, "3", library=library)[0].split()[0])


def net_times(trace, peers):
    """Median ns per call of each allocator, interleaved, less the replay's own."""
    own = []
    times = {name: [] for name in peers}
    for _ in range(ROUNDS):
        own.append(nanoseconds("null", trace))
        for name, library in peers.items():
            times[name].append(nanoseconds("malloc", trace, library))
    return {name: max(statistics.median(taken) - statistics.median(own), 0.1) for name, taken in times.items()}


def instructions_per_call(trace, peers):
    count = int(replay("null", trace)[0].split()[1])
    own = instructions("null", trace)
    return {name: (instructions("malloc", trace, library) - own) / count for name, library in peers.items()}


def print_means(traces_run, values, peers, reference):
    """Geometric means of the ratios to one allocator, for the embedded and the desktop half."""
    for label, is_in in (("embedded", is_embedded), ("desktop", is_desktop)):
        row = "".join(
            f"{geometric_mean(values[t][name] / values[t][reference] for t in traces_run if is_in(t)):10.2f}"
            for name in peers
        )
        print(f"{label + ' / ' + reference:24}{row}")


def main(wanted):
    peers = find_peers()
    with traces(wanted) as paths:
        print("ns per call through malloc's names, the replay's own subtracted; medians")
        print(f"{'trace':24}" + "".join(f"{name:>10}" for name in peers))
        times = {}
        for trace in paths:
            times[trace] = net_times(trace, peers)
            print(f"{trace.name:24}" + "".join(f"{time:10.1f}" for time in times[trace].values()), flush=True)
        print_means(paths, times, peers, "glibc")
        if "mimalloc" in peers:
            print_means(paths, times, peers, "mimalloc")
        if not shutil.which("valgrind"):
            skipped("instructions per call: no valgrind")
            return
        print("\ninstructions per call through malloc's names (callgrind), the replay's own subtracted")
        print(f"{'trace':24}" + "".join(f"{name:>10}" for name in peers))
        counts = {}
        for trace in paths:
            counts[trace] = instructions_per_call(trace, peers)
            print(f"{trace.name:24}" + "".join(f"{n:10.0f}" for n in counts[trace].values()), flush=True)
        print_means(paths, counts, peers, "glibc")
