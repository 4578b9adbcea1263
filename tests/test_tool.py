# SPDX-License-Identifier: MIT
"""The ffalloc command: run, record, replay, size and what they do with bad input."""

import json
import os
import pathlib
import re
import resource
import signal
import stat
import struct
import subprocess
import sys
import time
import unittest

from support import BUILD, CHILDREN, SOURCE, need
import support
from tool import ToolCase, ring_folders

TRACES = sorted((SOURCE.parent / "shared/traces").glob("*.trc.zst"))


class Size(ToolCase):
    def assert_exact(self, trace, *options):
        """The run succeeds in exactly that pool, and with a granule or a byte less fails."""
        size = self.object("size", "--json", *options, trace)
        usable, pool, granule = size["min_usable"], size["min_pool"], size["granule"]
        options = [f"--granule={granule}"]
        self.tool("replay", *options, f"--usable={usable}", trace)
        self.tool("replay", *options, f"--usable={usable - granule}", trace, status=1)
        self.tool("replay", *options, f"--pool={pool}", trace)
        self.tool("replay", *options, f"--pool={pool - 1}", trace, status=1)
        mark = size["set_by"]
        self.assertLessEqual(mark["payload"], size["payload_peak"])
        self.assertEqual(pool - size["metadata"], usable)
        return size

    @unittest.skipUnless(TRACES, "no traces here")
    def test_exact_for_every_trace(self):
        for trace in TRACES:
            with self.subTest(trace=trace.name):
                size = self.assert_exact(trace)
                mark = size["set_by"]
                if trace.name[:6] not in ("ffmpeg",):  # whose last hole counts: see size.c
                    self.assertEqual(mark["payload"] + mark["rounding"] + mark["holes"],
                                     size["min_usable"])

    @unittest.skipUnless(TRACES, "no traces here")
    def test_exact_with_the_granule_of_a_device(self):
        for trace in TRACES:
            if trace.name.startswith("emb_"):
                self.assert_exact(trace, "--granule=8")

    @unittest.skipUnless(TRACES and (BUILD / "bench/replay-32").exists(), "no 32-bit replay here")
    def test_a_32_bit_target_says_the_same_of_itself(self):
        for trace in TRACES:
            if "emb_" not in trace.name:
                continue
            text = subprocess.run(["zstd", "-dc", trace], capture_output=True).stdout
            seen = subprocess.run([BUILD / "bench/replay-32", "size", "-"], input=text,
                                  capture_output=True).stdout.decode()
            size = self.object("size", "--json", "--target=32", trace)
            self.assertIn(f"{size['min_pool']}", seen.split(), trace.name)

    GUARDED = ("mawk", 'BEGIN { for (i = 0; i < 500; i++) a["k" i] = i * i; for (k in a) text = text a[k] " " }')

    def test_a_guarded_run_is_sized_without_guards(self):
        plain = self.tool("size", self.record(*self.GUARDED, LC_ALL="C")).stdout
        switches = {"FFALLOC_GUARD": "1", "FFALLOC_QUARANTINE": "1M"}
        self.assertEqual(self.tool("size", self.record(*self.GUARDED, LC_ALL="C", **switches)).stdout, plain)

    def test_with_guards_it_is_exact(self):
        trace = self.record(*self.GUARDED, LC_ALL="C")
        plain = self.object("size", "--json", trace)
        for guard in (24, 64):
            size = self.object("size", "--json", f"--guard={guard}", trace)
            self.assertEqual((plain["guard"], size["guard"]), (0, guard))
            pool = size["min_pool"]
            self.assertGreater(pool, plain["min_pool"])
            for less, status in ((0, 0), (1, 2)):
                self.tool("run", f"--guard={guard}", f"--pool={pool - less}", "--", *self.GUARDED, LC_ALL="C",
                          status=status)
        self.assertIn("granule 8, guards of 8 bytes\n", self.tool("size", "--target=32", "--guard", trace).stdout)
        self.assertIn("rounding and guards", self.tool("size", "--guard", trace).stdout)
        for bad in ("7", "65537", "many"):
            self.assert_one_line(self.tool("size", f"--guard={bad}", trace, status=2), "--guard: ")

    def test_exact_for_real_programs(self):
        programs = (
            ("mawk", "BEGIN { for (i = 0; i < 9000; i++) a[\"k\" i] = i; print length(a) }"),
            ("sqlite3", ":memory:", "create table t(a); insert into t values (1), (2); select * from t"),
            ("perl", "-e", "my %h = map { $_ => 'x' x $_ } 1 .. 500; print scalar %h"),
        )
        for program, *arguments in programs:
            words = [need(program), *arguments]
            with self.subTest(program=program):
                fixed = {"PERL_HASH_SEED": "0"}
                pool = self.object("size", "--json", self.record(*words, **fixed))["min_pool"]
                for less, has_failed in ((0, False), (1, True)):
                    done = self.tool("run", "--stats=json", f"--pool={pool - less}", "--", *words,
                                     status=None, **fixed)
                    failed = self.stats_of(done)["failed_count"] > 0
                    self.assertEqual(failed, has_failed, f"{pool} less {less}: {done.stderr}")

    def test_fits_answers_with_the_status(self):
        trace = self.record(CHILDREN / "places")
        pool = self.object("size", "--json", trace)["min_pool"]
        self.tool("size", f"--fits={pool}", trace)
        done = self.tool("size", f"--fits={pool - 1}", trace, status=1)
        self.assert_one_line(done, "does not fit.*1 too few")
        self.tool("size", f"--fits={pool}", "--margin=1%", trace, status=1)

    def test_prints_the_variables_of_that_pool(self):
        words = [need("mawk"), "BEGIN { for (i = 0; i < 900; i++) a[i] = i; print length(a) }"]
        trace = self.record(*words)
        for arguments, more in (([], ""), (["--granule=32"], " FFALLOC_GRANULE=32"),
                                (["--target=32"], ""), (["--target=32-small"], ""),
                                (["--target=32", "--granule=16"], " FFALLOC_GRANULE=16")):
            with self.subTest(arguments=arguments):
                text = self.tool("size", *arguments, trace).stdout
                found = re.search(r"FFALLOC_POOL=(\d+)(:\S+)?(.*)", text)
                self.assertEqual(found[3], more)
                granule = ["--granule=" + more[-2:]] if more else []
                for less, has_failed in ((0, False), (1, True)):
                    pool = f"{int(found[1]) - less}{found[2] or ''}"
                    done = self.tool("run", "--stats=json", f"--pool={pool}", *granule, "--", *words,
                                     status=None)
                    self.assertEqual(self.stats_of(done)["failed_count"] > 0, has_failed, pool)
        self.assertNotIn("FFALLOC_POOL", self.tool("size", "--target=64-small", trace).stdout)

    def test_names_the_call_that_needs_the_last_of_it(self):
        trace = self.record(CHILDREN / "places")
        mark = self.object("size", "--json", trace)["set_by"]
        event = self.events(trace)[mark["event"] - 1]
        self.assertEqual((event["call"], int(event["size"])), (mark["call"], mark["size"]))
        self.assertRegex(mark["site"], r"(make|work) places\.c:\d+|puts|printf|IO")

    def test_several_traces(self):
        trace = self.record(CHILDREN / "places")
        text = self.tool("size", trace, trace).stdout
        self.assertEqual(text.count("minimum pool"), 2)

    def test_ten_million_events_in_two_seconds(self):
        trace = self.folder / "large"
        calls = [struct.pack("<BBHII", 1, 0, 0, i, 16 + i % 700) for i in range(1000)]
        frees = [struct.pack("<BBHII", 4, 0, 0, i, 0) for i in range(999, -1, -1)]
        with trace.open("wb") as file:
            file.write(struct.pack("<4sIQ", b"FTRC", 1, 10_000_000))
            for _ in range(50):
                file.write(b"".join(calls + frees) * 100)
        took = []
        for _ in range(3):
            start = time.monotonic()
            size = self.object("size", "--json", trace)
            took.append(time.monotonic() - start)
        self.assertEqual(size["events"], 10_000_000)
        self.assertLess(min(took), 2)
        start = time.monotonic()
        self.tool("report", trace, "-o", self.folder / "report.html")
        self.assertLess(time.monotonic() - start, 20)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 1 << 20)  # KiB


class Replay(ToolCase):
    def test_every_call_is_verified(self):
        trace = self.record(CHILDREN / "places")
        done = self.tool("replay", "--verify", trace)
        self.assertIn("as recorded     yes", done.stdout)

    def test_the_same_hash_every_time_and_another_for_another_granule(self):
        trace = self.record(CHILDREN / "places")
        one, two = (self.object("replay", "--json", trace)["offsets"] for _ in range(2))
        self.assertEqual(one, two)
        other = self.object("replay", "--json", "--granule=32", trace)
        self.assertNotEqual(other["offsets"], one)
        self.assertEqual(other["as_recorded"], "unknown")

    def test_a_pool_too_small_fails_and_says_where(self):
        trace = self.record(CHILDREN / "places")
        done = self.object("replay", "--json", "--pool=4K", trace, status=1)
        self.assertGreater(done["failed"], 0)
        self.assertGreater(done["first_failed"], 0)


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


class BadTraces(ToolCase):
    def assert_refused(self, content, pattern):
        trace = self.folder / "bad"
        trace.write_bytes(content)
        for command in (["size"], ["replay"], ["map"]):
            done = self.tool(*command, trace, status=125)
            self.assert_one_line(done, pattern)
            self.assertEqual(done.stdout, "")
        output = self.folder / "out"
        self.assert_one_line(self.tool("report", trace, "-o", output, status=125), pattern)
        self.assertFalse(output.exists())

    def test_no_trace(self):
        self.assert_refused(b"", "is empty")
        self.assert_refused(b"#!/bin/sh\necho this is something else\n", "no trace")
        self.assert_refused(b"\x28\xb5\x2f\xfd" + b"x" * 100, "damaged|no trace")
        for path in ("/", self.folder / "missing"):
            self.assert_one_line(self.tool("size", path, status=125), "director|No such file")

    def test_a_newer_version(self):
        self.assert_refused(struct.pack("<4sIQ", b"FTRC", 3, 0), "newer")

    LINE = r"is truncated: this is of its first \d+ events"

    def count_of_cut(self, trace):
        """How many events are left of a trace that is cut off, as every command says."""
        done = self.tool("size", "--json", trace)
        self.assert_one_line(done, self.LINE)
        size = json.loads(done.stdout)
        self.assertFalse(size["is_exact"])
        self.assertIn(f"its first {size['events']} events", done.stderr)
        for command in (["replay"], ["map"], ["map", "--svg", "-"], ["report", "-o", "-"],
                        ["export", "--format=csv", "-o", "-"], ["export", "--format=pprof", "-o", "-"]):
            if size["events"]:
                self.assert_one_line(self.tool(*command, trace), self.LINE)
        return size["events"]

    def test_truncated(self):
        """What there is of it is read, up to the last whole event, and a line says so."""
        events = struct.pack("<BBHII", 1, 0, 0, 0, 5) + struct.pack("<BBHII", 1, 0, 0, 1, 5)
        plain = struct.pack("<4sIQ", b"FTRC", 1, 3) + events
        trace = self.folder / "cut"
        for cut in (plain, plain + b"x" * 5):
            trace.write_bytes(cut)
            self.assertEqual(self.count_of_cut(trace), 2)
        content = self.record(CHILDREN / "places").read_bytes()
        for size in range(0, len(content), 97):
            trace.write_bytes(content[:size])
            done = self.tool("size", trace, status=None)
            self.assertIn(done.returncode, (0, 125))
            self.assert_one_line(done, "truncated|no trace|is empty")

    def test_truncated_far_from_the_start(self):
        """Of a trace of several pieces of compressed data those before the cut are read, as they are."""
        whole = self.record(sys.executable, "-c", "for _ in range(30000): bytearray(1000)")
        content = whole.read_bytes()
        events = self.tool("events", "csv", whole).stdout.splitlines()
        trace = self.folder / "cut"
        counts = []
        for size in (len(content) // 2, len(content) * 3 // 4, len(content) - 100):
            trace.write_bytes(content[:size])
            counts.append(self.count_of_cut(trace))
            left = self.tool("events", "csv", trace).stdout.splitlines()
            self.assertEqual(left, events[:counts[-1] + 1])
        self.assertEqual(counts, sorted(counts))
        self.assertGreater(counts[1], 10000)
        self.assertGreater(counts[-1], len(events) - 20000)
        self.assertLess(counts[-1], len(events) - 1)

    def test_nonsense_inside(self):
        def trace(*records):
            return struct.pack("<4sIQ", b"FTRC", 1, len(records)) + b"".join(
                struct.pack("<BBHII", *record) for record in records)

        self.assert_refused(trace((9, 0, 0, 0, 5)), "unknown kind")
        self.assert_refused(trace((1, 0, 0, 7, 5)), "number is too high")
        self.assert_refused(trace((4, 0, 0, 0, 0)), "too high|not live")
        self.assert_refused(trace((1, 0, 0, 0, 5), (1, 0, 0, 0, 5)), "placed twice")
        self.assert_refused(trace((1, 0, 0, 0, 5), (4, 0, 0, 0, 0), (4, 0, 0, 0, 0)), "not live")
        self.assert_refused(trace((5, 60, 0, 0, 5)), "alignment")

    def test_standard_output_that_is_full(self):
        trace = self.record(CHILDREN / "places")
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "ffalloc", "size", trace], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 125)
        self.assert_one_line(done, "No space left")


class Conventions(ToolCase):
    COMMANDS = ("run", "record", "replay", "size", "map", "report", "export", "sweep", "dump", "doctor")

    def test_help_and_version(self):
        self.assertRegex(self.tool("--version").stdout, r"\Affalloc \d+\.\d+\.\d+\n\Z")
        text = self.tool("--help").stdout
        for command in self.COMMANDS:
            self.assertIn(f"\n  {command} ", text)
            self.assertIn("sage: ffalloc " + command, self.tool(command, "--help").stdout)
        self.assert_one_line(self.tool("fly", status=2), "no command 'fly'")

    def test_manual_pages_are_clean(self):
        lint = need("mandoc")
        for page in ("ffalloc.1", "ffalloc.3", "libffalloc.7"):
            done = subprocess.run([lint, "-T", "lint", SOURCE / "doc" / page], capture_output=True,
                                  text=True)
            # Whether other pages are installed is not the page's fault.
            lines = [line for line in done.stdout.splitlines() if "manual not found" not in line]
            self.assertEqual(lines, [])

    def test_the_library_knows_every_variable_of_its_manual(self):
        page = (SOURCE / "doc/libffalloc.7").read_text()
        names = set(re.findall(r'\{"([A-Z_]+)", read_', (SOURCE / "src/preload/options.c").read_text()))
        self.assertEqual(names - {"RECORD", "BACKTRACE", "PAUSED"},
                         set(re.findall(r"It Ev FFALLOC_([A-Z_]+) Ns", page)))


if __name__ == "__main__":
    unittest.main()
