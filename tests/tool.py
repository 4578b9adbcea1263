# SPDX-License-Identifier: MIT
"""What the tests of the ffalloc command share."""

import csv
import io
import json
import os
import pathlib
import tempfile
import time

import support
from support import BUILD, TestCase


def ring_folders():
    """Those of the recorders that run now, other tests' too."""
    return set(pathlib.Path("/dev/shm").glob("ffalloc.*"))


class ToolCase(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def tool(self, *words, status=0, **settings):
        """Runs ffalloc, and judges its status unless that is None."""
        done = support.run([BUILD / "ffalloc", *words], preload=None, **settings)
        if status is not None:
            self.assertEqual(done.returncode, status, f"{words}\n{done.stdout[-2000:]}\n{done.stderr}")
        return done

    def object(self, *words, **settings):
        return json.loads(self.tool(*words, **settings).stdout)

    def record(self, *words, status=0, options=(), name="trace", **settings):
        trace = self.folder / name
        self.tool("record", "-o", trace, *options, "--", *words, status=status, **settings)
        return trace

    def events(self, trace):
        text = self.tool("events", "csv", trace).stdout
        return list(csv.DictReader(io.StringIO(text)))

    def spent(self):
        """Seconds of processors that the programs run so far have taken: a loaded machine adds none."""
        times = os.times()
        return times.children_user + times.children_system

    def assert_one_line(self, done, pattern):
        self.assertRegex(done.stderr, rf"\Affalloc: [^\n]*{pattern}[^\n]*\n\Z")

    def assert_no_ring_stays(self, before, what=None):
        """Other tests record too: their folders go when they end."""
        left, end = ring_folders() - before, time.monotonic() + 60
        while left and time.monotonic() < end:
            time.sleep(0.05)
            left &= ring_folders()
        self.assertEqual(left, set(), what)
