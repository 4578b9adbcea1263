# SPDX-License-Identifier: MIT
"""ffalloc sweep: runs a program again and again, failing its 1st, 2nd, 3rd ... request in turn, and
lists which runs crash, and where."""

import collections
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from common import Failure, NO, Parser, USAGE, command, printable, run_command, say, skip_words

BACKTRACES = 20  # crashes that are looked at with gdb
SHOWN = 8  # numbers of runs that crash alike
OURS = ("ffalloc", "libc.so", "ld-linux")


def parse(arguments):
    parser = Parser(
        "sweep", "Fails each allocation of a program in turn.",
        usage="ffalloc sweep [OPTION...] -- PROGRAM [ARGUMENT...]",
        epilog="Each run gets no input and its output is dropped. Status 1 if one crashed or hung.")
    parser.add_argument("--from", type=int, default=1, metavar="N", dest="first",
                        help="the first request to fail; default 1")
    parser.add_argument("--to", type=int, metavar="N", dest="last", help="the last; default: that of a whole run")
    parser.add_argument("--step", type=int, default=1, metavar="N", help="each Nth from there; default 1")
    parser.add_argument("--pool", metavar="SIZE", help="as of run")
    parser.add_argument("--granule", metavar="BYTES", help="as of run")
    parser.add_argument("--only", metavar="NAME", help="fail requests of programs of this name")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS",
                        help="of one run; default 60")
    parser.add_argument("--json", action="store_true", help="print an object")
    parser.add_argument("program", nargs="*", help="after --")
    parser.add_skip()
    options = parser.parse_args(arguments)
    if not options.program:
        raise Failure("sweep: no program is named; try ffalloc sweep -- PROGRAM", USAGE)
    if options.step < 1 or options.first < 1:
        raise Failure("sweep: --from and --step count from 1", USAGE)
    if options.last is not None and options.last < options.first:
        raise Failure("sweep: --to lies before --from", USAGE)
    if not options.timeout > 0:
        raise Failure("sweep: --timeout is more than 0 seconds", USAGE)
    return options


def common_words(options):
    words = []
    for name in ("pool", "granule", "only"):
        value = getattr(options, name)
        words += [f"--{name}={value}"] if value else []
    return words


def requests(options):
    """The call sites of a whole run's requests, in order."""
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        backtrace = ["--backtrace=auto"] if options.skip is not None else []
        done = subprocess.run(
            [command(), "record", "-o", trace, *common_words(options), *backtrace, "--", *options.program],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace")
        if not os.path.exists(trace):
            print(done.stderr, end="", file=sys.stderr)
            raise Failure(status=done.returncode)
        if done.returncode < 0 or done.returncode > 128:
            raise Failure(f"{options.program[0]} ends with status {done.returncode} "
                          "even if no request fails")
        text = run_command("events", *skip_words(options.skip), "csv", trace=trace).decode(errors="replace")
    calls = csv.DictReader(io.StringIO(text))
    return [call["site"] for call in calls if call["call"] != "free"], done.returncode


def run_words(options, number):
    return [command(), "run", *common_words(options), f"--fail=nth:{number}"]


def run_failing(options, number):
    """How a run ends: a status, the negative number of a signal, or None if it hangs."""
    # A program that is killed leaves what it has started: it gets a group, which is killed whole.
    process = subprocess.Popen([*run_words(options, number), "--", *options.program],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(options.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def crash_place(options, number):
    """The innermost frame of the program's own in which a run crashes, as gdb sees it."""
    words = [*run_words(options, number), "--tool=gdb", "--", *options.program]
    script = tempfile.NamedTemporaryFile("w", suffix=".gdb")
    with script:
        script.write("set pagination off\nset width 0\nset confirm off\nrun >/dev/null 2>&1 </dev/null\n"
                     "backtrace 12\nkill\nquit\n")
        script.flush()
        try:
            done = subprocess.run(words, stdin=open(script.name), capture_output=True, text=True, errors="replace",
                                  timeout=60 + options.timeout)
        except subprocess.TimeoutExpired:
            return ""
    frames = re.findall(r"^(?:\(gdb\) )?#\d+ +(?:0x[0-9a-f]+ in )?(.+)$", done.stdout, re.M)
    for frame in frames:
        if not any(name in frame for name in OURS) and not frame.startswith(("__", "?? ()", "raise", "abort")):
            return re.sub(r" \(.*?\)(?= at | from |$)", "", frame)
    return ""


class Progress:
    """A line on standard error that is overwritten, if that is a terminal."""

    def __init__(self, total):
        self.total = total
        self.is_shown = sys.stderr.isatty()

    def show(self, done, crashed):
        if self.is_shown:
            print(f"\rffalloc: {done} of {self.total} runs, {crashed} crashed ", end="",
                  file=sys.stderr, flush=True)

    def end(self):
        if self.is_shown:
            print("\r\33[K", end="", file=sys.stderr, flush=True)


def sweep(options, sites, numbers):
    bad = []
    counts = collections.Counter()
    progress = Progress(len(numbers))
    for done, number in enumerate(numbers, 1):
        ending = run_failing(options, number)
        if ending is None or ending < 0:
            outcome = "hangs" if ending is None else signal_name(-ending)
            bad.append({"request": number, "site": sites[number - 1], "outcome": outcome})
            counts["bad"] += 1
        else:
            counts["same" if ending == options.status else "refused"] += 1
        progress.show(done, counts["bad"])
    progress.end()
    return bad, counts


def look_at(options, bad):
    """Adds the place of the crash to the first of each site."""
    if not shutil.which("gdb"):
        return
    seen = {}
    for crash in bad:
        key = (crash["site"], crash["outcome"])
        if crash["outcome"] != "hangs" and key not in seen and len(seen) < BACKTRACES:
            seen[key] = crash_place(options, crash["request"])
        if seen.get(key):
            crash["crash"] = printable(seen[key])


def print_text(bad, counts, total):
    print(f"{total} requests failed in turn: {counts['same']} runs ended as without a failure, "
          f"{counts['refused']} with another status, {counts['bad']} crashed or hung")
    alike = {}
    for crash in bad:
        alike.setdefault((crash["site"], crash["outcome"]), []).append(crash)
    for (site, outcome), crashes in alike.items():
        numbers = " ".join(f"#{crash['request']}" for crash in crashes[:SHOWN])
        more = f" and {len(crashes) - SHOWN} more" if len(crashes) > SHOWN else ""
        place = f", in {crashes[0]['crash']}" if crashes[0].get("crash") else ""
        print(f"{site or 'unknown site'}: {outcome}{place}: {numbers}{more}")


def main(arguments):
    options = parse(arguments)
    sites, options.status = requests(options)
    last = min(options.last or len(sites), len(sites))
    numbers = range(options.first, last + 1, options.step)
    if not numbers:
        raise Failure(f"sweep: the program makes {len(sites)} requests", USAGE)
    bad, counts = sweep(options, sites, numbers)
    look_at(options, bad)
    if options.json:
        json.dump({"requests": len(sites), "runs": len(numbers), "same": counts["same"],
                   "other_status": counts["refused"], "bad": bad}, sys.stdout, indent=1)
        print()
    else:
        print_text(bad, counts, len(numbers))
    if bad:
        say(f"ffalloc run --tool gdb --fail nth:{bad[0]['request']} -- ... shows the first")
    return NO if bad else 0
