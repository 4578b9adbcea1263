# SPDX-License-Identifier: MIT
"""What a fuzzer without libFuzzer does with an input that fails."""

import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

import support


class Alone(support.TestCase):
    def fuzz(self, folder, *arguments):
        return subprocess.run([support.CHILDREN / "failing", *map(str, arguments)], cwd=folder,
                              capture_output=True, text=True, timeout=100)

    def check_left(self, number, text):
        """The input is left in a file that is named, and fails again."""
        with tempfile.TemporaryDirectory() as folder:
            corpus = pathlib.Path(folder) / "corpus"
            corpus.mkdir()
            (corpus / "only").write_text(text)
            process = self.fuzz(folder, 30, corpus)
            self.assertEqual(process.returncode, -number, process.stderr)
            left = re.search(r"the input is left in (failed-\d+-\d+)\n", process.stderr)
            self.assertTrue(left, process.stderr)
            self.assertEqual((pathlib.Path(folder) / left[1]).read_text(), text)
            return self.fuzz(folder, left[1]).returncode if number == signal.SIGABRT else None

    def test_an_input_that_fails_is_left_in_a_file(self):
        self.assertEqual(self.check_left(signal.SIGABRT, "xyza"), -signal.SIGABRT)

    def test_an_input_that_does_not_end_is_left_in_a_file(self):
        self.check_left(signal.SIGALRM, "xyzh")

    def test_a_run_without_findings_counts_its_inputs(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "only").write_text("\0")
            process = self.fuzz(folder, 0, folder)
            self.assert_ends_well(process)
            self.assertRegex(process.stdout, r"^FFALLOC_SEED=\d+\n1 runs\n$")


if __name__ == "__main__":
    unittest.main()
