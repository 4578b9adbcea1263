# SPDX-License-Identifier: MIT
"""The ffalloc command: what it does with bad traces, and what all its parts keep to."""

import json
import re
import struct
import subprocess
import sys
import unittest

from support import BUILD, CHILDREN, SOURCE, need
from tool import ToolCase


class BadTraces(ToolCase):
    def assert_refused(self, content, pattern):
        trace = self.folder / "bad"
        trace.write_bytes(content)
        for command in (["size"], ["replay"], ["map"]):
            done = self.tool(*command, trace, status=125)
            self.assert_one_line(done, pattern)
            self.assertEqual(done.stdout, "")
        output = self.folder / "out"
        self.assert_one_line(self.tool("report", trace, "-o", output, status=125), pattern)
        self.assertFalse(output.exists())

    def test_no_trace(self):
        self.assert_refused(b"", "is empty")
        self.assert_refused(b"#!/bin/sh\necho this is something else\n", "no trace")
        self.assert_refused(b"\x28\xb5\x2f\xfd" + b"x" * 100, "damaged|no trace")
        for path in ("/", self.folder / "missing"):
            self.assert_one_line(self.tool("size", path, status=125), "director|No such file")

    def test_a_newer_version(self):
        self.assert_refused(struct.pack("<4sIQ", b"FTRC", 3, 0), "newer")

    LINE = r"is truncated: this is of its first \d+ events"

    def count_of_cut(self, trace):
        """How many events are left of a trace that is cut off, as every command says."""
        done = self.tool("size", "--json", trace)
        self.assert_one_line(done, self.LINE)
        size = json.loads(done.stdout)
        self.assertFalse(size["is_exact"])
        self.assertIn(f"its first {size['events']} events", done.stderr)
        for command in (["replay"], ["map"], ["map", "--svg", "-"], ["report", "-o", "-"],
                        ["export", "--format=csv", "-o", "-"], ["export", "--format=pprof", "-o", "-"]):
            if size["events"]:
                self.assert_one_line(self.tool(*command, trace), self.LINE)
        return size["events"]

    def test_truncated(self):
        """What there is of it is read, up to the last whole event, and a line says so."""
        events = struct.pack("<BBHII", 1, 0, 0, 0, 5) + struct.pack("<BBHII", 1, 0, 0, 1, 5)
        plain = struct.pack("<4sIQ", b"FTRC", 1, 3) + events
        trace = self.folder / "cut"
        for cut in (plain, plain + b"x" * 5):
            trace.write_bytes(cut)
            self.assertEqual(self.count_of_cut(trace), 2)
        content = self.record(CHILDREN / "places").read_bytes()
        for size in range(0, len(content), 97):
            trace.write_bytes(content[:size])
            done = self.tool("size", trace, status=None)
            self.assertIn(done.returncode, (0, 125))
            self.assert_one_line(done, "truncated|no trace|is empty")

    def test_truncated_far_from_the_start(self):
        """Of a trace of several pieces of compressed data those before the cut are read, as they are."""
        whole = self.record(sys.executable, "-c", "for _ in range(30000): bytearray(1000)")
        content = whole.read_bytes()
        events = self.tool("events", "csv", whole).stdout.splitlines()
        trace = self.folder / "cut"
        counts = []
        for size in (len(content) // 2, len(content) * 3 // 4, len(content) - 100):
            trace.write_bytes(content[:size])
            counts.append(self.count_of_cut(trace))
            left = self.tool("events", "csv", trace).stdout.splitlines()
            self.assertEqual(left, events[:counts[-1] + 1])
        self.assertEqual(counts, sorted(counts))
        self.assertGreater(counts[1], 10000)
        self.assertGreater(counts[-1], len(events) - 20000)
        self.assertLess(counts[-1], len(events) - 1)

    def test_nonsense_inside(self):
        def trace(*records):
            return struct.pack("<4sIQ", b"FTRC", 1, len(records)) + b"".join(
                struct.pack("<BBHII", *record) for record in records)

        self.assert_refused(trace((9, 0, 0, 0, 5)), "unknown kind")
        self.assert_refused(trace((1, 0, 0, 7, 5)), "number is too high")
        self.assert_refused(trace((4, 0, 0, 0, 0)), "too high|not live")
        self.assert_refused(trace((1, 0, 0, 0, 5), (1, 0, 0, 0, 5)), "placed twice")
        self.assert_refused(trace((1, 0, 0, 0, 5), (4, 0, 0, 0, 0), (4, 0, 0, 0, 0)), "not live")
        self.assert_refused(trace((5, 60, 0, 0, 5)), "alignment")

    def test_standard_output_that_is_full(self):
        trace = self.record(CHILDREN / "places")
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "ffalloc", "size", trace], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 125)
        self.assert_one_line(done, "No space left")


class Conventions(ToolCase):
    COMMANDS = ("run", "record", "replay", "size", "map", "report", "export", "sweep", "dump", "doctor")

    def test_help_and_version(self):
        self.assertRegex(self.tool("--version").stdout, r"\Affalloc \d+\.\d+\.\d+\n\Z")
        text = self.tool("--help").stdout
        for command in self.COMMANDS:
            self.assertIn(f"\n  {command} ", text)
            self.assertIn("sage: ffalloc " + command, self.tool(command, "--help").stdout)
        self.assert_one_line(self.tool("fly", status=2), "no command 'fly'")

    def test_manual_pages_are_clean(self):
        lint = need("mandoc")
        for page in ("ffalloc.1", "ffalloc.3", "libffalloc.7"):
            done = subprocess.run([lint, "-T", "lint", SOURCE / "doc" / page], capture_output=True,
                                  text=True)
            # Whether other pages are installed is not the page's fault.
            lines = [line for line in done.stdout.splitlines() if "manual not found" not in line]
            self.assertEqual(lines, [])

    def test_the_library_knows_every_variable_of_its_manual(self):
        page = (SOURCE / "doc/libffalloc.7").read_text()
        names = set(re.findall(r'\{"([A-Z_]+)", read_', (SOURCE / "src/preload/options.c").read_text()))
        self.assertEqual(names - {"RECORD", "BACKTRACE", "PAUSED"},
                         set(re.findall(r"It Ev FFALLOC_([A-Z_]+) Ns", page)))


if __name__ == "__main__":
    unittest.main()
