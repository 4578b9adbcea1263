# SPDX-License-Identifier: MIT
"""ns and instructions per call through malloc's names, for every trace."""

import shutil
import statistics

from common import (
    ROUNDS, find_peers, geometric_mean, instructions_per_call, is_desktop, is_embedded, newer_build, replay, skipped,
    traces,
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


def counts(trace, peers):
    """Instructions per call of each allocator."""
    return {name: instructions_per_call("malloc", trace, library) for name, library in peers.items()}


def print_means(traces_run, values, peers, reference):
    """Geometric means of the ratios to one allocator, for the embedded and the desktop half."""
    for label, is_in in (("embedded", is_embedded), ("desktop", is_desktop)):
        row = "".join(
            f"{geometric_mean(values[t][name] / values[t][reference] for t in traces_run if is_in(t)):10.2f}"
            for name in peers
        )
        print(f"{label + ' / ' + reference:24}{row}")


def print_table(title, paths, peers, measure, decimals, references):
    print(title)
    print(f"{'trace':24}" + "".join(f"{name:>10}" for name in peers))
    values = {}
    for trace in paths:
        values[trace] = measure(trace, peers)
        print(f"{trace.name:24}" + "".join(f"{v:10.{decimals}f}" for v in values[trace].values()), flush=True)
    for reference in references:
        print_means(paths, values, peers, reference)


def main(wanted):
    peers = find_peers() | newer_build()
    references = [name for name in ("glibc", "mimalloc") if name in peers]
    with traces(wanted) as paths:
        title = "v3: ffalloc's build for x86-64-v3\n\nns per call through malloc's names, the replay's own subtracted; medians"
        print_table(title, paths, peers, net_times, 1, references)
        if not shutil.which("valgrind"):
            skipped("instructions per call: no valgrind")
            return
        title = "\ninstructions per call through malloc's names (callgrind), the replay's own subtracted"
        print_table(title, paths, peers, counts, 0, ["glibc"])
