# SPDX-License-Identifier: MIT
"""What the tests of the preload library and the arena share: running a program and judging it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

BUILD = pathlib.Path(os.environ.get("FFALLOC_BUILD", "build")).resolve()
SOURCE = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = BUILD / "libffalloc.so"
CHILDREN = BUILD / "tests"

# What a program run here must not inherit: Meson sets the first for every test.
CLEARED = ("MALLOC_PERTURB_", "LD_PRELOAD", "ASAN_OPTIONS")


def environment(**variables):
    """The environment of this process, without FFALLOC_* and the like, plus `variables`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FFALLOC_") and name not in CLEARED
    }
    return kept | variables


def run(command, preload=LIBRARY, stdin="", cwd=None, timeout=300, preexec=None, **variables):
    """Runs a command under the library (None: without it) and returns the finished process."""
    if preload:
        variables["LD_PRELOAD"] = str(preload)
    return subprocess.run(
        [str(word) for word in command],
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        cwd=cwd,
        timeout=timeout,
        preexec_fn=preexec,
    )


def need(program):
    """The path of a program; the test is skipped, and says so, where there is none."""
    path = shutil.which(program)
    if not path:
        raise unittest.SkipTest(f"no {program} here")
    return path


class TestCase(unittest.TestCase):
    """unittest's, with a few judgements about finished processes."""

    maxDiff = 4000

    def assert_ends_well(self, process):
        self.assertEqual(process.returncode, 0, f"{process.stdout}\n{process.stderr}")

    def assert_aborts(self, process):
        self.assertEqual(process.returncode, -signal.SIGABRT, process.stderr)

    def assert_told(self, process, pattern):
        """All that the library said is one line like that; ADDRESS is what the program printed first."""
        address = process.stdout.split()[0]
        lines = process.stderr.splitlines()
        self.assertEqual(len(lines), 1, process.stderr)
        self.assertRegex(lines[0], "^ffalloc: " + pattern.replace("ADDRESS", address) + "$")

    def assert_same(self, command, **settings):
        """The program prints the same with the library as without, and ends the same way."""
        plain = run(command, preload=None, **settings)
        ours = run(command, **settings)
        self.assertEqual(plain.returncode, 0, plain.stderr)
        self.assertEqual(
            (ours.returncode, ours.stdout, ours.stderr),
            (plain.returncode, plain.stdout, plain.stderr),
        )

    def stats_of(self, process):
        """The JSON report on the process's standard error."""
        lines = [line for line in process.stderr.splitlines() if line.startswith("{")]
        self.assertEqual(len(lines), 1, process.stderr)
        return json.loads(lines[0])
