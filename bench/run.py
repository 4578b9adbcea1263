#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replays allocation traces and prints one table.

    bench/run.py calls [TRACE...]   ns and instructions per call through malloc's names, against
                                    glibc and what else is installed, interleaved, best of each
    bench/run.py core [TRACE...]    instructions per call of the core alone in a pool, and the
                                    smallest pool over the peak of live bytes

The traces are those of ../shared/traces beside the repository, if that folder is there, and three
made here from a seed. FFALLOC_BUILD names the build folder (default: build). A trace's own cost,
measured by a replay that serves nothing, is subtracted. Instructions are counted by callgrind.
"""

import math
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("FFALLOC_BUILD", SOURCE / "build")).resolve()
TRACES = SOURCE.parent / "shared" / "traces"
REPLAY = BUILD / "bench" / "replay"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))  # interleaved runs of each allocator
PEERS = {  # name: the library's file name in Debian
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
}
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")

MALLOC, REALLOC, FREE = 1, 3, 4


def write_trace(path, records):
    """An FTRC trace of (operation, id, size) tuples."""
    with open(path, "wb") as file:
        file.write(struct.pack("<4sIQ", b"FTRC", 1, len(records)))
        for operation, slot, size in records:
            file.write(struct.pack("<BBHII", operation, 0, 0, slot, size))


def churn(slots, count, draw_size):
    """Random slots are filled and emptied in turn."""
    chance = random.Random(1)
    live = set()
    for _ in range(count):
        slot = chance.randrange(slots)
        if slot in live:
            live.remove(slot)
            yield FREE, slot, 0
        else:
            live.add(slot)
            yield MALLOC, slot, draw_size(chance)


def growing(count):
    """Buffers that grow step by step, four at a time."""
    for i in range(count):
        slot, step = i % 4, i // 4 % 64
        if step == 0:
            if i >= 256:
                yield FREE, slot, 0
            yield MALLOC, slot, 16
        else:
            yield REALLOC, slot, 16 + step * 24


def make_traces(folder):
    """The generated traces; returns their paths."""
    made = {
        "gen_churn_1000": churn(5000, 400000, lambda chance: chance.randrange(1, 1001)),
        "gen_few_sizes": churn(200, 400000, lambda chance: chance.choice((16, 24, 48, 64))),
        "gen_realloc_steps": growing(400000),
    }
    for name, records in made.items():
        write_trace(folder / name, list(records))
    return [folder / name for name in made]


def unpack_traces(folder):
    """The recorded traces, decompressed; a line says so if there are none."""
    if not TRACES.is_dir() or not shutil.which("zstd"):
        print(f"SKIPPED the recorded traces: no {TRACES.name} beside the repository, or no zstd")
        return []
    paths = []
    for packed in sorted(TRACES.glob("*.trc.zst")):
        path = folder / packed.name.removesuffix(".trc.zst")
        subprocess.run(["zstd", "-dqf", packed, "-o", path], check=True)
        paths.append(path)
    return paths


def find_peers():
    """The allocators to compare, with their libraries; glibc is None."""
    peers = {"glibc": None, "ffalloc": BUILD / "libffalloc.so"}
    for name, file in PEERS.items():
        found = [path for folder in LIBRARY_FOLDERS if (path := pathlib.Path(folder, file)).exists()]
        if found:
            peers[name] = found[0]
        else:
            print(f"SKIPPED {name}: not installed")
    return peers


def replay(mode, trace, *arguments, library=None, tool=()):
    """One replay; returns its standard output and error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FFALLOC_", "MALLOC_"))}
    environment["FFALLOC_VALGRIND"] = "off"
    if library:
        environment["LD_PRELOAD"] = str(library)
    command = [*tool, str(REPLAY), mode, str(trace), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: {result.stderr}")
    return result.stdout, result.stderr


def nanoseconds(mode, trace, library=None):
    return float(replay(mode, trace, "3", library=library)[0].split()[0])


def instructions(mode, trace, library=None):
    """Instructions of the whole replay, counted once."""
    tool = [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
        "--toggle-collect=replay_calls", "--soname-synonyms=somalloc=nouserintercepts",
    ]
    error = replay(mode, trace, "1", library=library, tool=tool)[1]
    return int(next(line for line in error.splitlines() if "Collected" in line).split()[-1])


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else math.nan


def bench_calls(traces):
    peers = find_peers()
    has_callgrind = shutil.which("valgrind") is not None
    counted = ("glibc", "ffalloc")
    header = f"{'trace':24}" + "".join(f"{name:>10}" for name in peers)
    print("ns per call, the replay's own subtracted; in brackets against glibc")
    print(header + ("     instructions per call: glibc, ffalloc" if has_callgrind else ""))
    ratios = {}
    for trace in traces:
        best = {name: math.inf for name in peers}
        own = math.inf
        for _ in range(ROUNDS):
            own = min(own, nanoseconds("null", trace))
            for name, library in peers.items():
                best[name] = min(best[name], nanoseconds("malloc", trace, library))
        net = {name: max(time - own, 0.1) for name, time in best.items()}
        row = f"{trace.name:24}"
        for name, time in net.items():
            ratios.setdefault(name, {})[trace.name] = time / net["glibc"]
            row += f"{time:10.1f}"
        row += f"  ({net['ffalloc'] / net['glibc']:.2f})"
        if has_callgrind:
            count = int(replay("null", trace)[0].split()[1])
            base = instructions("null", trace)
            per_call = [(instructions("malloc", trace, peers[name]) - base) / count for name in counted]
            row += "  " + "".join(f"{number:8.0f}" for number in per_call)
        print(row, flush=True)
    for label, wanted in (("embedded", True), ("desktop", False), ("all", None)):
        means = ""
        for name in peers:
            chosen = [r for t, r in ratios[name].items() if wanted is None or t.startswith("emb_") == wanted]
            means += f"{geometric_mean(chosen):10.2f}"
        print(f"{'geometric mean, ' + label:24}{means}")


def bench_core(traces):
    if not shutil.which("valgrind"):
        print("SKIPPED: no valgrind")
        return
    print("the core alone: instructions per call, smallest pool / peak of live bytes, metadata bytes")
    per_call, loss = {}, {}
    for trace in traces:
        count = int(replay("null", trace)[0].split()[1])
        number = (instructions("core", trace) - instructions("null", trace)) / count
        least, peak, metadata = map(int, replay("size", trace)[0].split())
        per_call[trace.name], loss[trace.name] = number, least / peak
        print(f"{trace.name:24}{number:8.0f}{least / peak:9.3f}{metadata:10}", flush=True)
    embedded = [name for name in per_call if name.startswith("emb_")] or list(per_call)
    print(
        f"{'geometric mean, embedded':24}{geometric_mean(per_call[name] for name in embedded):8.0f}"
        f"{geometric_mean(loss[name] for name in embedded):9.3f}"
    )


def main(arguments):
    benches = {"calls": bench_calls, "core": bench_core}
    if not arguments or arguments[0] not in benches:
        sys.exit(__doc__)
    if not REPLAY.exists():
        sys.exit(f"no {REPLAY.name} there: ninja -C {BUILD.name} bench/replay")
    with tempfile.TemporaryDirectory() as folder:
        traces = unpack_traces(pathlib.Path(folder)) + make_traces(pathlib.Path(folder))
        wanted = arguments[1:]
        benches[arguments[0]]([t for t in traces if not wanted or t.name in wanted])


if __name__ == "__main__":
    main(sys.argv[1:])
