# SPDX-License-Identifier: MIT
"""ffalloc top: the heap of a process that runs."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
import unittest

from support import BUILD, environment
from test_live import PROGRAM, Live, control_of

KEEPS_CALLING = """
import select, sys
print("ready", flush=True)
kept = [bytearray(1000) for _ in range(3000)]
while not select.select([sys.stdin], [], [], 0.01)[0]:
    kept[::2] = [bytearray(1000) for _ in range(1500)]
"""


class Top(Live):
    def served(self):
        process = self.start([BUILD / "ffalloc", "run", "--live", "--", sys.executable, "-c", KEEPS_CALLING])
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process.pid

    def screen(self, columns, rows, *words, key=b"q", number=None):
        """What it writes to a terminal of that size until it is told to end, and its status."""
        child, terminal = pty.fork()
        if child == 0:
            os.execve(BUILD / "ffalloc", ["ffalloc", "top", *words], environment(LC_ALL="C"))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        output, start, is_told = b"", time.monotonic(), False
        while time.monotonic() < start + 30:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    output += os.read(terminal, 1 << 16)
                except OSError:
                    break
            if not is_told and output.count(b"q quits") >= 2:
                is_told = True
                os.kill(child, number) if number else os.write(terminal, key)
        _, status = os.waitpid(child, 0)
        os.close(terminal)
        return output.decode("ascii"), os.waitstatus_to_exitcode(status)

    def test_lines_where_there_is_no_terminal(self):
        recorder, program = self.record(self.folder / "trace", program=KEEPS_CALLING)
        done = self.tool("top", "--count=2", f"{program}")
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertRegex(line, r"^[\d.]+ s, \d+ events: pool \d+, mark \d+, used \d+, holes \d+ in \d+, "
                             r"largest \d+; most: .+$")
        self.assertEqual(done.stderr, "")

    def test_figures_are_those_of_the_trace(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        self.call(recorder, 2000)
        time.sleep(1.2) # by then it is written out
        seen = json.loads(self.tool("top", "--json", "--count=1", f"{recorder.pid}").stdout)
        self.tool("snapshot", f"{program}")
        data = self.object("data", "--at=end", "--columns=1", "--rows=1", f"{trace}.snapshot")
        moment = data["moment"]
        self.assertEqual((seen["process"], seen["events"]), (program, data["events"]))
        for name, other in (("mark", "mark"), ("used", "used"), ("payload", "payload")):
            self.assertEqual(seen[name], moment[other])
        self.assertEqual(seen["pool"], data["min_pool"])
        self.assertEqual(seen["holes"], moment["mark"] - moment["used"])
        held = sorted((site["end_bytes"] for site in data["sites"]), reverse=True)
        self.assertEqual(seen["sites"][0]["bytes"], held[0])
        self.assertNotIn("0x", seen["sites"][0]["site"][:2])

    def test_a_process_that_nobody_records(self):
        process = self.served()
        lines = self.tool("top", "-n", "2", f"{process}").stdout.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertNotEqual(*(re.search(r"(\d+) events", line).group(1) for line in lines))
        self.assertTrue(os.path.exists(control_of(process)), "it goes on")
        self.assertEqual(len(self.tool("top", "-n", "1", f"{process}").stdout.splitlines()), 1)

    def test_rotated_traces_one_after_the_other(self):
        program = 'print("ready", flush=True)\nimport time\nfor i in range(30):\n  for j in range(3000): ' \
                  'x = bytearray(700 + j % 700)\n  time.sleep(0.1)'
        recorder, process = self.record(self.folder / "trace", "--rotate=64K", "--backtrace=fp", program=program)
        done = self.tool("top", f"{process}")
        self.assertGreater(len(done.stdout.splitlines()), 1)
        self.finish(recorder)

    def test_a_screen(self):
        process = self.served()
        for columns in (60, 120):
            output, status = self.screen(columns, 12, f"{process}")
            self.assertEqual(status, 0)
            self.assertTrue(output.startswith("\33[?1049h\33[?25l\33[H"))
            self.assertIn("\33[?25h\33[?1049l", output)
            frames = [frame.split("\33[J")[0] for frame in output.split("\33[H")[1:]]
            for frame in frames:
                lines = frame.replace("\33[K", "").split("\r\n")
                self.assertLessEqual(len(lines), 12)
                self.assertLessEqual(max(map(len, lines)), columns)
                self.assertRegex(lines[0], rf"^process {process}: \d+ events")
                self.assertRegex(lines[1], r"^pool +\d+  for the mark of \d+$")

    def test_ends_cleanly_by_a_signal(self):
        process = self.served()
        for number in (signal.SIGINT, signal.SIGTERM):
            output, status = self.screen(80, 24, f"{process}", number=number)
            self.assertEqual(status, 0)
            self.assertIn("\33[?25h\33[?1049l", output)
        self.assertEqual(len(self.tool("top", "-n", "1", f"{process}").stdout.splitlines()), 1)

    def test_ends_with_the_process(self):
        recorder, program = self.record(self.folder / "trace")
        self.call(recorder, 100)
        top = self.start([BUILD / "ffalloc", "top", f"{program}"])
        self.assertIn("events", top.stdout.readline())
        self.finish(recorder)
        top.communicate(timeout=30)
        self.assertEqual(top.returncode, 0)

    def test_bad_input(self):
        self.assert_one_line(self.tool("top", status=2), "no process")
        self.assert_one_line(self.tool("top", "x", status=2), "is no process's number")
        self.assert_one_line(self.tool("top", "1", "2", status=2), "one process")
        self.assert_one_line(self.tool("top", "--count=0", "1", status=2), "--count")
        self.assert_one_line(self.tool("top", f"{os.getpid()}", status=125), "ffalloc run --live")


if __name__ == "__main__":
    unittest.main()
