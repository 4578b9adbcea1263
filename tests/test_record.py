# SPDX-License-Identifier: MIT
"""ffalloc record and run: what a recording holds, and whose the status is."""

import os
import signal
import stat
import subprocess
import unittest

from support import BUILD, CHILDREN, need
import support
from tool import ToolCase, ring_folders


class Record(ToolCase):
    def test_placement_is_unchanged(self):
        program = CHILDREN / "places"
        plain = self.tool("run", "--", program).stdout
        ways = ["caller", "fp"] + ["unwind"] * (BUILD / "libffalloc-unwind.so").exists()
        for way in ways:
            trace = self.folder / way
            done = self.tool("record", "-o", trace, "--backtrace", way, "--", program)
            self.assertEqual(done.stdout, plain, way)
            self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")

    def test_calls_are_as_they_were_made(self):
        source = self.folder / "calls.c"
        source.write_text("""
            #include <stdlib.h>
            #include <unistd.h>
            int main(void) {
                char *a = malloc(10); char *b = calloc(3, 7); a = realloc(a, 1000);
                void *c; posix_memalign(&c, 128, 50); free(b); realloc(a, 0); free(NULL);
                free(malloc(0)); volatile size_t huge = (size_t)1 << 62; b = malloc(huge);
                _exit(0);
            }""")
        program = self.folder / "calls"
        subprocess.run([need("gcc"), "-w", "-g", source, "-o", program], check=True)
        seen = [(e["call"], e["block"], int(e["size"]), int(e["alignment"]))
                for e in self.events(self.record(program))]
        self.assertEqual(seen, [
            ("malloc", "0", 10, 0), ("calloc", "1", 21, 0), ("realloc", "0", 1000, 0),
            ("aligned_alloc", "2", 50, 128), ("free", "1", 0, 0), ("free", "0", 0, 0),
            ("malloc", "0", 0, 0), ("free", "0", 0, 0), ("failed", "", (1 << 48) - 1, 0)])

    def test_status_and_signals_are_passed_on(self):
        self.record(CHILDREN / "places", "seven", status=7)
        self.record(CHILDREN / "places", "crash", status=128 + signal.SIGABRT)

    def test_what_was_called_before_a_kill_is_there(self):
        whole = self.events(self.record(CHILDREN / "places"))
        killed = self.events(self.record(CHILDREN / "places", "kill", status=128 + signal.SIGKILL))
        keys = ("call", "block", "size", "offset")
        self.assertEqual([[e[k] for k in keys] for e in killed], [[e[k] for k in keys] for e in whole])
        self.assertTrue(all(e["site"] for e in killed))

    def test_threads(self):
        events = self.events(self.record(CHILDREN / "places", "threads"))
        self.assertEqual({e["thread"] for e in events}, {"0", "1", "2"})

    def test_times_ascend(self):
        times = [int(e["time_us"]) for e in self.events(self.record(CHILDREN / "places"))]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[-1], times[0])

    def test_children_have_traces_of_their_own(self):
        self.tool("record", "-o", self.folder / "t.%p", "--", CHILDREN / "places", "fork")
        traces = sorted(self.folder.glob("t.*"), key=lambda path: path.stat().st_size)
        self.assertEqual(len(traces), 2)
        child = self.events(traces[0])
        self.assertEqual(sum(e["call"] == "malloc" and e["size"] == "1000" for e in child), 100)

    def test_one_program_of_several(self):
        trace = self.record("sh", "-c", f"ls / >/dev/null; {CHILDREN / 'places'} >/dev/null",
                            options=["--only", "places"])
        self.assertEqual(len([e for e in self.events(trace) if e["call"] != "free"]),
                         len([e for e in self.events(self.record(CHILDREN / "places", name="b"))
                              if e["call"] != "free"]))

    def test_stacks(self):
        for way in ("fp", "unwind"):
            if way == "unwind" and not (BUILD / "libffalloc-unwind.so").exists():
                continue
            trace = self.record(CHILDREN / "places", options=["--backtrace", way])
            sites = self.object("data", "--rows=1", "--columns=1", trace)["sites"]
            stacks = [[frame["function"] for frame in site["frames"]] for site in sites]
            self.assertTrue(any(stack[:3] == ["make", "work", "main"] for stack in stacks), stacks)

    def test_operator_new_is_called_where_the_program_calls_it(self):
        trace = self.record(CHILDREN / "forms", "all")
        sites = {event["site"] for event in self.events(trace) if event["size"] == "100"}
        self.assertEqual({"forms" in site for site in sites}, {True}, sites)

    def test_real_programs_end_as_without(self):
        program = ["python3", "-c", "import json; print(len(json.dumps(list(range(9000)))))"]
        plain = support.run(program, preload=None).stdout
        done = self.tool("record", "-o", self.folder / "t", "--", *program)
        self.assertEqual(done.stdout, plain)

    def test_no_ring_is_left(self):
        before = ring_folders()
        self.record(CHILDREN / "places", "fork")
        self.assert_no_ring_stays(before)

    def test_output_that_cannot_be_written(self):
        done = self.tool("record", "-o", self.folder / "no/such/folder", "--", "true", status=125)
        self.assert_one_line(done, "cannot be written")
        done = self.tool("record", "-o", "/dev/full", "--", CHILDREN / "places", status=125)
        self.assertIn("ffalloc: /dev/full cannot be written: No space left on device\n", done.stderr)

    def test_a_full_disk_leaves_what_was_written(self):
        if os.geteuid() != 0:
            self.skipTest("only root can mount a small disk")
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk]).returncode:
            self.skipTest("no disk can be mounted here")
        try:
            done = self.tool("record", "-o", disk / "trace", "--", CHILDREN / "places", status=125)
            self.assert_one_line(done, "trace cannot be written: No space left on device; so far it "
                                 "is in .*/trace.unfinished")
            self.assertEqual([path.name for path in disk.iterdir()], ["trace.unfinished"])
            done = self.tool("size", disk / "trace.unfinished")
            self.assert_one_line(done, "is truncated")
        finally:
            subprocess.run(["umount", disk], check=True)


class Run(ToolCase):
    def test_the_status_is_the_programs(self):
        self.tool("run", "--", "sh", "-c", "exit 3", status=3)
        self.tool("run", "--", "sh", "-c", "kill -TERM $$", status=-signal.SIGTERM)

    def test_no_such_program(self):
        self.assert_one_line(self.tool("run", "--", "no-such-program", status=127), "no-such-program")
        self.assert_one_line(self.tool("run", "--", "/etc/passwd", status=126), "/etc/passwd")
        self.assert_one_line(self.tool("run", status=2), "no program is named")

    def program(self, *arguments):
        source = self.folder / "main.c"
        source.write_text("#include <stdlib.h>\nint main(void) { return !malloc(1001); }")
        program = self.folder / "program"
        done = subprocess.run([need("gcc"), *arguments, source, "-o", program], capture_output=True)
        if done.returncode != 0:
            self.skipTest(f"gcc has no {arguments[0]}")
        return program

    def test_what_the_loader_would_ignore_is_refused(self):
        done = self.tool("run", "--", self.program("-static"), status=126)
        self.assert_one_line(done, "linked statically")
        program = self.program("-m32")
        if (BUILD / "ports/lib32/libffalloc.so").exists():
            stats = self.stats_of(self.tool("run", "--stats=json", "--granule=8", "--", program))
            self.assertEqual(stats["program"], "program")
            trace = self.record(program)
            self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")
            self.assertIn("1001", [event["size"] for event in self.events(trace)])
        else:
            self.assert_one_line(self.tool("run", "--", program, status=126), "32-bit program")
        if os.geteuid() == 0:
            program = self.program()
            os.chown(program, 65534, 65534)
            program.chmod(0o755 | stat.S_ISUID)
            self.assert_one_line(self.tool("run", "--", program, status=126), "more rights")

    def test_a_script_is_its_interpreter(self):
        script = self.folder / "script"
        script.write_text("#!/bin/sh\nexit 5\n")
        script.chmod(0o755)
        self.tool("run", "--", script, status=5)

    def test_bad_arguments(self):
        for words, pattern in ((["--pool", "x"], "no size"), (["--granule", "7"], "power of two"),
                               (["--tool", "vi"], "none of"), (["--pool", "0"], "no size")):
            self.assert_one_line(self.tool("run", *words, "--", "true", status=2), pattern)

    def test_memcheck_sees_the_blocks(self):
        need("valgrind")
        done = self.tool("run", "--tool=memcheck", "--", CHILDREN / "fault", "overflow", status=None)
        self.assertRegex(done.stderr, "Invalid (read|write)")
        self.assertIn("after a block of size", done.stderr)


if __name__ == "__main__":
    unittest.main()
