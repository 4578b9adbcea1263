# SPDX-License-Identifier: MIT
"""Misuse is told, and every environment variable does what the README says."""

import pathlib
import re
import signal
import tempfile

from support import CHILDREN, TestCase, need, run

FAULT = CHILDREN / "fault"

# fault, what the line says of it; ADDRESS is the one that the program printed.
MISUSES = (
    ("double-free", r"double free of ADDRESS, a hole of 64 bytes since"),
    ("double-free-merged", r"double free of ADDRESS, in a hole of 128 bytes since"),
    ("interior-free", r"free of 0x\w+, which is 16 bytes inside a block of 64 bytes at ADDRESS"),
    ("misaligned-free", r"free of 0x\w+, which is 1 bytes inside a block of 64 bytes at ADDRESS"),
    ("foreign-free", r"free of 0x\w+, which is not a block of this heap"),
    ("wild-free", r"free of 0x1000, which is not a block of this heap"),
    ("realloc-freed", r"realloc of freed memory at ADDRESS, a hole of 64 bytes since"),
    ("realloc-interior", r"realloc of 0x\w+, which is 32 bytes inside a block of 64 bytes at ADDRESS"),
    ("usable-size-freed", r"malloc_usable_size of freed memory at ADDRESS, a hole of 64 bytes since"),
)


class Misuse(TestCase):
    def test_each_aborts_with_one_line(self):
        for fault, pattern in MISUSES:
            for variables in ({}, {"FFALLOC_POOL": "1M"}, {"FFALLOC_FILL": "1"}, {"FFALLOC_CHECK": "1"}):
                with self.subTest(fault, **variables):
                    process = run([FAULT, fault], **variables)
                    self.assert_aborts(process)
                    self.assert_told(process, pattern)

    def test_each_is_reported_and_survived_if_so_wished(self):
        for fault, pattern in MISUSES:
            with self.subTest(fault):
                process = run([FAULT, fault], FFALLOC_ON_ERROR="report")
                self.assert_ends_well(process)
                self.assertIn("end", process.stdout)
                self.assert_told(process, pattern)

    def test_free_of_what_lies_behind_the_pool(self):
        process = run([FAULT, "behind-pool-free"], FFALLOC_POOL="64K", FFALLOC_VERBOSE="0",
                      FFALLOC_ON_ERROR="report")
        self.assert_ends_well(process)
        self.assert_told(process, r"free of 0x\w+, which is not a block of this heap")

    def test_good_use_says_nothing(self):
        for fault in ("none", "realloc-good"):
            process = run([FAULT, fault])
            self.assert_ends_well(process)
            self.assertEqual(process.stderr, "")


# Python: a file of the program under each number that was for standard error, then a double free.
FILE = """
import ctypes, os
own = os.open({path!r}, os.O_CREAT | {flags})
for number in {numbers}:
    own == number or os.dup2(own, number)
if {is_wrong}:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    block = ctypes.c_void_p(libc.malloc(5000))
    libc.free(block)
    libc.free(block)
"""

# Python: malloc_stats between two lines to the stream stderr.
STREAM = """
import ctypes
libc = ctypes.CDLL(None)
{prepare}
stderr = ctypes.c_void_p.in_dll(libc, "stderr")
libc.fputs(b"before\\n", stderr)
libc.malloc_stats()
libc.fputs(b"after\\n", stderr)
libc.fflush(None)
"""


class Descriptors(TestCase):
    """Nothing is written to a file of the program's own."""

    def file_after(self, flags, is_wrong, numbers="range(2, 1000)"):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file"
            script = FILE.format(path=str(path), flags=flags, numbers=numbers, is_wrong=is_wrong)
            process = run([need("python3"), "-c", script], FFALLOC_STATS="1")
            self.assertEqual(process.returncode, -signal.SIGABRT if is_wrong else 0, process.stderr)
            return path.read_text(), process.stderr

    def test_the_report_goes_to_no_other_file(self):
        self.assertEqual(self.file_after("os.O_RDWR", False), ("", ""))
        self.assertEqual(self.file_after("os.O_WRONLY", False), ("", ""))

    def test_a_message_goes_to_no_data(self):
        self.assertEqual(self.file_after("os.O_RDWR", True), ("", ""))

    def test_a_message_goes_where_the_program_has_moved_its_standard_error(self):
        log, _ = self.file_after("os.O_WRONLY | os.O_APPEND", True, "[2]")
        self.assertRegex(log, r"\Affalloc: double free of 0x\w+, .*\n\Z")

    def test_the_copy_serves_where_the_number_is_another_files(self):
        text, report = self.file_after("os.O_RDWR", False, "[2]")
        self.assertEqual(text, "")
        self.assertIn("high-water mark", report)

    def test_malloc_stats_goes_to_the_stream(self):
        setvbuf = "libc.setvbuf(ctypes.c_void_p.in_dll(libc, 'stderr'), None, 0, 65536)"
        freopen = "libc.freopen({!r}, b'w', ctypes.c_void_p.in_dll(libc, 'stderr'))"
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file"
            for prepare in (setvbuf, freopen.format(str(path).encode()) + "; " + setvbuf):
                process = run([need("python3"), "-c", STREAM.format(prepare=prepare)])
                self.assert_ends_well(process)
                text = process.stderr + (path.read_text() if path.exists() else "")
                self.assertRegex(text, r"(?s)\Abefore\nffalloc: python.*high-water mark.*\nafter\n\Z")


class Options(TestCase):
    def test_unknown_names_and_bad_values_get_one_line_each(self):
        cases = {
            "FFALLOC_POOLS": "1M",
            "FFALLOC_POOL": "1X",
            "FFALLOC_GRANULE": "24",
            "FFALLOC_STATS": "yes",
            "FFALLOC_CHECK": "-1",
            "FFALLOC_FILL": "256",
            "FFALLOC_GUARD": "65537",
            "FFALLOC_QUARANTINE": "-1",
            "FFALLOC_SAMPLE": "1000000001",
            "FFALLOC_FAIL": "sometimes",
            "FFALLOC_ON_ERROR": "ignore",
            "FFALLOC_ON_FAIL": "exit",
            "FFALLOC_VERBOSE": "3",
            "FFALLOC_LEAKS": "2",
            "FFALLOC_VALGRIND": "on",
            "FFALLOC_": "",
        }
        for name, value in cases.items():
            with self.subTest(name):
                process = run([FAULT], **{name: value})
                self.assert_ends_well(process)
                lines = process.stderr.splitlines()
                self.assertEqual(len(lines), 1, process.stderr)
                self.assertRegex(lines[0], rf"^ffalloc: (unknown variable|bad value in) {name}={value}: ignored$")

    def test_bad_values_of_every_shape(self):
        for name, values in {
            "FFALLOC_POOL": ("", "0", "-1", "1KK", "99999999999999999999", "99999999T", "K"),
            "FFALLOC_FAIL": ("", "nth:", "nth:0", "every:0", "prob:2", "prob:", "prob:0", "nth:1,", "size>=", "nth:1x"),
            "FFALLOC_GRANULE": ("", "0", "4", "8192", "16x"),
        }.items():
            for value in values:
                with self.subTest(name, value=value):
                    self.assertIn("bad value in", run([FAULT], **{name: value}).stderr)

    def test_pool_too_small_or_too_large_is_told(self):
        for size in ("100", "900T"):
            process = run([FAULT], FFALLOC_POOL=size)
            self.assert_ends_well(process)
            self.assertIn("FFALLOC_POOL", process.stderr)

    def test_pool_is_exactly_that_much_memory(self):
        for text, size in {"64K": 65536, "1M": 1 << 20, "70001": 70001, "2MiB": 2 << 20, "96KB": 98304}.items():
            report = self.stats_of(run([FAULT], FFALLOC_POOL=text, FFALLOC_STATS="json"))
            self.assertEqual(report["pool_size"], size)
            self.assertLess(report["usable_size"], size)
            self.assertGreater(report["usable_size"], size * 0.95)

    def test_a_full_pool_fails_and_says_so(self):
        script = "my @a; push @a, 'x' x 10000 for 1 .. 1000"
        process = run([need("perl"), "-e", script], FFALLOC_POOL="1M")
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("Out of memory", process.stderr)
        process = run([need("perl"), "-e", script], FFALLOC_POOL="1M", FFALLOC_VERBOSE="1")
        self.assertRegex(process.stderr, r"ffalloc: out of memory: \w+\(\d+\) failed: \d+ bytes free")
        process = run([need("perl"), "-e", script], FFALLOC_POOL="1M", FFALLOC_ON_FAIL="abort")
        self.assert_aborts(process)
        self.assertIn("ffalloc: out of memory", process.stderr)

    def test_granule(self):
        for granule in (8, 16, 32, 64, 4096):
            process = run([CHILDREN / "fault"], FFALLOC_GRANULE=str(granule), FFALLOC_STATS="json")
            self.assert_ends_well(process)
            report = self.stats_of(process)
            self.assertEqual(report["granule"], granule)
            self.assertEqual(report["used_size"] % granule, 0)

    def test_only_the_named_programs_are_served(self):
        shell = need("bash")
        command = [shell, "-c", "/usr/bin/env true; perl -e 1"]
        process = run(command, FFALLOC_ONLY="perl,nothing", FFALLOC_STATS="json", FFALLOC_POOL="4M")
        self.assert_ends_well(process)
        self.assertEqual(self.stats_of(process)["program"], "perl")
        process = run(command, FFALLOC_ONLY="nothing", FFALLOC_STATS="1", FFALLOC_POOL="1K")
        self.assert_ends_well(process)
        self.assertEqual(process.stderr, "")

    def test_stats_and_log(self):
        report = run([FAULT], FFALLOC_STATS="1").stderr
        for word in ("exact first fit", "peak use", "high-water mark", "this run fits in a pool of", "fragmentation"):
            self.assertIn(word, report)
        self.assertEqual(run([FAULT], FFALLOC_STATS="0").stderr, "")
        # A program that closes its descriptors at exit, as GNU's all do, is reported on too.
        self.assertIn("high-water mark", run(["sort", "/dev/null"], FFALLOC_STATS="1").stderr)
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                process = run([FAULT], FFALLOC_STATS="json", FFALLOC_LOG=f"{folder}/log.%p")
                self.assertEqual(process.stderr, "")
            logs = sorted(pathlib.Path(folder).iterdir())
            self.assertEqual(len(logs), 2)
            self.assertTrue(all(re.fullmatch(r"log\.\d+", log.name) for log in logs))
            self.assertIn('"pool_size"', logs[0].read_text())
        process = run([FAULT], FFALLOC_STATS="1", FFALLOC_LOG="1")
        self.assertIn("high-water mark", process.stdout)
        process = run([FAULT], FFALLOC_STATS="1", FFALLOC_LOG="/nowhere/log")
        self.assertIn("cannot write FFALLOC_LOG=/nowhere/log", process.stderr)
        self.assertIn("high-water mark", process.stderr)

    def test_a_log_that_cannot_be_written_is_told(self):
        for log in ("9", "/dev/full", "/nowhere/log"):
            for words in ([FAULT], ["sort", "/dev/null"]):
                with self.subTest(log, program=words[0]):
                    process = run(words, FFALLOC_STATS="1", FFALLOC_LOG=log)
                    self.assert_ends_well(process)
                    told = f"ffalloc: cannot write FFALLOC_LOG={log}: reporting here instead\n"
                    self.assertTrue(process.stderr.startswith(told), process.stderr)
                    self.assertEqual(process.stderr.count("high-water mark"), 1)

    def test_stats_count_what_the_program_does(self):
        report = self.stats_of(run([CHILDREN / "count"], FFALLOC_STATS="json"))
        base = self.stats_of(run([CHILDREN / "count", "none"], FFALLOC_STATS="json"))
        self.assertEqual(report["alloc_count"] - base["alloc_count"], 1000)
        self.assertEqual(report["free_count"] - base["free_count"], 900)
        self.assertEqual(report["block_count"] - base["block_count"], 100)
        self.assertEqual(report["failed_count"], 1)
        self.assertEqual(report["largest_request_size"], 1 << 62)

    def test_check_runs_and_finds_damage(self):
        self.assert_ends_well(run([FAULT, "realloc-good"], FFALLOC_CHECK="1"))
        for call in ("malloc", "free", "realloc"):
            with self.subTest(call):
                process = run([CHILDREN / "damage", call], FFALLOC_CHECK="1", FFALLOC_POOL="64K")
                self.assert_aborts(process)
                self.assertRegex(process.stderr,
                                 r"^ffalloc: damaged metadata: rule \w\d does not hold at offset \d+\n$")

    def test_fill_spoils_new_and_freed_memory(self):
        for variables in ({"FFALLOC_FILL": "90"}, {"MALLOC_PERTURB_": "90"}, {"FFALLOC_FILL": "90", "MALLOC_PERTURB_": "1"}):
            process = run([CHILDREN / "count", "fill"], **variables)
            self.assertEqual(process.stdout.split(), ["a5", "5a", "00"], variables)

    def test_fail(self):
        expected = {
            "nth:3": "..x.......",
            "every:4": "...x...x..",
            "size>=600": ".....xxxxx",
            "every:2,size>=600": "......x.x.",
            "prob:1": "xxxxxxxxxx",
        }
        for rule, failures in expected.items():
            with self.subTest(rule):
                process = run([CHILDREN / "count", "fail"], FFALLOC_FAIL=rule)
                # The numbers before main are libc's; the program tells how many there were.
                self.assert_ends_well(process)
                self.assertEqual(process.stdout.strip(), failures)

    def test_fail_by_chance_is_repeatable(self):
        first = run([CHILDREN / "count", "chance"], FFALLOC_FAIL="prob:0.25:seed=7").stdout
        again = run([CHILDREN / "count", "chance"], FFALLOC_FAIL="prob:0.25:seed=7").stdout
        other = run([CHILDREN / "count", "chance"], FFALLOC_FAIL="prob:0.25:seed=8").stdout
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
        self.assertTrue(150 < first.count("x") < 350, first.count("x"))

    def test_verbose(self):
        text = run([FAULT], FFALLOC_VERBOSE="1").stderr
        self.assertIn("ffalloc: version", text)
        self.assertIn("nobody watches, short way", text)
        self.assertIn(", long way", run([FAULT], FFALLOC_VERBOSE="1", FFALLOC_FILL="1").stderr)
        self.assertEqual(run([FAULT], FFALLOC_VERBOSE="0").stderr, "")
