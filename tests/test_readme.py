# SPDX-License-Identifier: MIT
"""The README works when typed line by line, and its figures are those printed."""

import os
import re
import struct
import subprocess

from support import BUILD, SOURCE, need
import readme
import support
from tool import ToolCase

TEXT = (SOURCE / "README.md").read_text()
# What a user of the README may have in the environment: nothing of it changes a figure.
OWN = {"LANG": "C.UTF-8", "A_VARIABLE": "of the user's"}


class Readme(ToolCase):
    def setUp(self):
        super().setUp()
        (self.folder / "tools").mkdir()
        (self.folder / "build").mkdir()
        (self.folder / "build/demo").symlink_to(BUILD)
        demo = self.folder / "tools/demo"
        demo.write_text("#!/bin/sh\necho built\n")
        demo.chmod(0o755)

    def test_each_command_prints_what_is_said(self):
        need("mawk")
        self.assertGreater(len(readme.commands(TEXT)), 8)
        for own in ({}, OWN):
            found = readme.differences(TEXT, self.folder, support.environment(COLUMNS="80", **own))
            self.assertEqual(found, [], "\n\n".join(found))

    def test_gdb_loads_its_commands_as_said(self):
        [line] = re.findall(r"^    \(gdb\) (source .*)$", TEXT, re.M)
        words = [need("gdb"), "-q", "-batch", "-ex", line, "-ex", "help ff"]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        self.assertIn("ff heap", done.stdout, done.stderr)

    def test_the_files_it_names_are_there(self):
        for path in re.findall(r"\]\(([^)#:]+)\)", TEXT):
            self.assertTrue((SOURCE / path).exists(), path)

    def test_its_chart_is_that_of_the_bench(self):
        figures = (SOURCE / "bench/README.md").read_text()
        lines = re.findall(r"^    [a-z_0-9]+ +[0-9.]+ #+$", TEXT, re.M)
        self.assertEqual(len(lines), 5)
        for line in lines:
            self.assertIn(line, figures)

    def test_its_picture_is_small(self):
        picture = (SOURCE / "doc/report.png").read_bytes()
        width, height = struct.unpack(">II", picture[16:24])
        self.assertLess(len(picture), 100000)
        self.assertTrue(600 < width < 1200 and 600 < height < 1200)

    def test_a_wrong_figure_is_seen(self):
        text = TEXT.replace("events         8033", "events         8034")
        self.assertEqual(len(readme.differences(text, self.folder, support.environment())), 1)


class Reader(ToolCase):
    def test_commands_and_what_they_print(self):
        text = "a\n\n    $ echo 'one\n      two'\n    one\n    ...\n    $ true\n\n    no command\n"
        self.assertEqual(readme.commands(text), [("echo 'one\n  two'", ["one", "..."]), ("true", [])])
        self.assertEqual(len(readme.differences(text, self.folder, dict(os.environ))), 0)
        self.assertEqual(len(readme.differences(text.replace("    one\n", "    two\n"), self.folder)), 1)


class Sizing(ToolCase):
    def test_each_figure_is_explained(self):
        page = (SOURCE / "doc/sizing.md").read_text()
        done = self.tool("run", "--stats", "--", "ls", "/")
        trace = self.record("ls", "/")
        text = done.stderr.split("\n", 1)[1] + self.tool("size", "--margin=5", trace).stdout
        labels = set(re.findall(r"^ *([a-z][a-z -]*?)(?:  |, | of [0-9])", text, re.M))
        labels |= {"fragmentation", "payload", "rounding", "metadata"}
        self.assertGreater(len(labels), 12)
        for label in labels:
            self.assertIn(f"`{label}", page)
