# SPDX-License-Identifier: MIT
"""A program goes on whatever becomes of the recorder that reads its calls, or of who reads that."""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest

from support import BUILD, environment
from tool import ToolCase

# Says when it begins, and makes more calls than a ring has room for once it is told to.
PROGRAM = """
import sys
print("ready", flush=True)
sys.stdin.readline()
for _ in range(200000):
    bytearray(1000)
print("done", flush=True)
"""


class Recorder(ToolCase):
    def start(self, trace):
        """`ffalloc record` of the program, once that runs."""
        process = subprocess.Popen(
            [BUILD / "ffalloc", "record", "-o", trace, "--", sys.executable, "-c", PROGRAM], text=True,
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def finish_program(self, process):
        """Seconds that its calls take."""
        start = time.monotonic()
        print(file=process.stdin, flush=True)
        self.assertEqual(process.stdout.readline(), "done\n")
        return time.monotonic() - start

    def test_stopped_the_program_waits_ten_seconds_and_goes_on(self):
        trace = self.folder / "trace"
        process = self.start(trace)
        process.send_signal(signal.SIGSTOP)
        self.addCleanup(process.send_signal, signal.SIGCONT)
        self.assertGreater(self.finish_program(process), 9)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertIn("the recorder is gone: recording ends here", stderr)
        self.assertGreater(len(self.events(trace)), 100000, "what the ring had")

    def test_stopped_for_less_nothing_is_lost(self):
        trace = self.folder / "trace"
        process = self.start(trace)
        process.send_signal(signal.SIGSTOP)
        threading.Timer(2, process.send_signal, [signal.SIGCONT]).start()
        self.assertGreater(self.finish_program(process), 1)
        _, stderr = process.communicate(timeout=30)
        self.assertNotIn("recording ends here", stderr)
        self.assertGreater(len(self.events(trace)), 400000)

    def test_a_pipe_that_nobody_reads_does_not_stop_the_program(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        process = self.start(pipe)
        self.assertLess(self.finish_program(process), 9)
        with self.assertRaises(subprocess.TimeoutExpired): # the trace is more than a pipe holds
            process.wait(timeout=2)
        os.set_blocking(reader, True)
        with open(reader, "rb") as file:
            (self.folder / "trace").write_bytes(file.read())
        _, stderr = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertGreater(len(self.events(self.folder / "trace")), 400000)

    def test_who_leaves_a_pipe_unread_ends_it(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        process = self.start(pipe)
        self.finish_program(process)
        os.close(reader)
        process.communicate(timeout=30)
        self.assertNotEqual(process.returncode, 0)

    def test_the_thread_that_forks_is_the_child_s_first(self):
        program = """
import os, threading
def fork():
    child = os.fork()
    if child == 0:
        for _ in range(100):
            bytearray(1000)
        os._exit(0)
    print(child, os.waitpid(child, 0)[1])
thread = threading.Thread(target=fork)
thread.start()
thread.join()
"""
        done = self.tool("record", "-o", self.folder / "trace.%p", "--", sys.executable, "-c", program)
        child, status = done.stdout.split()
        self.assertEqual(status, "0")
        threads = [event["thread"] for event in self.events(self.folder / f"trace.{child}")]
        self.assertGreater(len(threads), 100)
        self.assertEqual(set(threads), {"0"})


if __name__ == "__main__":
    unittest.main()
