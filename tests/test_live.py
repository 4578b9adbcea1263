# SPDX-License-Identifier: MIT
"""Traces of programs that go on: snapshots, and one after the other."""

import os
import signal
import subprocess
import sys
import time
import unittest

from support import BUILD, environment
from tool import ToolCase

# Makes calls for each line that it is given, and says when it has made them.
PROGRAM = """
import sys
print("ready", flush=True)
kept = []
for line in sys.stdin:
    for _ in range(int(line)):
        kept.append(bytearray(1000))
    del kept[::2]
    print("done", flush=True)
"""


class Live(ToolCase):
    def start(self, command):
        """A process that is told what to do by a pipe."""
        process = subprocess.Popen(command, text=True, env=environment(), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def record(self, trace, *options, program=PROGRAM):
        """`ffalloc record` of the program, and the program's number."""
        recorder = self.start([BUILD / "ffalloc", "record", "-o", trace, *options, "--", sys.executable, "-c",
                               program])
        self.assertEqual(recorder.stdout.readline(), "ready\n")
        return recorder, self.child_of(recorder.pid)

    def record_whole(self, *words, **settings):
        return ToolCase.record(self, *words, name="whole", **settings)

    def child_of(self, process):
        with open(f"/proc/{process}/task/{process}/children") as file:
            return int(file.read().split()[0])

    def call(self, process, count):
        print(count, file=process.stdin, flush=True)
        self.assertEqual(process.stdout.readline(), "done\n")

    def finish(self, recorder, status=0):
        _, stderr = recorder.communicate(timeout=60)
        self.assertEqual(recorder.returncode, status, stderr)
        return stderr


class Snapshot(Live):
    def assert_begins_as(self, trace, snapshot):
        whole, part = self.events(trace), self.events(snapshot)
        self.assertEqual(part, whole[:len(part)])
        return len(part)

    def test_is_a_whole_trace_of_what_was_recorded_so_far(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        kept = []
        for number, asked in enumerate((program, recorder.pid, program)):
            self.call(recorder, 3000)
            done = self.tool("snapshot", f"{asked}")
            self.assertEqual(done.stdout, f"{trace}.snapshot\n")
            kept.append(self.folder / f"kept{number}")
            os.rename(f"{trace}.snapshot", kept[-1])
            self.assertEqual(self.tool("size", kept[-1]).stderr, "")
            self.assertEqual(self.object("replay", "--json", kept[-1])["as_recorded"], "yes")
        self.finish(recorder)
        counts = [self.assert_begins_as(trace, path) for path in kept]
        for count, more in zip(counts, counts[1:]):
            self.assertGreater(more, count + 3000)
        self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")

    def test_comes_by_sigusr2_to_the_recorder(self):
        trace = self.folder / "trace"
        recorder, _ = self.record(trace)
        self.call(recorder, 500)
        recorder.send_signal(signal.SIGUSR2)
        end = time.monotonic() + 30
        while not os.path.exists(f"{trace}.snapshot") and time.monotonic() < end:
            time.sleep(0.01)
        self.call(recorder, 10)
        self.assertIn(f"{trace}.snapshot: ", self.finish(recorder))
        self.assertGreater(self.assert_begins_as(trace, f"{trace}.snapshot"), 500)

    def test_stays_whole_if_all_is_killed(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        self.call(recorder, 1000)
        self.tool("snapshot", f"{program}")
        self.call(recorder, 1000)
        recorder.kill()
        os.kill(program, signal.SIGKILL)
        recorder.communicate(timeout=30)
        self.assertEqual(self.tool("size", f"{trace}.snapshot").stderr, "")
        self.assertGreater(len(self.events(f"{trace}.snapshot")), 1000)
        self.assert_begins_as(f"{trace}.unfinished", f"{trace}.snapshot")

    def test_of_each_process(self):
        program = PROGRAM.replace('print("ready"', """
import os
if os.fork() == 0:
    kept = [bytearray(1000) for _ in range(100)]
    sys.stdin.close()
    import time
    time.sleep(60)
print("ready\"""")
        recorder, first = self.record(self.folder / "t.%p", program=program)
        self.call(recorder, 200)
        second = self.child_of(first)
        self.addCleanup(os.kill, second, signal.SIGKILL)
        self.tool("snapshot", f"{second}")
        for process in (first, second):
            self.assertGreater(len(self.events(self.folder / f"t.{process}.snapshot")), 100)

    def test_a_pipe_has_none(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        recorder, program = self.record(pipe)
        done = self.tool("snapshot", f"{program}", status=125)
        self.assertIn("could not write the snapshot", done.stderr)
        os.set_blocking(reader, True)
        recorder.stdin.close()
        recorder.stdin = None
        with open(reader, "rb") as file:
            self.assertGreater(len(file.read()), 100)
        self.assertIn("is no file", self.finish(recorder))

    def test_a_file_that_cannot_be_written(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        (self.folder / "trace.snapshot.unfinished").mkdir()
        self.assertIn("could not write", self.tool("snapshot", f"{program}", status=125).stderr)
        self.call(recorder, 10)
        self.finish(recorder)
        self.assertGreater(len(self.events(trace)), 10)

    def test_the_program_keeps_its_sigusr2(self):
        trace = self.folder / "trace"
        program = 'import signal; print(signal.getsignal(signal.SIGUSR2)); print("ready", flush=True); input()'
        recorder = self.start([BUILD / "ffalloc", "record", "-o", trace, "--", sys.executable, "-c", program])
        self.assertEqual(recorder.stdout.readline(), "0\n")
        self.assertEqual(recorder.stdout.readline(), "ready\n")
        os.kill(self.child_of(recorder.pid), signal.SIGUSR2)
        self.finish(recorder, status=128 + signal.SIGUSR2)

    def test_bad_input(self):
        self.assert_one_line(self.tool("snapshot", status=2), "no process")
        for text in ("0", "-1", "x", "", "99999999999"):
            self.assert_one_line(self.tool("snapshot", "--", text, status=2), "is no process's number")
        self.assert_one_line(self.tool("snapshot", "1", "2", status=2), "one process")
        self.assert_one_line(self.tool("snapshot", f"{os.getpid()}", status=125), "is not being recorded")


# Its blocks differ much in size and age, so that there are holes, and grow.
CHURN = """
import random
draw, kept = random.Random(1), []
for i in range(40000):
    kept.append(bytearray(draw.randrange(600, 9000)))
    if i % 3 == 0:
        kept[-1].extend(bytes(draw.randrange(9000)))
    if len(kept) > 100:
        kept[draw.randrange(100)] = kept.pop()
"""


class Rotation(Live):
    def rotate(self, *options):
        trace = self.folder / "trace"
        done = self.tool("record", "-o", trace, "--rotate", "64K", *options, "--", sys.executable, "-c", CHURN,
                         PYTHONHASHSEED="0", LC_ALL="C")
        parts = sorted(self.folder.glob("trace.part*"), key=lambda path: int(path.suffix[5:]))
        self.assertEqual([path.name for path in parts], [f"trace.part{i + 1}" for i in range(len(parts))])
        for path in parts:
            self.assertIn(f"ffalloc: {path}: ", done.stderr)
        return [*parts, trace]

    def test_each_part_is_a_whole_trace(self):
        parts = self.rotate("--backtrace", "fp")
        self.assertGreater(len(parts), 3)
        for path in parts:
            with self.subTest(path=path.name):
                self.assertLess(path.stat().st_size, 400 << 10)
                self.assertEqual(self.object("replay", "--json", path)["as_recorded"], "yes")
                size = self.tool("size", path)
                self.assertEqual(size.stderr, "")
                self.assertIn("holes", self.tool("why", path).stdout)
        self.assertFalse(list(self.folder.glob("*.unfinished")))

    def test_parts_need_together_what_the_whole_needs(self):
        parts = self.rotate()
        whole = self.record_whole(sys.executable, "-c", CHURN, PYTHONHASHSEED="0", LC_ALL="C")
        sizes = [self.object("size", "--json", path) for path in [*parts, whole]]
        self.assertEqual(max(size["mark_pool"] for size in sizes[:-1]), sizes[-1]["mark_pool"])
        self.assertEqual(max(size["payload_peak"] for size in sizes[:-1]), sizes[-1]["payload_peak"])
        self.assertEqual({size["threads"] for size in sizes}, {1})
        asked = [[event for event in self.events(path) if event["thread"] != "65535" and event["call"] != "free"]
                 for path in [*parts, whole]]
        live = [self.object("data", "--columns=1", "--rows=1", "--at=end", path)["moment"] for path in parts]
        self.assertEqual(sum(map(len, asked[:-1])) - sum(moment["blocks"] for moment in live[:-1]), len(asked[-1]))
        self.assertEqual([event["size"] for event in asked[-2][-50:]], [event["size"] for event in asked[-1][-50:]])

    def test_a_part_that_cannot_be_written_ends_the_recording_alone(self):
        (self.folder / "trace.part2").mkdir()
        done = self.tool("record", "-o", self.folder / "trace", "--rotate", "64K", "--", sys.executable, "-c",
                         CHURN + "print('done')", status=125)
        self.assertEqual(done.stdout, "done\n")
        self.assertRegex(done.stderr, "trace.part2 cannot be written: .*directory")
        self.assertEqual(self.tool("size", self.folder / "trace.part1").stderr, "")

    def test_killed_the_last_part_is_whole(self):
        trace = self.folder / "trace"
        self.tool("record", "-o", trace, "--rotate", "64K", "--", sys.executable, "-c",
                  CHURN + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", status=128 + signal.SIGKILL)
        for path in (trace, self.folder / "trace.part1"):
            self.assertEqual(self.object("replay", "--json", path)["as_recorded"], "yes")


if __name__ == "__main__":
    unittest.main()
