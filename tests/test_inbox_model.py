# SPDX-License-Identifier: MIT
"""spin verifies tests/inbox.pml, and finds what is wrong with three spoiled copies of it."""

import pathlib
import subprocess
import tempfile
import unittest

MODEL = pathlib.Path(__file__).with_name("inbox.pml").read_text()


def count_errors(model):
    """How many errors spin finds in a model, all interleavings searched."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "inbox.pml").write_text(model)
        for command in (["spin", "-a", "inbox.pml"], ["cc", "-O2", "-o", "pan", "pan.c"]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        output = subprocess.run(["./pan"], cwd=folder, check=True, capture_output=True, text=True).stdout
    error_count = int(output.split("errors: ")[1].split()[0])
    assert error_count or "Search not completed" not in output, output
    return error_count


class InboxModel(unittest.TestCase):
    def test_holds(self):
        self.assertEqual(count_errors(MODEL), 0)

    def test_an_inbox_one_slot_too_full_is_found(self):
        self.assertGreater(count_errors(MODEL.replace("seen_head >= SLOTS", "seen_head > SLOTS")), 0)

    def test_a_head_seen_too_high_is_found(self):
        self.assertGreater(count_errors(MODEL.replace("head_seen = seen_head", "head_seen = seen_head + 1")), 0)

    def test_a_slot_that_is_not_emptied_is_found(self):
        self.assertGreater(count_errors(MODEL.replace("slots[head % SLOTS] = 0;", "skip;")), 0)


if __name__ == "__main__":
    unittest.main()
