# SPDX-License-Identifier: MIT
"""Valgrind and AddressSanitizer know every block, in the preload library and in the arena."""

import os
import re
import subprocess
import tempfile
import unittest

from support import CHILDREN, LIBRARY, TestCase, environment, need, run

VALGRIND = ["valgrind", "--error-exitcode=9", "--leak-check=no", "--soname-synonyms=somalloc=nouserintercepts"]

# fault, what memcheck says, what it says of the block, the exported function on top of the stack.
MEMCHECK = (
    ("overflow", "Invalid write of size 1", "0 bytes after a .*block of size 61 alloc'd", "malloc"),
    ("underflow", "Invalid write of size 1", "1 bytes before a .*block of size 64 alloc'd", "malloc"),
    ("use-after-free", "Invalid write of size 1", "30 bytes inside a block of size 64 free'd", "free"),
    ("uninitialised", "Conditional jump or move depends on uninitialised value", "", None),
    ("double-free", r"Invalid free\(\)", "0 bytes inside a block of size 64 free'd", "free"),
    ("interior-free", r"Invalid free\(\)", "16 bytes inside a .*block of size 64 alloc'd", "malloc"),
    ("realloc-shrunk", "Invalid write of size 1", "0 bytes after a .*block of size 40 alloc'd", "(malloc|realloc)"),
    ("realloc-grown", "Invalid write of size 1", "0 bytes after a .*block of size 5,001 alloc'd", "realloc"),
)

# What lies beside a block: another one. Seen by the guard between them.
BESIDE = (
    ("overflow-even", "0 bytes after a .*block of size 64 alloc'd"),
    ("late-use-after-free", "30 bytes inside a .*block of size 64 free'd"),
)
EXACT = {"FFALLOC_GUARD": "0"}

LEAKS = (
    ("leak", "77 bytes in 1 blocks are definitely lost", "leak_one"),
    ("leak-cycle", r"96 \(48 direct, 48 indirect\) bytes in 1 blocks are definitely lost", "leak_cycle"),
)


class Memcheck(TestCase):
    def setUp(self):
        need("valgrind")

    def run_fault(self, program, fault, preload, *options):
        return run(VALGRIND + list(options) + [CHILDREN / program, fault, "apart"], preload=preload)

    def check_faults(self, program, preload):
        for fault, error, block, top in MEMCHECK:
            with self.subTest(fault):
                process = self.run_fault(program, fault, preload)
                self.assertEqual(process.returncode, 9, process.stderr)
                self.assertRegex(process.stderr, error)
                self.assertRegex(process.stderr, "ERROR SUMMARY: 1 errors")
                if top:
                    self.assertRegex(process.stderr, rf"Address 0x\w+ is {block}\n==\d+==    at 0x\w+: {top} \(")

    def test_each_fault_is_reported_against_its_block(self):
        self.check_faults("fault", LIBRARY)

    def test_what_lies_beside_another_block_is_reported(self):
        for fault, block in BESIDE:
            with self.subTest(fault):
                process = run([*VALGRIND, CHILDREN / "fault", fault], FFALLOC_STATS="1", FFALLOC_LEAKS="0")
                self.assertEqual(process.returncode, 9, process.stderr)
                self.assertRegex(process.stderr, rf"(?s)Invalid write of size 1.*Address 0x\w+ is {block}")
                self.assertIn("guards of 64 bytes by default here, a quarantine of 16.0 MiB", process.stderr)
                exact = run([*VALGRIND, CHILDREN / "fault", fault], FFALLOC_STATS="1", FFALLOC_LEAKS="0", **EXACT)
                self.assertEqual(exact.returncode, 0, exact.stderr)
                self.assertIn("exact first fit", exact.stderr)
                sized = run([*VALGRIND, CHILDREN / "fault"], FFALLOC_STATS="1", FFALLOC_POOL="64K", FFALLOC_LEAKS="0")
                self.assertIn("exact first fit", sized.stderr)

    def test_a_block_whose_guard_was_overwritten_is_freed_all_the_same(self):
        process = run([*VALGRIND, CHILDREN / "fault", "overflow-long"], FFALLOC_STATS="json", FFALLOC_LEAKS="0")
        self.assertRegex(process.stderr, "Invalid write of size 1")
        self.assertNotIn("Invalid free", process.stderr)
        plain = run([*VALGRIND, CHILDREN / "fault"], FFALLOC_STATS="json", FFALLOC_LEAKS="0")
        self.assertEqual(self.stats_of(process)["block_count"], self.stats_of(plain)["block_count"])

    def test_memcheck_and_the_report_agree_on_what_leaks(self):
        for fault in ("leak", "leak-cycle", "none"):
            for variables in ({}, EXACT):
                process = run([*VALGRIND, CHILDREN / "fault", fault], FFALLOC_STATS="json", **variables)
                stats = self.stats_of(process)
                lost = re.findall(r"(?:lost|reachable): ([\d,]+) bytes in (\d+) blocks", process.stderr)[:4]
                self.assertEqual(sum(int(count) for _, count in lost), stats["block_count"], process.stderr)
                if not variables:
                    size = sum(int(size.replace(",", "")) for size, _ in lost)
                    self.assertEqual(size, stats["asked_size"], process.stderr)

    def test_each_fault_in_the_static_arena(self):
        self.check_faults("fault-arena-reporting", None)

    def test_leaks_are_found_cycles_included(self):
        for fault, lost, function in LEAKS:
            with self.subTest(fault):
                process = self.run_fault("fault", fault, LIBRARY)
                self.assertEqual(process.returncode, 9, process.stderr)
                self.assertRegex(process.stderr, lost)
                self.assertIn(function, process.stderr)

    def test_the_pool_costs_no_memory_before_it_is_used(self):
        child = subprocess.Popen(["valgrind", "-q", *VALGRIND[1:], "true"],
                                 env=environment(LD_PRELOAD=str(LIBRARY)))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, 0)
        self.assertLess(usage.ru_maxrss, 300 << 10)  # KiB

    def test_origins_of_uninitialised_bytes(self):
        process = self.run_fault("fault", "uninitialised", LIBRARY, "--track-origins=yes")
        self.assertIn("Uninitialised value was created by a heap allocation", process.stderr)

    def test_good_use_has_no_errors(self):
        for program, preload in (("fault", LIBRARY), ("fault-arena-reporting", None)):
            for fault in ("none", "realloc-good"):
                process = self.run_fault(program, fault, preload)
                self.assertEqual(process.returncode, 0, process.stderr)
                self.assertIn("ERROR SUMMARY: 0 errors", process.stderr)

    def test_a_real_program_has_no_errors_and_the_contract_holds(self):
        process = run(VALGRIND + [CHILDREN / "contract"], FFALLOC_LEAKS="0")
        self.assertEqual(process.returncode, 0, process.stderr)
        if (CHILDREN / "forms").exists():
            process = run(VALGRIND + [CHILDREN / "forms", "all"], FFALLOC_LEAKS="0")
        self.assertEqual(process.returncode, 0, process.stderr)
        process = run(VALGRIND + ["/usr/bin/perl", "-e", "print join ',', map { $_ x 3 } 1 .. 99"], FFALLOC_LEAKS="0")
        self.assertEqual(process.returncode, 0, process.stderr)

    def test_it_says_how_to_run_if_valgrind_replaced_malloc(self):
        quiet = run(VALGRIND + [CHILDREN / "fault", "overflow"], FFALLOC_VALGRIND="off")
        self.assertIn("ERROR SUMMARY: 0 errors", quiet.stderr)
        process = run(["valgrind", CHILDREN / "fault"])
        self.assertIn("--soname-synonyms=somalloc=nouserintercepts", process.stderr)
        self.assertNotIn("ffalloc:", run(VALGRIND + [CHILDREN / "fault"]).stderr)


# fault, what AddressSanitizer calls it, what we say of the place.
ASAN = (
    ("overflow", "(use-after-poison|unknown-crash)", r"0x\w+ is 0 bytes after a block of 61 bytes at 0x\w+"),
    ("use-after-free", "use-after-poison", r"0x\w+ is 30 bytes inside a hole \(freed memory\) of 64 bytes at ADDRESS"),
    ("realloc-shrunk", "use-after-poison", r"0x\w+ is 0 bytes after a block of 40 bytes at ADDRESS"),
    ("realloc-grown", "(use-after-poison|unknown-crash)", r"0x\w+ is 0 bytes after a block of 5001 bytes at 0x\w+"),
)


class AddressSanitizer(TestCase):
    def check_faults(self, program, preload):
        if not program.exists():
            raise unittest.SkipTest("no AddressSanitizer for this compiler")
        for fault, error, line in ASAN:
            with self.subTest(fault):
                process = run([program, fault], preload=preload, ASAN_OPTIONS="verify_asan_link_order=0")
                self.assertNotEqual(process.returncode, 0)
                address = process.stdout.split()[0]
                self.assertRegex(process.stderr, f"AddressSanitizer: {error} on address")
                self.assertRegex(process.stderr, "ffalloc: " + line.replace("ADDRESS", address))

    def check_good(self, program, preload):
        for fault in ("none", "realloc-good"):
            process = run([program, fault], preload=preload, ASAN_OPTIONS="verify_asan_link_order=0")
            self.assert_ends_well(process)
            self.assertEqual(process.stderr, "")

    def test_preloaded(self):
        self.check_faults(CHILDREN / "fault-asan", LIBRARY)
        self.check_good(CHILDREN / "fault-asan", LIBRARY)

    def test_what_lies_beside_another_block(self):
        program = CHILDREN / "fault-asan"
        if not program.exists():
            raise unittest.SkipTest("no AddressSanitizer for this compiler")
        options = {"ASAN_OPTIONS": "verify_asan_link_order=0"}
        for fault, place in (("overflow-even", "0 bytes after a block"), ("late-use-after-free", r"30 bytes inside a hole")):
            process = run([program, fault], **options)
            self.assertIn("AddressSanitizer: use-after-poison", process.stderr)
            self.assertRegex(process.stderr, rf"ffalloc: 0x\w+ is {place} .*of 64 bytes at {process.stdout.split()[0]}")
            self.assert_ends_well(run([program, fault], **options, **EXACT))

    def test_clangs_own_malloc_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/none"
            command = [need("clang"), "-fsanitize=address", "-x", "c", "-", "-o", program]
            self.assert_ends_well(run(command, preload=None, stdin="int main(void) { return 0; }"))
            process = run([program], FFALLOC_VERBOSE="1")
            self.assert_ends_well(process)
            self.assertIn("AddressSanitizer has put its own malloc before this one", process.stderr)
            self.assertEqual(run([program]).stderr, "")

    def test_its_own_strdup_and_the_like(self):
        program = CHILDREN / "dup-asan"
        if not program.exists():
            raise unittest.SkipTest("no AddressSanitizer for this compiler")
        options = {"ASAN_OPTIONS": "verify_asan_link_order=0"}
        self.assert_ends_well(run([program], preload=None, **options))
        for variables in ({}, {"FFALLOC_POOL": "1M"}, {"FFALLOC_CHECK": "1"}, {"FFALLOC_ONLY": "another"}):
            self.assert_ends_well(run([program], **options, **variables))

    def test_static_arena(self):
        self.check_faults(CHILDREN / "fault-arena-asan", None)
        self.check_good(CHILDREN / "fault-arena-asan", None)


class Arena(TestCase):
    def test_a_program_runs_in_its_array_alone(self):
        process = run([CHILDREN / "arena"], preload=None)
        self.assert_ends_well(process)

    def test_misuse_traps(self):
        for fault in ("double-free", "interior-free", "foreign-free"):
            process = run([CHILDREN / "fault-arena", fault], preload=None)
            self.assertLess(process.returncode, 0, fault)

    def test_guards_tell_what_lies_beyond_a_block(self):
        for fault, size in (("overflow", 61), ("overflow-even", 64), ("realloc-shrunk", 40), ("underflow", 0)):
            with self.subTest(fault):
                process = run([CHILDREN / "fault-arena-guarded", fault], preload=None)
                self.assert_ends_well(process)
                self.assertRegex(process.stderr, rf"^arena: written beyond {size} bytes at 0x\w+\n$")
        for fault in ("none", "realloc-good"):
            process = run([CHILDREN / "fault-arena-guarded", fault], preload=None)
            self.assert_ends_well(process)
            self.assertEqual(process.stderr, "")

    def test_a_wrong_size_is_told(self):
        for program, fault, line in (
                ("fault-arena-guarded", "wrong-size", r"arena: error 4 at 0x\w+\n"), ("fault-arena-reporting", "wrong-size", ""),
                ("fault-arena-reporting", "larger-size", r"arena: error 4 at 0x\w+\n")):
            with self.subTest(program, fault=fault):
                process = run([CHILDREN / program, fault], preload=None)
                self.assert_ends_well(process)
                self.assertRegex(process.stderr, f"^{line}$")

    def test_the_hook_is_told(self):
        process = run([CHILDREN / "fault-arena-reporting", "double-free"], preload=None)
        self.assert_ends_well(process)
        self.assertIn("arena: error 0", process.stderr)
