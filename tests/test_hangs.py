# SPDX-License-Identifier: MIT
"""Nothing hangs: what ends with libc's malloc ends with the library."""

import os
import pathlib
import tempfile
import unittest

from support import CHILDREN, TestCase, run

# Every way through the library: pools of the threads' own, one for all, the long way, recorded.
WAYS = ({}, {"FFALLOC_POOL": "64M"}, {"FFALLOC_CHECK": "1000"}, {"FFALLOC_RECORD": "FOLDER"})


class HangCase(TestCase):
    def check_each_way(self, command, judge, timeout=20, ways=WAYS, **variables):
        """Runs a command under each of some settings, and lets `judge` see how it ended."""
        for way in ways:
            with self.subTest(command[1:], **way), tempfile.TemporaryDirectory() as folder:
                settings = {name: value.replace("FOLDER", folder) for name, value in way.items()}
                judge(run(command, timeout=timeout, **settings, **variables))


class Misuse(HangCase):
    """It is told with no lock held."""

    MISUSES = {
        "free": "double free of ",
        "realloc": "realloc of freed memory at ",
        "size": "malloc_usable_size of freed memory at ",
        "foreign": "free of 0x1000, which is not a block",
        "inbox": r"free of 0x[0-9a-f]+, which is 16 bytes inside a block of 64 bytes",
    }

    GUARDED = {
        "free": "double free of a block of 64 bytes at ",
        "realloc": "realloc of a block of 64 bytes at ",
        "size": "malloc_usable_size of a block of 64 bytes at ",
        "overflow": "overflow of a block of 64 bytes at ",
    }
    GUARDS = {"FFALLOC_GUARD": "1", "FFALLOC_QUARANTINE": "1M"}

    def test_a_handler_of_the_abort_may_allocate(self):
        told = [(misuse, line, {}) for misuse, line in self.MISUSES.items()]
        told += [(misuse, line, self.GUARDS) for misuse, line in self.GUARDED.items()]
        for misuse, line, switches in told:

            def judge(process):
                self.assert_aborts(process)
                self.assertEqual(process.stdout, "handled\n")
                self.assertEqual(process.stderr.count("\n"), 1, process.stderr)
                self.assertRegex(process.stderr, line)

            self.check_each_way([CHILDREN / "told", misuse, "abort"], judge, **switches)

    def test_who_reads_of_it_may_allocate_first(self):
        for misuses, switches in ((self.MISUSES, {}), (self.GUARDED, self.GUARDS)):
            for misuse in misuses:
                command = [CHILDREN / "told", misuse, "pipe"]
                self.check_each_way(command, self.assert_ends_well, FFALLOC_ON_ERROR="report", **switches)


class Cancellation(HangCase):
    """No call is a cancellation point, whatever it has to say."""

    def test_in_the_middle_of_a_message(self):
        self.check_each_way([CHILDREN / "cancelled"], self.assert_ends_well, timeout=40, ways=WAYS[:3],
                            FFALLOC_VERBOSE="2", FFALLOC_ON_ERROR="report")

    def test_while_it_waits_for_room_in_the_recorder_s_ring(self):
        def judge(process):
            self.assert_ends_well(process)
            self.assertIn("the recorder is gone: recording ends here", process.stderr)

        self.check_each_way([CHILDREN / "cancelled", "waiting"], judge, timeout=60, ways=WAYS[3:],
                            FFALLOC_ON_ERROR="report")


class Outside(HangCase):
    """What others hold or never read."""

    def test_the_loader_s_lock_beside_the_recorder_s(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assert_ends_well(run([CHILDREN / "phdrs"], timeout=30, FFALLOC_RECORD=folder,
                                      FFALLOC_BACKTRACE="unwind"))

    def test_a_log_that_nobody_reads(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "fifo"
            os.mkfifo(log)
            process = run(["true"], timeout=20, FFALLOC_STATS="1", FFALLOC_LOG=str(log))
            self.assert_ends_well(process)
            self.assertIn(f"cannot write FFALLOC_LOG={log}", process.stderr)
            self.assertIn("high-water mark", process.stderr)

    def test_a_log_whose_reader_does_not_read(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "fifo"
            os.mkfifo(log)
            reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
            self.addCleanup(os.close, reader)
            writer = os.open(log, os.O_WRONLY | os.O_NONBLOCK)
            self.addCleanup(os.close, writer)
            with self.assertRaises(BlockingIOError):
                while os.write(writer, bytes(4096)):
                    pass
            process = run(["true"], timeout=20, FFALLOC_STATS="1", FFALLOC_LOG=str(log))
            self.assert_ends_well(process)
            self.assertIn(f"cannot write FFALLOC_LOG={log}", process.stderr)
            self.assertIn("high-water mark", process.stderr)


class Fork(HangCase):
    def test_beside_whoever_waits_for_malloc_with_a_lock(self):
        for case in ("streams", "handlers", "storm"):
            self.check_each_way([CHILDREN / "forks", case], self.assert_ends_well)

    def test_in_a_signal_handler(self):
        self.check_each_way([CHILDREN / "interrupted"], self.assert_ends_well)


if __name__ == "__main__":
    unittest.main()
