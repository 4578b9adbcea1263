# SPDX-License-Identifier: MIT
"""What the tests of the ffalloc command share."""

import csv
import io
import json
import pathlib
import tempfile

import support
from support import BUILD, TestCase


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

    def assert_one_line(self, done, pattern):
        self.assertRegex(done.stderr, rf"\Affalloc: [^\n]*{pattern}[^\n]*\n\Z")
