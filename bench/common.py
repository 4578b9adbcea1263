# SPDX-License-Identifier: MIT
"""What the benches share: allocators, traces, running things, means."""

import contextlib
import functools
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
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))  # interleaved runs of each allocator
PEERS = {  # name: the library's file name in Debian
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
}
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")

MALLOC, REALLOC, FREE = 1, 3, 4


def built(name):
    """The path of a program of the bench."""
    path = BUILD / "bench" / name
    if not path.exists():
        sys.exit(f"no bench/{name} in {BUILD.name}: ninja -C {BUILD.name} bench-programs")
    return path


def skipped(what):
    print(f"SKIPPED {what}", flush=True)


def find_peers():
    """The allocators to compare, with the library to preload: glibc's own too, for a program may be
    linked with another malloc (Debian's redis-server with jemalloc)."""
    peers = {"glibc": "libc.so.6", "ffalloc": BUILD / "libffalloc.so"}
    for name, file in PEERS.items():
        found = [path for folder in LIBRARY_FOLDERS if (path := pathlib.Path(folder, file)).exists()]
        if found:
            peers[name] = found[0]
        else:
            skipped(f"{name}: not installed")
    return peers


def environment_with(library=None, **variables):
    """The environment without what would change an allocator, but `library` preloaded."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("FFALLOC_", "MALLOC_"))
    }
    if library:
        environment["LD_PRELOAD"] = str(library)
    return {**environment, **variables}


def output_of(command, environment=None):
    """Standard output and error of a command that must succeed."""
    result = subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {result.stderr or result.stdout}")
    return result.stdout, result.stderr


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else math.nan


# A clock of more than one speed ---------------------------------------------------------------

AGAIN = "again"  # ffalloc once more, as if it were another: what differs is noise


def with_again(peers):
    return {**peers, AGAIN: peers["ffalloc"]}


def interleaved(measures, rounds=None):
    """What each measure told, once a round and in turn. Of these the least counts: the clock of a
    shared machine has more than one speed, and a median is of whichever it had more often."""
    taken = {name: [] for name in measures}
    for _ in range(rounds or ROUNDS):
        for name, measure in measures.items():
            taken[name].append(measure())
    return taken


def print_noise(what, rows, one="ffalloc", other=AGAIN):
    """How much a thing differs from itself: no difference below that says anything."""
    parts = [max(row[one], row[other]) / min(row[one], row[other]) - 1 for row in rows]
    if parts:
        print(f"noise, {what}: {sum(parts) / len(parts):.1%} on the mean, {max(parts):.1%} at most")


# Traces ------------------------------------------------------------------------------------


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


def unpack_traces(folder, wanted):
    """The recorded traces, decompressed; a line says so if there are none."""
    if not TRACES.is_dir() or not shutil.which("zstd"):
        skipped(f"the recorded traces: no ../shared/{TRACES.name}, or no zstd")
        return []
    paths = []
    for packed in sorted(TRACES.glob("*.trc.zst")):
        path = folder / packed.name.removesuffix(".trc.zst")
        if wanted and path.name not in wanted:
            continue
        subprocess.run(["zstd", "-dqf", packed, "-o", path], check=True)
        paths.append(path)
    return paths


@contextlib.contextmanager
def traces(wanted):
    """The paths of all traces, or of those that are wanted."""
    with tempfile.TemporaryDirectory() as folder:
        paths = unpack_traces(pathlib.Path(folder), wanted) + make_traces(pathlib.Path(folder))
        yield [path for path in paths if not wanted or path.name in wanted]


def is_embedded(trace):
    return trace.name.startswith("emb_")


def is_desktop(trace):
    """Recorded from a desktop program; neither embedded nor generated."""
    return not trace.name.startswith(("emb_", "gen_"))


# Replays -----------------------------------------------------------------------------------


def replay(mode, trace, *arguments, library=None, tool=()):
    """One replay; returns its standard output and error."""
    command = [*tool, built("replay"), mode, trace, *arguments]
    return output_of(command, environment_with(library, FFALLOC_VALGRIND="off"))


def instructions(mode, trace, library=None):
    """Instructions of the whole replay, counted by callgrind."""
    tool = [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
        "--toggle-collect=replay_calls", "--soname-synonyms=somalloc=nouserintercepts",
    ]
    error = replay(mode, trace, "1", library=library, tool=tool)[1]
    return int(next(line for line in error.splitlines() if "Collected" in line).split()[-1])


@functools.cache
def own_instructions(trace):
    """Calls in a trace, and what the replay itself costs."""
    return int(replay("null", trace)[0].split()[1]), instructions("null", trace)


def instructions_per_call(mode, trace, library=None):
    """The replay's own subtracted."""
    count, own = own_instructions(trace)
    return (instructions(mode, trace, library) - own) / count
