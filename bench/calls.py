# SPDX-License-Identifier: MIT
"""ns and instructions per call through malloc's names, for every trace."""

import functools
import shutil

from common import (
    ROUNDS, find_peers, geometric_mean, instructions_per_call, interleaved, is_desktop, is_embedded,
    print_noise, replay, skipped, traces, with_again,
)

def nanoseconds(mode, trace, library=None):
    return float(replay(mode, trace, "3", library=library)[0].split()[0])


def times(trace, peers):
    """ns per call of each allocator, and of the replay itself (None)."""
    libraries = {None: None, **peers}
    return interleaved({
        name: functools.partial(nanoseconds, "malloc" if name else "null", trace, library)
        for name, library in libraries.items()})


def net_minima(taken):
    """The least of the times of each allocator, less the replay's own."""
    return {name: max(min(taken[name]) - min(taken[None]), 0.1) for name in taken if name}


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


def print_head(title, peers):
    print(title)
    print(f"{'trace':24}" + "".join(f"{name:>10}" for name in peers))


def print_row(trace, values, decimals):
    print(f"{trace.name:24}" + "".join(f"{v:10.{decimals}f}" for v in values.values()), flush=True)


def print_times(paths, peers, references):
    """A row of minima for each trace."""
    peers = with_again(peers)
    print_head(f"ns per call through malloc's names, the replay's own subtracted; minima of {ROUNDS}", peers)
    minima = {}
    for trace in paths:
        minima[trace] = net_minima(times(trace, peers))
        print_row(trace, minima[trace], 1)
    for reference in references:
        print_means(paths, minima, peers, reference)
    print_noise("ffalloc against itself", minima.values())


def print_counts(paths, peers):
    print_head("\ninstructions per call through malloc's names (callgrind), the replay's own subtracted", peers)
    values = {}
    for trace in paths:
        values[trace] = counts(trace, peers)
        print_row(trace, values[trace], 0)
    print_means(paths, values, peers, "glibc")


def main(wanted):
    peers = find_peers()
    references = [name for name in ("glibc", "mimalloc") if name in peers]
    with traces(wanted) as paths:
        print_times(paths, peers, references)
        if shutil.which("valgrind"):
            print_counts(paths, peers)
        else:
            skipped("instructions per call: no valgrind")
