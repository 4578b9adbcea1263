# SPDX-License-Identifier: MIT
"""Guards, the quarantine and the fill of freed memory: what is written there is told, once, and nothing
else is."""

import collections
import pathlib
import tempfile

import test_programs
from support import BUILD, CHILDREN, SOURCE, TestCase, need, run

FAULT = CHILDREN / "fault"
MISUSED = CHILDREN / "misused"
GUARD = {"FFALLOC_GUARD": "1"}
BOTH = {"FFALLOC_GUARD": "1", "FFALLOC_QUARANTINE": "1M"}
SITE = r"(fault|\S+)\+0x\w+"
# Each switch, alone and with others, as programs at work are run.
SWITCHES = (GUARD, BOTH, {"FFALLOC_QUARANTINE": "64K"}, {"FFALLOC_FILL": "90"})

# fault, switches, what the line says; ADDRESS is the block's that the program printed.
LINES = (
    ("overflow", GUARD, rf"overflow of a block of 61 bytes at 0x\w+: 1 byte from byte 61 on overwritten by 01; "
     rf"asked for at {SITE}; right of it a block of 64 bytes at 0x\w+; seen by free"),
    ("overflow-even", GUARD, rf"overflow of a block of 64 bytes at ADDRESS: 1 byte from byte 64 on overwritten by 01; "
     rf"asked for at {SITE}; right of it a block of 61 bytes at 0x\w+; seen by free"),
    ("overflow-long", GUARD, r"overflow of a block of at most 64 bytes at ADDRESS: up to 64 bytes from byte 64 on "
     r"overwritten by 01 01 01 01 01 01 01 01 \.\.\.; right of it a block of 61 bytes at 0x\w+; seen by realloc"),
    ("underflow", GUARD, rf"underflow of a block of 64 bytes at ADDRESS: 1 byte before it overwritten by 01; "
     rf"asked for at {SITE}; left of it a block of 64 bytes at 0x\w+; seen by free"),
    ("use-after-free", GUARD, r"write after free to a hole of \d+ bytes at 0x\w+: 1 byte from byte \d+ on "
     r"overwritten by 01; seen by the check at exit"),
    ("use-after-free", BOTH, rf"write after free to a block of 64 bytes at ADDRESS: 1 byte from byte 30 on "
     rf"overwritten by 01; asked for at {SITE}; freed at {SITE}; seen by the check at exit"),
    ("use-after-reuse", {"FFALLOC_FILL": "90"}, r"write after free to a hole of 64 bytes at ADDRESS: 1 byte from byte "
     r"30 on overwritten by 01; seen by the next request there"),
    ("use-after-free", {"FFALLOC_FILL": "90", "FFALLOC_CHECK": "1"}, r"write after free to a hole of \d+ bytes at "
     r"0x\w+: 1 byte from byte \d+ on overwritten by 01; seen by FFALLOC_CHECK"),
    ("double-free", BOTH, rf"double free of a block of 64 bytes at ADDRESS, which was freed; asked for at {SITE}; "
     rf"freed at {SITE}"),
    ("late-double-free", BOTH, rf"double free of a block of 64 bytes at ADDRESS, which was freed; asked for at {SITE}; "
     rf"freed at {SITE}"),
    ("end-free", GUARD, r"free of 0x\w+, which is 0 bytes after a block of 64 bytes at ADDRESS"),
    ("wrong-size", GUARD, r"free_sized of 0x\w+ with a size of 62 bytes, which is a block of 61 bytes"),
    ("interior-free", GUARD, r"free of 0x\w+, which is 16 bytes inside a block of 64 bytes at ADDRESS"),
    ("realloc-freed", BOTH, rf"realloc of a block of 64 bytes at ADDRESS, which was freed; asked for at {SITE}; "
     rf"freed at {SITE}"),
    ("realloc-interior", BOTH, r"realloc of 0x\w+, which is 32 bytes inside a block of 64 bytes at ADDRESS"),
    ("usable-size-freed", BOTH, r"malloc_usable_size of a block of 64 bytes at ADDRESS, which was freed; .*"),
    ("realloc-shrunk", GUARD, rf"overflow of a block of 40 bytes at ADDRESS: 1 byte from byte 40 on overwritten by 01; "
     rf"asked for at {SITE}; .*; seen by free"),
    ("realloc-grown", GUARD, r"overflow of a block of 5001 bytes at 0x\w+: 1 byte from byte 5001 on .*; seen by free"),
)


class Lines(TestCase):
    def test_each_aborts_with_one_line(self):
        for fault, variables, pattern in LINES:
            with self.subTest(fault, **variables):
                process = run([FAULT, fault], **variables)
                self.assert_aborts(process)
                self.assert_told(process, pattern)

    def test_each_is_told_once_and_survived_if_so_wished(self):
        for fault, variables, pattern in LINES:
            with self.subTest(fault, **variables):
                process = run([FAULT, fault], FFALLOC_ON_ERROR="report", **variables)
                self.assert_ends_well(process)
                self.assert_told(process, pattern)

    def test_good_use_says_nothing(self):
        for variables in SWITCHES:
            for fault in ("none", "realloc-good"):
                process = run([FAULT, fault], **variables)
                self.assert_ends_well(process)
                self.assertEqual(process.stderr, "")

    def test_the_fill_moves_no_block(self):
        places = [run([CHILDREN / "zeroed"], FFALLOC_STATS="json", FFALLOC_POOL="64M", **variables)
                  for variables in ({}, {"FFALLOC_FILL": "90"})]
        kept = ("high_water_size", "used_size", "peak_used_size", "hole_count", "alloc_count")
        plain, filled = ([self.stats_of(process)[name] for name in kept] for process in places)
        self.assertEqual(plain, filled)

    def test_what_waits_is_freed_when_a_request_would_fail(self):
        script = "import sys\nfor i in range(300): b = bytes(100000 + i); del b\nprint('end')"
        process = run([need("python3"), "-c", script], FFALLOC_POOL="12M", FFALLOC_QUARANTINE="1G", FFALLOC_VERBOSE="0")
        self.assert_ends_well(process)
        self.assertEqual((process.stdout, process.stderr), ("end\n", ""))


class Campaign(TestCase):
    """Each kind of misuse at random places."""

    TRIALS = 6

    def outcomes(self, kind, variables):
        """How many of the trials were caught, and how many harmed another block."""
        count = collections.Counter()
        for seed in range(self.TRIALS):
            process = run([MISUSED, kind, seed], **variables)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertNotIn("crashed", process.stdout, f"{kind} {seed}")
            self.assertEqual("caught" in process.stdout, process.stderr.count("ffalloc: ") == 1, process.stderr)
            count.update(process.stdout.split())
        return count["caught"], count["harmed"]

    def test_with_guards_and_quarantine_each_is_caught_and_harms_nothing(self):
        kinds = run([MISUSED], preload=None).stdout.split()
        self.assertGreater(len(kinds), 25)
        for kind in kinds:
            with self.subTest(kind):
                caught, harmed = self.outcomes(kind, BOTH)
                self.assertGreaterEqual(caught, self.TRIALS - 1)
                self.assertEqual(harmed, 0)

    def test_without_misuse_nothing_is_told(self):
        for variables in SWITCHES:
            self.assertEqual(self.outcomes("none", variables), (0, 0))


class Programs(TestCase):
    """The programs of test_programs, with each switch: the same output, and no line."""

    def test_at_work(self):
        jobs = (([need("python3"), "-c", test_programs.PYTHON_JOB], {"PYTHONMALLOC": "malloc"}),
                ([need("perl"), "-e", test_programs.PERL_JOB], {}),
                ([need("sqlite3"), ":memory:"], {"stdin": test_programs.SQL_JOB}),
                ([need("bash"), "-c", test_programs.BASH_JOB], {}),
                ([CHILDREN / "lifecycle", CHILDREN / "libplugin.so"], {}))
        for command, settings in jobs:
            for variables in SWITCHES:
                with self.subTest(command[0], **variables):
                    self.assert_same(command, **settings, **variables)

    def test_a_threaded_one(self):
        if not (CHILDREN / "threads").exists():
            self.skipTest("no C++ compiler")
        for variables in SWITCHES:
            self.assert_same([CHILDREN / "threads"], **variables)
        self.assert_same([CHILDREN / "threads"], FFALLOC_POOL="64M", **BOTH)

    def test_the_rules_of_malloc_are_kept(self):
        small = {"FFALLOC_GRANULE": "32", "FFALLOC_GUARD": "17", "FFALLOC_CHECK": "50"}
        for variables in (*SWITCHES, small):
            self.assert_ends_well(run([CHILDREN / "contract"], **variables))
        library = BUILD / "ports/lib32/libffalloc.so"
        if library.exists():
            self.assert_ends_well(run([CHILDREN / "contract-32"], preload=library, **BOTH))

    def test_a_compiler(self):
        compiler = need("gcc")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "hello.c"
            source.write_text(test_programs.C_JOB)
            for variables in SWITCHES:
                process = run([compiler, "-O2", "-o", f"{folder}/hello", source], **variables)
                self.assert_ends_well(process)
                self.assertEqual(process.stderr, "")


class Firmware(TestCase):
    """What src/guard/guarded.c needs."""

    FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-std=c11", "-Os", "-ffreestanding", "-fno-builtin")

    def test_it_is_small_and_needs_nothing_but_the_core(self):
        compiler, size, names = (need(f"arm-none-eabi-{name}") for name in ("gcc", "size", "nm"))
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/guarded.o"
            source = SOURCE / "src/guard/guarded.c"
            self.assert_ends_well(run([compiler, *self.FLAGS, "-I", SOURCE / "include", "-c", source, "-o", program],
                                      preload=None))
            text, data, bss = map(int, run([size, program], preload=None).stdout.splitlines()[1].split()[:3])
            self.assertLessEqual(text, 600)
            self.assertEqual((data, bss), (4, 0))
            needed = run([names, "-u", program], preload=None).stdout.split()[1::2]
            self.assertEqual([name for name in needed if not name.startswith("ffalloc_")], ["memcpy", "memset"])


class Report(TestCase):
    def test_it_says_that_placement_is_not_exact(self):
        plain = run([FAULT], FFALLOC_STATS="1").stderr
        self.assertIn(": exact first fit, granule", plain)
        guarded = run([FAULT], FFALLOC_STATS="1", **BOTH).stderr
        self.assertIn(": not exact: guards of 64 bytes, a quarantine of 1.0 MiB, granule", guarded)
        self.assertNotIn("FFALLOC_POOL=", guarded)

    def test_it_has_what_was_asked_for_without_what_waits(self):
        stats = self.stats_of(run([FAULT, "leak"], FFALLOC_STATS="json", **BOTH))
        self.assertEqual((stats["guard_size"], stats["quarantine_size"]), (64, 1 << 20))
        plain = self.stats_of(run([FAULT, "leak"], FFALLOC_STATS="json"))
        self.assertEqual(stats["block_count"], plain["block_count"])
        self.assertLessEqual(0, plain["used_size"] - stats["asked_size"])
        self.assertLess(plain["used_size"] - stats["asked_size"], 16 * plain["block_count"])
