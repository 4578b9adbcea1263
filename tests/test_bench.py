# SPDX-License-Identifier: MIT
"""The programs of the bench run and count; what they count is for bench/run to judge."""

import contextlib
import importlib
import io
import itertools
import os
import pathlib
import struct
import sys
import tempfile
import unittest
from unittest import mock

from support import BUILD, SOURCE, run

BENCH = BUILD / "bench"
SCENARIOS = (
    "holes-too-small", "full-but-last", "defeated-hints", "large-holes", "misaligned-holes", "checkerboard",
)


class Bench(unittest.TestCase):
    def numbers(self, *command):
        process = run([BENCH / command[0], *command[1:]], preload=None)
        self.assertEqual(process.returncode, 0, process.stderr)
        return [float(word) for word in process.stdout.split() if word[0].isdigit()]

    def test_a_trace_is_replayed_and_sized(self):
        records = [(1, 0, 100), (1, 1, 200), (3, 0, 300), (4, 1, 0)]
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder, "trace")
            body = b"".join(struct.pack("<BBHII", op, 0, 0, slot, size) for op, slot, size in records)
            trace.write_bytes(struct.pack("<4sIQ", b"FTRC", 1, len(records)) + body)
            for mode in ("malloc", "core", "null"):
                self.assertEqual(self.numbers("replay", mode, trace)[1], len(records))
            least, peak, metadata = self.numbers("replay", "size", trace)
            self.assertEqual(peak, 500)
            # 100 and 200 bytes lie side by side; 300 fit only after them, before 100 is freed.
            self.assertEqual(least - metadata, 112 + 208 + 304)
            trace.write_bytes(trace.read_bytes()[:-1])
            self.assertIn("truncated", run([BENCH / "replay", "core", trace], preload=None).stderr)

    @unittest.skipUnless((BENCH / "replay-32").exists(), "no 32-bit replay here")
    def test_the_smallest_pool_found_by_trying_is_the_one_computed(self):
        sys.path.insert(0, str(SOURCE / "bench"))
        self.addCleanup(sys.path.pop, 0)
        pools = importlib.import_module("pools")
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            common = importlib.import_module("common")
            trace = folder / "trace"
            common.write_trace(trace, list(common.churn(200, 4000, lambda chance: chance.randrange(1, 300))))
            program = pools.compile_peer("ffalloc", folder)
            computed, peak, _ = map(int, self.numbers("replay-32", "size", trace))
            found = pools.smallest(program, trace, peak)
            self.assertTrue(computed <= found < computed + 8, (computed, found))

    def printed(self, bench, run, **patches):
        """The lines that a bench prints, by their first word, where what it measures is of a clock
        that is slow for six of seven measurements."""
        sys.path.insert(0, str(SOURCE / "bench"))
        self.addCleanup(sys.path.pop, 0)
        module = importlib.import_module(bench)
        common = importlib.import_module("common")
        self.speeds = itertools.cycle((1.6, 1.6, 1.0, 1.6, 1.6, 1.6, 1.6))
        peers = {"glibc": "libc.so.6", "ffalloc": "ours"}
        with mock.patch.object(common, "ROUNDS", 7), \
                mock.patch.multiple(module, find_peers=lambda: peers, create=True, **patches), \
                contextlib.redirect_stdout(io.StringIO()) as output:
            run(module)
        self.assertIn("itself", output.getvalue())
        for line in output.getvalue().splitlines():
            if line.startswith("noise"):
                self.assertIn(": 0.0% on the mean", line)
        return {line.split()[0]: line.split()[1:] for line in output.getvalue().splitlines() if line}

    def cost(self, environment):
        return {"libc.so.6": 20.0, "ours": 30.0}.get(environment.get("LD_PRELOAD"), 60.0) * next(self.speeds)

    def test_calls_tells_no_clock_of_two_speeds(self):
        """Of each library the least counts, and beside it stands ffalloc once more. So it is in each
        bench that has a clock."""
        costs = {None: 2.0, "libc.so.6": 20.0, "ours": 30.0}
        rows = self.printed(
            "calls", lambda bench: bench.main([]),
            nanoseconds=lambda mode, trace, library=None: costs[library] * next(self.speeds),
            traces=lambda wanted: contextlib.nullcontext([pathlib.Path("emb_one"), pathlib.Path("two")]),
            shutil=mock.Mock(which=lambda name: None))
        self.assertEqual(rows["emb_one"], ["18.0", "28.0", "28.0"])

    def test_threads_tells_no_clock_of_two_speeds(self):
        rows = self.printed(
            "threads", lambda bench: bench.main([]), built=str, MODES=("server",), COUNTS=(1, 2),
            output_of=lambda command, environment: (f"{6000 / self.cost(environment)}", ""))
        self.assertEqual(rows["server"], ["2", "300.0", "200.0", "200.0", "100.0", "0.67"])

    def test_programs_tells_no_clock_of_two_speeds(self):
        def run(name, words, environment):
            cost = self.cost(environment)
            return mock.Mock(cpu=cost, wall=cost * 2, rss=cost * 1024)

        rows = self.printed("programs", lambda bench: bench.main([]), run_command=run,
                            prepare=lambda folder: {"job": (["true"], {})})
        self.assertEqual(rows["job"], ["20.00", "40.00", "20", *["1.50"] * 6])

    def test_record_tells_no_clock_of_two_speeds(self):
        def run(bench):
            row = bench.compare("job", ["job"], "folder")
            bench.print_noise("run against itself", [row], "run", bench.AGAIN)

        rows = self.printed("record", run, seconds=lambda words, environment:
                            (30.0 if "record" in words else 20.0) * next(self.speeds))
        self.assertEqual(rows["|"], ["job", "|", "20.00", "|", "30.00", "|", "+50%", "|", "20.00", "|"])

    def test_guards_tell_no_clock_of_two_speeds(self):
        def run(name, words, environment):
            return mock.Mock(cpu=(2.0 if "FFALLOC_GUARD" in environment else 1.0) * next(self.speeds))

        job = mock.Mock(run_command=run, prepare=lambda folder: {name: (["true"], {}) for name in ("python3", "g++")})
        rows = self.printed("guards", lambda bench: bench.print_costs(), programs=job, PROGRAMS=("python3", "g++"),
                            high_water=lambda words, environment: 10.0 + len(environment.get("FFALLOC_GUARD", "")),
                            shutil=mock.Mock(which=lambda name: name))
        self.assertEqual(rows["|"], ["GUARD=1,", "QUARANTINE=1M", *["|", "2.00", "|", "1.10"] * 2, "|"])

    def test_misuse_is_counted(self):
        rows = self.printed("guards", lambda bench: (bench.print_caught(), print("itself")), TRIALS=1,
                            LIBRARY=BUILD / "libffalloc.so")
        self.assertEqual(rows["|"][:3], ["all", "kinds", "|"])
        self.assertGreater(int(rows["|"][-4]), 95)

    def test_single_calls_are_counted_against_the_adversary(self):
        for scenario in SCENARIOS:
            with self.subTest(scenario):
                malloc, free, aligned, calls = self.numbers("steps", 65536, scenario)
                self.assertGreater(calls, 40)
                self.assertTrue(20 < max(malloc, free) < 5000)
                self.assertEqual(aligned > 0, scenario == "misaligned-holes")

    def test_loads_of_several_threads(self):
        placed = ("pipeline-apart", "pipeline-together", "pipeline-large") if len(os.sched_getaffinity(0)) > 1 else ()
        for mode in ("independent", "server", "pipeline", *placed, "short-lived"):
            with self.subTest(mode):
                self.assertGreater(self.numbers("threads", mode, 2, 0.0001)[0], 0)


if __name__ == "__main__":
    unittest.main()
