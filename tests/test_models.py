# SPDX-License-Identifier: MIT
"""spin verifies the models of what threads share, and finds what is wrong with spoiled copies of them."""

import pathlib
import subprocess
import tempfile
import unittest

INBOX = pathlib.Path(__file__).with_name("inbox.pml").read_text()
LOCK = pathlib.Path(__file__).with_name("lock.pml").read_text()
TURN = pathlib.Path(__file__).with_name("turn.pml").read_text()


def count_errors(model):
    """How many errors spin finds in a model, all interleavings searched."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "model.pml").write_text(model)
        for command in (["spin", "-a", "model.pml"], ["cc", "-O1", "-o", "pan", "pan.c"]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        output = subprocess.run(["./pan"], cwd=folder, check=True, capture_output=True, text=True).stdout
    error_count = int(output.split("errors: ")[1].split()[0])
    assert error_count or "Search not completed" not in output, output
    return error_count


class Models(unittest.TestCase):
    def assert_found(self, model, old, new):
        self.assertEqual(model.count(old), 1)
        self.assertGreater(count_errors(model.replace(old, new)), 0)

    def test_all_hold(self):
        self.assertEqual(count_errors(INBOX), 0)
        self.assertEqual(count_errors(LOCK), 0)
        self.assertEqual(count_errors(TURN), 0)

    def test_an_inbox_one_slot_too_full_is_found(self):
        self.assertGreater(count_errors(INBOX.replace("seen_head >= SLOTS", "seen_head > SLOTS")), 0)

    def test_a_head_seen_too_high_is_found(self):
        self.assert_found(INBOX, "head_seen = seen_head", "head_seen = seen_head + 1")

    def test_a_slot_that_is_not_emptied_is_found(self):
        self.assert_found(INBOX, "slots[head % SLOTS] = 0;", "skip;")

    def test_a_sleep_that_does_not_end_by_itself_is_found(self):
        self.assert_found(LOCK, ":: timeout -> is_asleep[_pid] = 0", "")

    def test_a_lock_that_is_not_taken_at_once_is_found(self):
        take = "if :: state == 0 -> state = 1; got = 1 :: else -> got = 0 fi"
        self.assert_found(LOCK, f"atomic {{ {take} }}", take)

    def test_a_look_while_the_lock_is_held_is_found(self):
        self.assert_found(TURN, ":: state == 0 ->\n            if", ":: true ->\n            if")

    def test_a_turn_that_begins_meanwhile_is_found(self):
        self.assert_found(TURN, ":: turn == now", ":: true")

    def test_a_turn_counted_at_its_end_is_found(self):
        counted = "turn = turn + 1;"
        spoiled = TURN.replace(counted, "").replace("        state = 0;\n", f"        {counted} state = 0;\n")
        self.assertGreater(count_errors(spoiled), 0)


if __name__ == "__main__":
    unittest.main()
