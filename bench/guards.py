# SPDX-License-Identifier: MIT
"""What guards, the quarantine and the fill of freed memory catch, and what they cost."""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import programs
from common import (
    BUILD, ROUNDS, built, environment_with, geometric_mean, interleaved, is_embedded, output_of, print_noise, skipped,
    traces,
)

LIBRARY = BUILD / "libffalloc.so"
TRIALS = int(os.environ.get("BENCH_TRIALS", "60"))
QUARANTINE = {"FFALLOC_QUARANTINE": "1M"}
GUARD = {"FFALLOC_GUARD": "1"}
CAUGHT_BY = {  # column: library, switches
    "glibc": (None, {}),
    "no switch": (LIBRARY, {}),
    "FILL": (LIBRARY, {"FFALLOC_FILL": "90"}),
    "GUARD": (LIBRARY, GUARD),
    "GUARD, QUARANTINE": (LIBRARY, GUARD | QUARANTINE),
}
COSTS = {  # row: switches
    "no switch": {},
    "no switch again": {},
    "FILL=90": {"FFALLOC_FILL": "90"},
    "GUARD=24": {"FFALLOC_GUARD": "24"},
    "GUARD=1 (64 bytes)": GUARD,
    "QUARANTINE=1M": QUARANTINE,
    "GUARD=1, QUARANTINE=1M": GUARD | QUARANTINE,
}
PROGRAMS = ("python3", "sqlite3", "g++")


def outcome(kind, seed, library, switches):
    """The words that the trial prints; None if it could not be made."""
    done = subprocess.run([built("misused"), kind, str(seed)], env=environment_with(library, **switches),
                          capture_output=True, text=True)
    if done.returncode == 4:
        return None
    if done.returncode != 0:
        sys.exit(f"{kind} {seed} ended with {done.returncode}")
    return set(done.stdout.split())


def trials(kind, library, switches):
    """(how many were made, caught, harmed)"""
    made = [words for seed in range(TRIALS) if (words := outcome(kind, seed, library, switches)) is not None]
    return len(made), *(sum(word in words for words in made) for word in ("caught", "harmed"))


def percents(count, caught, harmed):
    return f"{100 * caught / count:.0f} / {100 * harmed / count:.0f}" if count else "-"


def print_caught():
    print(f"Caught, and another block harmed, percent of {TRIALS} trials each:\n")
    print(f"| | {' | '.join(CAUGHT_BY)} |\n|---|{'---|' * len(CAUGHT_BY)}")
    totals = collections.defaultdict(lambda: [0, 0, 0])
    for kind in subprocess.run([built("misused")], capture_output=True, text=True).stdout.split():
        row = {name: trials(kind, *how) for name, how in CAUGHT_BY.items()}
        for name, counts in row.items():
            totals[name] = [a + b for a, b in zip(totals[name], counts)]
        print(f"| {kind} | {' | '.join(percents(*counts) for counts in row.values())} |", flush=True)
    print(f"| all kinds | {' | '.join(percents(*totals[name]) for name in CAUGHT_BY)} |")


def high_water(command, environment):
    """KiB up to the high-water mark, of the largest process."""
    done = subprocess.run(command, env=environment | {"FFALLOC_STATS": "json"}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    marks = re.findall(r'"high_water_size":(\d+)', done.stderr)
    if done.returncode != 0 or not marks:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr}")
    return max(map(int, marks)) / 1024


def print_costs():
    print(f"\nCPU time, the least of {ROUNDS} runs, and high-water mark, over those without a switch:\n")
    print(f"| | {' | '.join(f'{name} CPU | pool' for name in PROGRAMS)} |\n|---|{'---|---|' * len(PROGRAMS)}")
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        prepared = programs.prepare(pathlib.Path(folder))
        for name in PROGRAMS:
            if not shutil.which(name):
                skipped(f"{name}: not installed")
                continue
            words, variables = [str(word) for word in prepared[name][0]], prepared[name][1]
            places = {row: environment_with(LIBRARY, **variables, **switches) for row, switches in COSTS.items()}
            taken = interleaved({row: lambda environment=environment: programs.run_command(name, words, environment).cpu
                                 for row, environment in places.items()})
            columns[name] = {row: (min(taken[row]), high_water(words, places[row])) for row in COSTS}
    for row in COSTS:
        cells = [f"{columns[name][row][part] / columns[name]['no switch'][part]:.2f}"
                 for name in columns for part in (0, 1)]
        print(f"| {row} | {' | '.join(cells)} |")
    print_noise("no switch against itself", [{row: taken[row][0] for row in COSTS} for taken in columns.values()],
                "no switch", "no switch again")


def print_pools():
    """The embedded traces on a device with 32-bit words, by `ffalloc size`."""
    print("\nThe smallest pool with 32-bit words, bytes:\n\n| trace | no guards | guards of 8 bytes | |\n|---|---|---|---|")
    ratios = []
    with traces(()) as paths:
        for path in filter(is_embedded, paths):
            pools = [json.loads(output_of([BUILD / "ffalloc", "size", "--json", "--target=32", *guard, path])[0])["min_pool"]
                     for guard in ((), ("--guard=8",))]
            ratios.append(pools[1] / pools[0])
            print(f"| {path.name} | {pools[0]} | {pools[1]} | {ratios[-1]:.2f} |", flush=True)
    if ratios:
        print(f"| geometric mean | | | {geometric_mean(ratios):.2f} |")


def main(wanted):
    parts = {"caught": print_caught, "cost": print_costs, "pools": print_pools}
    for name in wanted or parts:
        parts[name]()
