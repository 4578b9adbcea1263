# SPDX-License-Identifier: MIT
"""The heap as limits, locks, core files, emulators and sanitizers see it: as large as what was used."""

import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

from support import BUILD, CHILDREN, LIBRARY, TestCase, environment, need, run

LIMITS = CHILDREN / "limited"
LIBRARY_32 = BUILD / "ports/lib32/libffalloc.so"
MIB = 1 << 20


def limited(which, size):
    return lambda: resource.setrlimit(which, (size, size))


class Limits(TestCase):
    def number_of(self, command, preload=LIBRARY, **settings):
        process = run(command, preload=preload, **settings)
        self.assert_ends_well(process)
        return int(process.stdout)

    def check_as_glibc(self, command, preload=LIBRARY, **settings):
        """What can be had is within a tenth of what glibc's malloc gives, and no more by a tenth."""
        ours = self.number_of(command, preload, **settings)
        glibc = self.number_of(command, None, **settings)
        self.assertGreater(ours, 0.9 * glibc)
        self.assertLess(ours, 1.1 * glibc)

    def test_a_limit_that_the_program_sets_on_itself(self):
        for which in ("data", "space"):
            for size in (4096 * MIB, 300 * MIB):
                with self.subTest(which, size=size):
                    self.check_as_glibc([LIMITS, which, size])

    def test_a_limit_from_outside(self):
        for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            for kib in (2000000, 200000, 20000):
                for unit in (MIB, 10000):
                    with self.subTest(which=which, kib=kib, unit=unit):
                        self.check_as_glibc([LIMITS, "fill", unit], preexec=limited(which, kib * 1024))

    def test_a_limit_that_leaves_hardly_anything(self):
        for kib in (4000, 6000):
            with self.subTest(kib=kib):
                run_it = limited(resource.RLIMIT_AS, kib * 1024)
                ours = self.number_of([LIMITS, "fill", 10000], preexec=run_it)
                glibc = self.number_of([LIMITS, "fill", 10000], preload=None, preexec=run_it)
                self.assertGreater(ours, glibc - 400)  # the library itself takes as much

    def test_what_a_limit_refused_can_be_had_without_it(self):
        self.assert_ends_well(run([LIMITS, "later"]))

    def test_32_bits(self):
        if not LIBRARY_32.exists() or not (CHILDREN / "limited-32").exists():
            self.skipTest("no 32-bit library here")
        program = CHILDREN / "limited-32"
        for unit in (MIB, 1200 * MIB, 10000):
            with self.subTest(unit=unit):
                self.check_as_glibc([program, "fill", unit], LIBRARY_32)
        for kib in (2000000, 200000, 20000):
            with self.subTest(kib=kib):
                self.check_as_glibc([program, "fill", 10000], LIBRARY_32,
                                    preexec=limited(resource.RLIMIT_AS, kib * 1024))
        for what in ("neighbours", "thread"):
            self.assert_ends_well(run([program, what], preload=LIBRARY_32))

    def test_a_request_that_no_pool_can_serve_takes_nothing(self):
        """It would leave less for the next one."""
        settings = {"preexec": limited(resource.RLIMIT_AS, 200000 * 1024), "FFALLOC_VERBOSE": "1"}
        process = run([LIMITS, "fill", 150 * MIB], FFALLOC_STATS="json", **settings)
        self.assert_ends_well(process)
        self.assertEqual(process.stdout, f"{150 * 1024}\n")
        self.assertEqual(self.stats_of(process)["pools"], 1)

    def test_locked_memory_is_what_was_used(self):
        ours = self.number_of([LIMITS, "lock"])
        glibc = self.number_of([LIMITS, "lock"], preload=None)
        self.assertLess(ours, glibc + 1000)

    def test_what_a_process_commits(self):
        """With overcommit_memory=2 that is all that can be written; to set it would bear on others."""
        def committed(preload):
            process = run([need("cat"), "/proc/self/maps"], preload=preload)
            self.assert_ends_well(process)
            ranges = [line.split()[0].split("-") for line in process.stdout.splitlines()
                      if line.split()[1] == "rw-p"]
            return sum(int(end, 16) - int(start, 16) for start, end in ranges)

        self.assertLess(committed(LIBRARY), committed(None) + MIB)


class Faults(TestCase):
    def test_a_pointer_that_runs_away_faults_soon(self):
        for size in (0, 100 * MIB):
            with self.subTest(size=size):
                process = run([LIMITS, "run-away", size])
                self.assert_ends_well(process)
                self.assertLess(int(process.stdout), 1024 + size // 1024 // 7)

    def test_a_pointer_that_runs_out_of_a_pool_faults_at_its_end(self):
        process = run([LIMITS, "run-away"], FFALLOC_POOL="1M")
        self.assert_ends_well(process)
        self.assertLessEqual(int(process.stdout), 1024)

    def test_nothing_adjoins_a_pool(self):
        self.assert_ends_well(run([LIMITS, "neighbours"]))
        self.assert_ends_well(run([LIMITS, "neighbours"], FFALLOC_POOL="16M"))


class Reports(TestCase):
    def test_a_heap_ends_at_its_mark(self):
        """What is open beyond is chance: it is no hole, and nothing of the free memory."""
        program = ["perl", "-e", "my @a = map { 'x' x ($_ % 3000) } 1 .. 2000; undef $a[$_ * 3] for 0 .. 600"]
        need("perl")
        report = self.stats_of(run(program, FFALLOC_STATS="json"))
        self.assertEqual(report["usable_size"], report["high_water_size"])
        self.assertEqual(report["free_size"], report["high_water_size"] - report["used_size"])
        self.assertEqual(report["least_free_size"], report["high_water_size"] - report["peak_used_size"])
        self.assertGreater(report["hole_count"], 1)
        self.assertLessEqual(report["largest_hole_size"], report["free_size"])
        self.assertGreater(report["fragmentation_percent"], 1)
        self.assertTrue(report["high_water_size"] < report["pool_size"] < 1.3 * report["high_water_size"] + MIB)
        self.assertIn("all below the mark", run(program, FFALLOC_STATS="1").stderr)


class Core(TestCase):
    def test_a_core_file_is_as_large_as_what_was_used(self):
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if "/" in pattern or "|" in pattern or "%" in pattern:
            self.skipTest("core files go elsewhere here")
        with tempfile.TemporaryDirectory() as folder:
            unlimited = resource.RLIM_INFINITY
            if resource.getrlimit(resource.RLIMIT_CORE)[1] != unlimited:
                self.skipTest("core files are limited here")
            process = run([LIMITS, "abort"], cwd=folder,
                          preexec=limited(resource.RLIMIT_CORE, unlimited))
            self.assert_aborts(process)
            sizes = [path.stat().st_size for path in pathlib.Path(folder).glob("core*")]
            self.assertEqual(len(sizes), 1, os.listdir(folder))
            self.assertLess(sizes[0], 6 * MIB)

    def test_gcore(self):
        gcore = need("gcore")
        with tempfile.TemporaryDirectory() as folder:
            program = subprocess.Popen(["sleep", "60"], env=environment(LD_PRELOAD=str(LIBRARY)))
            try:
                subprocess.run([gcore, "-o", f"{folder}/core", str(program.pid)], timeout=60,
                               capture_output=True)
            finally:
                program.kill()
                program.wait()
            path = pathlib.Path(folder) / f"core.{program.pid}"
            if not path.exists():
                self.skipTest("gcore may not look at a process here")
            self.assertLess(path.stat().st_size, 8 * MIB)


class Houses(TestCase):
    def test_qemu_user(self):
        for name, library, program in (("qemu-x86_64", LIBRARY, LIMITS),
                                       ("qemu-i386", LIBRARY_32, CHILDREN / "limited-32")):
            with self.subTest(name):
                emulator = shutil.which(name)
                if not emulator or not library.exists() or not program.exists():
                    continue
                command = [emulator, "-E", f"LD_PRELOAD={library}", program, "thread"]
                process = run(["/usr/bin/python3", "-c", "import resource, subprocess, sys\n"
                               "status = subprocess.run(sys.argv[1:]).returncode\n"
                               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
                               "sys.exit(status)", *command], preload=None, timeout=60)
                self.assert_ends_well(process)
                self.assertLess(int(process.stdout), 100 * 1024)

    def test_thread_sanitizer(self):
        program = CHILDREN / "limited-tsan"
        if not program.exists():
            self.skipTest("no ThreadSanitizer here")
        self.assert_ends_well(run([program, "thread"]))
        process = run([program, "fill", 100 * MIB])
        self.assert_ends_well(process)
        self.assertGreater(int(process.stdout), 8 << 20)
