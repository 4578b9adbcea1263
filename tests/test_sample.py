# SPDX-License-Identifier: MIT
"""FFALLOC_SAMPLE: a touch beyond a sampled block, or after its free, is told, and then is the fault that it is."""

import signal

import test_programs
from support import CHILDREN, TestCase, need, run

FAULT = CHILDREN / "fault"
SAMPLED = CHILDREN / "sampled"
ALL = {"FFALLOC_SAMPLE": "1"}
SITE = r"(fault|\S+)\+0x\w+"

# fault, the signal that ends it, what the line says; ADDRESS is the block's that the program printed.
LINES = (
    ("overflow-even", "SEGV", rf"overflow: touch of 0x\w+, 0 bytes after a sampled block of 64 bytes at ADDRESS; "
     rf"asked for at {SITE}"),
    ("use-after-free", "SEGV", rf"use after free: touch of 0x\w+, 30 bytes inside a freed sampled block of 64 bytes at "
     rf"ADDRESS; asked for at {SITE}; freed at {SITE}"),
    ("late-use-after-free", "SEGV", rf"use after free: touch of 0x\w+, 30 bytes inside a freed sampled block of 64 "
     rf"bytes at ADDRESS; asked for at {SITE}; freed at {SITE}"),
    ("overflow", "ABRT", rf"overflow at 0x\w+, 0 bytes after a sampled block of 61 bytes at 0x\w+; asked for at {SITE}; "
     r"overwritten by 01, seen by free"),
    ("underflow", "ABRT", rf"underflow at 0x\w+, 1 byte before a sampled block of 64 bytes at ADDRESS; asked for at "
     rf"{SITE}; overwritten by 01, seen by free"),
    ("double-free", "ABRT", rf"double free of ADDRESS, 0 bytes inside a freed sampled block of 64 bytes at ADDRESS; "
     rf"asked for at {SITE}; freed at {SITE}"),
    ("interior-free", "ABRT", rf"free of 0x\w+, 16 bytes inside a sampled block of 64 bytes at ADDRESS; asked for at "
     rf"{SITE}"),
    ("realloc-freed", "ABRT", rf"realloc of ADDRESS, 0 bytes inside a freed sampled block of 64 bytes at ADDRESS; .*"),
    ("realloc-interior", "ABRT", rf"realloc of 0x\w+, 32 bytes inside a sampled block of 64 bytes at ADDRESS; .*"),
    ("usable-size-freed", "ABRT", r"malloc_usable_size of ADDRESS, 0 bytes inside a freed sampled block .*"),
    ("realloc-shrunk", "ABRT", r"overflow at 0x\w+, 0 bytes after a sampled block of 40 bytes at 0x\w+; .*"),
)


class Lines(TestCase):
    def test_each_is_one_line_and_ends_by_its_signal(self):
        for fault, name, pattern in LINES:
            with self.subTest(fault):
                process = run([FAULT, fault], **ALL)
                self.assertEqual(process.returncode, -signal.Signals[f"SIG{name}"], process.stderr)
                self.assert_told(process, pattern)

    def test_what_is_seen_by_a_call_is_survived_if_so_wished(self):
        for fault, name, pattern in LINES:
            if name == "ABRT":
                with self.subTest(fault):
                    process = run([FAULT, fault], FFALLOC_ON_ERROR="report", **ALL)
                    self.assert_ends_well(process)
                    self.assert_told(process, pattern)

    def test_a_far_write_is_told_or_faults(self):
        for distance in (-5000, -4096, 64, 2000, 100000):
            process = run([SAMPLED, "far", distance], **ALL)
            self.assertEqual(process.returncode, -signal.SIGSEGV, process.stdout)
            self.assertRegex(process.stderr, r"^ffalloc: ((over|under)flow: )?touch of")

    def test_good_use_says_nothing(self):
        for sample in (1, 3, 1000):
            for child in ([FAULT], [FAULT, "realloc-good"], [SAMPLED, "good"], [SAMPLED, "threads"],
                          [CHILDREN / "contract"]):
                with self.subTest(child, sample=sample):
                    process = run(child, FFALLOC_SAMPLE=str(sample))
                    self.assert_ends_well(process)
                    self.assertEqual(process.stderr, "")

    def test_with_other_switches(self):
        for variables in ({"FFALLOC_GUARD": "1"}, {"FFALLOC_FILL": "90"}, {"FFALLOC_CHECK": "3"},
                          {"FFALLOC_QUARANTINE": "64K"}, {"FFALLOC_POOL": "16M"}):
            for child in ("good", "threads"):
                with self.subTest(child, **variables):
                    process = run([SAMPLED, child], FFALLOC_SAMPLE="2", **variables)
                    self.assert_ends_well(process)
                    self.assertEqual(process.stderr, "")


class Stacks(TestCase):
    def test_they_are_whole_with_frame_pointers(self):
        process = run([FAULT, "use-after-free"], FFALLOC_BACKTRACE="fp", **ALL)
        self.assertRegex(process.stderr, rf"asked for at fault\+\w+( < {SITE})+; freed at fault\+\w+( < {SITE})+\n")


class Handlers(TestCase):
    def test_a_later_handler_of_the_program_has_the_fault_and_that_is_said(self):
        process = run([SAMPLED, "handled"], **ALL)
        self.assertEqual((process.returncode, process.stdout), (0, "handled\nend\n"))
        self.assertRegex(process.stderr, r"\Affalloc: FFALLOC_SAMPLE: the program handles SIGSEGV by itself: a fault at "
                                         r"one of the \d+ sampled blocks was not told\n\Z")

    def test_a_signal_that_was_sent_ends_the_program_as_ever(self):
        process = run([need("python3"), "-c", "import os; os.kill(os.getpid(), 11)"], **ALL)
        self.assertEqual((process.returncode, process.stderr), (-signal.SIGSEGV, ""))


class Rate(TestCase):
    def sampled(self, every):
        stats = self.stats_of(run([SAMPLED, "churn"], FFALLOC_SAMPLE=str(every), FFALLOC_STATS="json"))
        self.assertEqual((stats["sample"], stats["min_pool"]), (every, 0))
        return stats["sampled_count"]

    def test_it_is_about_one_of_n(self):
        for every in (10, 100, 1000):
            self.assertAlmostEqual(self.sampled(every) * every / 200_000, 1, delta=0.3)

    def test_the_report_says_so_and_without_it_nothing(self):
        with_samples = run([SAMPLED, "churn"], FFALLOC_SAMPLE="1000", FFALLOC_STATS="1").stderr
        self.assertRegex(with_samples, r": not exact: 1 request of 1000 outside, \d+ so far, granule")
        self.assertNotIn("FFALLOC_POOL=", with_samples)
        self.assertIn(": exact first fit, granule", run([SAMPLED, "churn"], FFALLOC_STATS="1").stderr)
        stats = self.stats_of(run([SAMPLED, "churn"], FFALLOC_STATS="json"))
        self.assertEqual((stats["sample"], stats["sampled_count"]), (0, 0))

    def test_programs_at_work(self):
        for command, settings in (([need("python3"), "-c", test_programs.PYTHON_JOB], {"PYTHONMALLOC": "malloc"}),
                                  ([need("perl"), "-e", test_programs.PERL_JOB], {}),
                                  ([need("sqlite3"), ":memory:"], {"stdin": test_programs.SQL_JOB})):
            for sample in ("1", "300"):
                self.assert_same(command, FFALLOC_SAMPLE=sample, **settings)


class Distances(TestCase):
    """Without samples: of the pools, which a write from a block may be meant to reach."""

    def test_none_is_a_constant(self):
        seen = [run([SAMPLED, "places"]).stdout.split()[:2] for _ in range(12)]
        for distances, spread in zip(zip(*seen), (1 << 40, 1 << 27)):
            self.assertGreater(max(map(int, distances)) - min(map(int, distances)), spread, distances)

    def test_a_far_write_faults(self):
        for distance in (-(1 << 40), -(1 << 32), -(1 << 20), -8192, 1 << 26, 1 << 36, 1 << 43):
            process = run([SAMPLED, "far", distance])
            self.assertEqual(process.returncode, -signal.SIGSEGV, f"{distance}: {process.stdout}")
