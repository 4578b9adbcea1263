# SPDX-License-Identifier: MIT
"""The programs of the bench run and count; what they count is for bench/run to judge."""

import os
import pathlib
import struct
import tempfile
import unittest

from support import BUILD, run

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

    def test_single_calls_are_counted_against_the_adversary(self):
        for scenario in SCENARIOS:
            with self.subTest(scenario):
                malloc, free, aligned, calls = self.numbers("steps", 65536, scenario)
                self.assertGreater(calls, 40)
                self.assertTrue(20 < max(malloc, free) < 5000)
                self.assertEqual(aligned > 0, scenario == "misaligned-holes")

    def test_loads_of_several_threads(self):
        placed = ("pipeline-apart", "pipeline-together") if len(os.sched_getaffinity(0)) > 1 else ()
        for mode in ("independent", "server", "pipeline", *placed, "short-lived"):
            with self.subTest(mode):
                self.assertGreater(self.numbers("threads", mode, 2, 0.05)[0], 0)


if __name__ == "__main__":
    unittest.main()
