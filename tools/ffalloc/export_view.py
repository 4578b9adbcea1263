# SPDX-License-Identifier: MIT
"""ffalloc export: a trace for viewers that exist.

massif     ms_print, massif-visualizer
heaptrack  heaptrack_print, heaptrack_gui; FILE.gz is compressed
pprof      go tool pprof
chrome     chrome://tracing, Perfetto: counters over time
csv, json  a line for each call; the curves, sites and sizes as one object
"""

import gzip
import json
import sys
import tempfile

from common import Parser, run_command, say, skip_words, survey, write_file

CURVE_SAMPLES = 1000
MASSIF_SNAPSHOTS = 100
MASSIF_THRESHOLD = 0.01  # of the heap: smaller branches of its tree are put together


def parse(arguments):
    parser = Parser("export", "Writes a trace for another viewer.")
    parser.add_argument("trace", help="as ffalloc record wrote it")
    parser.add_argument("--format", required=True, choices=sorted(FORMATS),
                        help="for ms_print (massif), go tool pprof, Perfetto (chrome) and others")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="- is standard output; of NAME.gz, heaptrack and csv are compressed")
    parser.add_skip()
    return parser.parse_args(arguments)


# massif -------------------------------------------------------------------------------


def frame_name(frame):
    place = f" ({frame['file']}:{frame['line']})" if "file" in frame else (
        f" (in {frame['module']})" if frame["module"] else "")
    return f"{frame['address']}: {frame['function']}{place}"


def massif_tree(entries, depth, indent, least, lines):
    """The branches of stacks (bytes, frames) by their frame at `depth`."""
    branches = {}
    for size, frames in entries:
        if depth < len(frames):
            branches.setdefault(frames[depth]["address"], []).append((size, frames))
    sums = sorted(((sum(size for size, _ in branch), branch) for branch in branches.values()),
                  key=lambda pair: -pair[0])
    shown = [pair for pair in sums if pair[0] >= least]
    rest = sums[len(shown):]
    for total, branch in shown:
        below = []
        count = massif_tree(branch, depth + 1, indent + 1, least, below)
        lines.append(f"{' ' * indent}n{count}: {total} {frame_name(branch[0][1][depth])}")
        lines.extend(below)
    if rest:
        total = sum(pair[0] for pair in rest)
        lines.append(f"{' ' * indent}n0: {total} in {len(rest)} places, all below massif's "
                     f"threshold ({MASSIF_THRESHOLD:.2%})")
    return len(shown) + bool(rest)


def snapshot(number, time, sample, tree):
    return [
        "#-----------", f"snapshot={number}", "#-----------", f"time={time}",
        f"mem_heap_B={sample['payload']}",
        f"mem_heap_extra_B={max(0, sample['mark'] - sample['payload'])}",
        "mem_stacks_B=0", *tree,
    ]


def massif(trace, skip):
    data = survey(trace, skip=skip, at="peak", columns=MASSIF_SNAPSHOTS, rows=1)
    has_time = data["duration"] > 0
    process = data["process"] or {}
    lines = ["desc: ffalloc: extra is what exact first fit needs beyond the payload",
             f"cmd: {' '.join(process.get('command', [])) or data['trace']}",
             f"time_unit: {'ms' if has_time else 'i'}"]
    peak = data["moment"]
    samples = [s for s in data["samples"] if s["event"] != peak["event"]] + [peak]
    samples.sort(key=lambda sample: sample["event"])
    below = []
    held = [(site["peak_bytes"], site["frames"]) for site in data["sites"] if site["peak_bytes"]]
    count = massif_tree(held, 0, 1, MASSIF_THRESHOLD * peak["payload"], below)
    tree = ["heap_tree=peak", f"n{count}: {peak['payload']} (heap allocation functions) "
            "malloc/new/new[], --alloc-fns, etc.", *below]
    zero = {"payload": 0, "mark": 0}
    lines += snapshot(0, 0, zero, ["heap_tree=empty"])
    for number, sample in enumerate(samples, 1):
        time = sample["time"] // 1000 if has_time else sample["event"]
        lines += snapshot(number, time, sample, tree if sample is peak else ["heap_tree=empty"])
    return "\n".join(lines) + "\n"


# pprof --------------------------------------------------------------------------------


def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """A protobuf field: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


class Profile:
    """A profile.proto (google/pprof), whose field numbers stand here."""

    def __init__(self):
        self.strings = {"": 0}
        self.functions = {}
        self.locations = {}
        self.parts = []

    def string(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def value_type(self, kind, unit):
        return field(1, self.string(kind)) + field(2, self.string(unit))

    def location(self, frame):
        name = (frame["function"], frame.get("file", frame["module"]))
        if name not in self.functions:
            number = self.functions[name] = len(self.functions) + 1
            self.parts.append(field(5, field(1, number) + field(2, self.string(name[0]))
                                    + field(3, self.string(name[0])) + field(4, self.string(name[1]))))
        if frame["address"] not in self.locations:
            number = self.locations[frame["address"]] = len(self.locations) + 1
            line = field(1, self.functions[name]) + field(2, frame.get("line", 0))
            self.parts.append(field(4, field(1, number) + field(3, int(frame["address"], 16))
                                    + field(4, line)))
        return self.locations[frame["address"]]

    def sample(self, frames, values):
        places = b"".join(varint(self.location(frame)) for frame in frames)
        self.parts.append(field(2, field(1, places) + field(2, b"".join(map(varint, values)))))

    def encode(self):
        strings = b"".join(field(6, text.encode()) for text in self.strings)
        return b"".join(self.parts) + strings


def pprof(trace, skip):
    data = survey(trace, skip=skip, columns=1, rows=1)
    profile = Profile()
    for kind, unit in (("alloc_objects", "count"), ("alloc_space", "bytes"),
                       ("inuse_objects", "count"), ("inuse_space", "bytes")):
        profile.parts.append(field(1, profile.value_type(kind, unit)))
    unknown = [{"function": "unknown", "module": "", "address": "0x0"}]
    for site in data["sites"]:
        profile.sample(site["frames"] or unknown, (site["alloc_count"], site["alloc_bytes"],
                                                   site["mark_count"], site["mark_bytes"]))
    profile.parts.append(field(10, data["duration"] * 1000))
    profile.parts.append(field(14, profile.string("inuse_space")))
    return gzip.compress(profile.encode(), mtime=0)


# chrome, json -------------------------------------------------------------------------


def chrome(trace, skip):
    data = survey(trace, skip=skip, columns=CURVE_SAMPLES, rows=1)
    process = data["process"] or {}
    number = process.get("process", 1)
    has_time = data["duration"] > 0
    name = " ".join(process.get("command", [])) or data["trace"]
    events = [{"name": "process_name", "ph": "M", "pid": number, "args": {"name": name}}]
    for sample in data["samples"]:
        time = sample["time"] if has_time else sample["event"]
        common = {"ph": "C", "ts": time, "pid": number}
        events.append({"name": "used", **common, "args": {
            "payload": sample["payload"], "rounding": sample["used"] - sample["payload"]}})
        events.append({"name": "holes below the mark", **common,
                       "args": {"bytes": max(0, sample["mark"] - sample["used"])}})
        events.append({"name": "largest hole", **common, "args": {"bytes": sample["largest_hole"]}})
        events.append({"name": "blocks", **common, "args": {"count": sample["blocks"]}})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def json_object(trace, skip):
    data = survey(trace, skip=skip, columns=CURVE_SAMPLES, rows=1)
    for name in ("life", "now", "columns", "rows", "row_bytes", "site_by_number", "moment"):
        del data[name]
    return json.dumps(data, indent=1) + "\n"


# --------------------------------------------------------------------------------------


def stream(kind):
    """What the command writes event by event: into a file first, as nothing half is to be seen."""

    def write(trace, output, skip):
        with tempfile.TemporaryFile() as file:
            run_command("events", *skip_words(skip), kind, trace=trace, output=file)
            file.seek(0)
            content = file.read()
        write_file(output, gzip.compress(content, 1) if output.endswith(".gz") else content)

    return write


def whole(make):
    return lambda trace, output, skip: write_file(output, make(trace, skip))


FORMATS = {
    "massif": whole(massif),
    "pprof": whole(pprof),
    "chrome": whole(chrome),
    "json": whole(json_object),
    "csv": stream("csv"),
    "heaptrack": stream("heaptrack"),
}


def main(arguments):
    options = parse(arguments)
    FORMATS[options.format](options.trace, options.output, options.skip)
    if options.output != "-":
        say(f"{options.output}: {options.format}")
    sys.stdout.flush()
    return 0
