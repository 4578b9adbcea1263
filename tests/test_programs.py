# SPDX-License-Identifier: MIT
"""Real programs under the library: the same output, and a pool sized to the granule."""

import fnmatch
import os
import pathlib
import resource
import shutil
import signal
import tempfile
import unittest

from support import BUILD, CHILDREN, LIBRARY, SOURCE, TestCase, need, run

PYTHON_JOB = """
import collections, json, re
words = [f"word{i * 7919 % 1000}" for i in range(40000)]
count = collections.Counter(words)
tree = {w: {"n": n, "list": list(range(n % 50))} for w, n in count.items()}
text = json.dumps(tree, sort_keys=True)
print(len(text), json.loads(text) == tree, len(re.findall(r"word\\d+5", text)))
"""

PERL_JOB = """
my %h; $h{"k" . ($_ * 7919 % 5000)} .= "v$_," for 1 .. 60000;
my $n = 0; for my $k (sort keys %h) { $n += length($h{$k}); my @p = split /,/, $h{$k}; $n += @p }
print "$n\\n";
"""

SQL_JOB = """
create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000)
insert into t select x, hex(x * x) from c;
create index i on t(b);
select count(*), sum(length(b)), max(b) from t where b > '4';
select b, count(*) from t group by substr(b, 1, 2) order by 2 desc, 1 limit 5;
"""

BASH_JOB = """
for i in {1..200}; do echo "$i $((i * i))"; done | sort -k2n | tail -50 | awk '{s += $2} END {print s}'
a=(); for i in {1..3000}; do a+=("x$i"); done; echo "${#a[@]} ${a[2999]}" | tr x y | rev
"""

C_JOB = """
#include <stdio.h>
int main(void) { puts("compiled and linked"); return 0; }
"""


class RealPrograms(TestCase):
    def test_python(self):
        python = need("python3")
        self.assert_same([python, "-c", PYTHON_JOB])
        self.assert_same([python, "-c", PYTHON_JOB], PYTHONMALLOC="malloc")

    def test_perl(self):
        self.assert_same([need("perl"), "-e", PERL_JOB])

    def test_sqlite(self):
        self.assert_same([need("sqlite3"), ":memory:"], stdin=SQL_JOB)

    def test_bash_pipelines(self):
        self.assert_same([need("bash"), "-c", BASH_JOB])

    def test_gcc_compiles_and_links(self):
        compiler = need("gcc")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "hello.c"
            source.write_text(C_JOB)
            ours = run([compiler, "-O2", "-o", f"{folder}/ours", source])
            self.assert_ends_well(ours)
            self.assert_ends_well(run([compiler, "-O2", "-o", f"{folder}/plain", source], preload=None))
            self.assertEqual(run([f"{folder}/ours"]).stdout, "compiled and linked\n")
            ours = pathlib.Path(f"{folder}/ours").read_bytes()
            self.assertEqual(ours, pathlib.Path(f"{folder}/plain").read_bytes())

    def test_git(self):
        git = need("git")
        with tempfile.TemporaryDirectory() as folder:
            commands = (
                "set -e; git init -q .; for i in 1 2 3 4 5; do seq $i 2000 > file$i; git add .; "
                "git -c user.name=n -c user.email=e commit -qm $i; done; git gc -q; git fsck; "
                "git log --stat --format=%s; git diff HEAD~2 | wc"
            )
            self.assertTrue(git)
            dates = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
            for name, preload in (("ours", LIBRARY), ("plain", None)):
                pathlib.Path(folder, name).mkdir()
                process = run(
                    ["bash", "-c", commands], preload=preload, cwd=f"{folder}/{name}", **dates
                )
                self.assert_ends_well(process)
                pathlib.Path(folder, name + ".out").write_text(process.stdout)
            self.assertEqual(
                pathlib.Path(folder, "ours.out").read_text(),
                pathlib.Path(folder, "plain.out").read_text(),
            )

    def test_a_threaded_cpp_program(self):
        self.assert_same([CHILDREN / "threads"])
        self.assert_same([CHILDREN / "threads"], FFALLOC_POOL="64M")

    def test_every_time_of_a_process(self):
        self.assert_same([CHILDREN / "lifecycle", CHILDREN / "libplugin.so"])
        self.assert_same([CHILDREN / "lifecycle", CHILDREN / "libplugin.so"], FFALLOC_CHECK="997")


class Keys(TestCase):
    def test_a_program_has_all_keys_for_threads(self):
        for case in ("pthread", "tss"):
            self.assert_same([CHILDREN / "keys", case])
            self.assert_same([CHILDREN / "keys", case], FFALLOC_POOL="16M")

    def test_a_thread_that_ends_leaves_its_pool_to_the_next(self):
        process = run([CHILDREN / "keys", "sequence"], FFALLOC_STATS="json")
        self.assertEqual(self.stats_of(process)["pools"], 2)


class Contract(TestCase):
    def test_glibc_keeps_the_rules_as_written(self):
        self.assert_ends_well(run([CHILDREN / "contract"], preload=None))

    def test_the_library_keeps_the_rules(self):
        self.assert_ends_well(run([CHILDREN / "contract"]))

    def test_it_keeps_them_with_every_way_through_malloc(self):
        for variables in (
            {"FFALLOC_POOL": "256M"},
            {"FFALLOC_CHECK": "1", "FFALLOC_POOL": "128M"},
            {"FFALLOC_FILL": "165", "MALLOC_PERTURB_": "3"},
            {"FFALLOC_FAIL": "nth:1000000"},
            {"FFALLOC_GRANULE": "64"},
            {"FFALLOC_ONLY": "another"},
        ):
            with self.subTest(variables):
                self.assert_ends_well(run([CHILDREN / "contract"], **variables))

    def test_what_another_thread_frees_is_free_before_the_next_request(self):
        for variables in ({}, {"FFALLOC_POOL": "256M"}, {"FFALLOC_CHECK": "1", "FFALLOC_POOL": "128M"}):
            for case in ("order", "fork"):
                with self.subTest(case, **variables):
                    self.assert_ends_well(run([CHILDREN / "remote", case], **variables))

    def test_the_size_of_a_block_holds_while_another_thread_changes_its_neighbours(self):
        for variables in ({}, {"FFALLOC_POOL": "256M"}):
            with self.subTest(**variables):
                self.assert_ends_well(run([CHILDREN / "remote", "size"], **variables))

    def test_what_realloc_moves_to_another_pool_is_free_in_its_own(self):
        for variables in ({}, {"FFALLOC_CHECK": "1"}):
            with self.subTest(**variables):
                self.assert_ends_well(run([CHILDREN / "remote", "moved"], **variables))

    def test_a_live_block_is_resized_whatever_another_thread_does_wrong(self):
        for variables in ({}, {"FFALLOC_POOL": "256M"}, {"FFALLOC_CHECK": "1000"}, {"FFALLOC_FILL": "1"}):
            with self.subTest(**variables):
                process = run([CHILDREN / "remote", "realloc"], FFALLOC_ON_ERROR="report", **variables)
                self.assertEqual(process.returncode, 0, process.stderr[-200:])
                self.assertIn("is 16 bytes inside a block of 48 bytes", process.stderr)
                others = [line for line in process.stderr.splitlines() if not line.startswith("ffalloc: free of 0x")]
                self.assertEqual(others, [], "told of another call than free")

    def test_what_another_thread_frees_wrongly_is_told(self):
        for case, message in (("twice", "double free of "), ("inside", "is 16 bytes inside a block of 48 "),
                              ("asked", "malloc_usable_size of freed memory"), ("left", "double free of ")):
            process = run([CHILDREN / "remote", case])
            self.assertEqual(process.returncode, -signal.SIGABRT)
            self.assertIn(message, process.stderr)

    def test_memory_goes_back_and_fresh_memory_is_not_touched(self):
        self.assert_ends_well(run([CHILDREN / "residence"]))

    def test_large_memory_goes_back_at_the_free_that_crosses_the_line(self):
        cases = ("one", "few", "realloc", "remote", "ways", "passed", "threads", "left", "sum")
        ways = [(case, {}) for case in cases]
        ways += [
            ("one", {"FFALLOC_POOL": "512M"}),
            ("remote", {"FFALLOC_CHECK": "1000"}),
            ("one", {"FFALLOC_FILL": "1"}),
            ("realloc", {"FFALLOC_FILL": "1"}),
            ("few", {"FFALLOC_GUARD": "1", "FFALLOC_QUARANTINE": "64K"}),
        ]
        for case, variables in ways:
            with self.subTest(case, **variables):
                self.assert_ends_well(run([CHILDREN / "giveback", case], **variables))

    def check_zeroed(self, case, **settings):
        process = run([CHILDREN / "zeroed", case], **settings)
        if process.returncode == 77:
            self.skipTest(process.stdout)
        self.assert_ends_well(process)

    def test_calloc_is_zero_at_every_size_at_which_its_way_changes(self):
        for variables in ({}, {"FFALLOC_POOL": "128M"}):
            self.check_zeroed("sizes", **variables)

    def test_calloc_is_zero_where_memory_was_locked(self):
        self.check_zeroed("locked")
        self.check_zeroed("lockall", FFALLOC_POOL="64M")

    def test_calloc_is_zero_whatever_madvise_answers(self):
        for case in ("refused", "quiet"):
            for variables in ({}, {"FFALLOC_POOL": "128M"}):
                with self.subTest(case, **variables):
                    self.check_zeroed(case, **variables)

    def test_what_lies_around_holes_stays_as_they_are_given_back(self):
        self.check_zeroed("holes")

    def test_what_the_first_pool_cannot_serve_the_next_one_does(self):
        self.assert_ends_well(run([CHILDREN / "spill"]))


class Modules(TestCase):
    """Modules loaded with RTLD_DEEPBIND, from a folder that only the RUNPATH of the loading library
    names: dlopen knows the caller by its return address."""

    def check(self, bits, preload, **variables):
        with tempfile.TemporaryDirectory() as folder:
            modules = pathlib.Path(folder) / "modules"
            modules.mkdir()
            shutil.copy(CHILDREN / f"libopener{bits}.so", folder)
            shutil.copy(CHILDREN / f"libplugin{bits}.so", modules)
            command = [CHILDREN / f"deepbind{bits}", f"{folder}/libopener{bits}.so", f"libplugin{bits}.so"]
            process = run(command, preload=preload, **variables)
            self.assert_ends_well(process)
            self.assertEqual(process.stdout, "made by a plugin\n" * 2)

    def test_what_they_free_is_freed_where_it_was_allocated(self):
        self.check("", None)
        self.check("", LIBRARY)
        self.check("", LIBRARY, FFALLOC_ONLY="another")

    def test_with_32_bits(self):
        if not ThirtyTwoBits.LIBRARY.exists():
            self.skipTest("no -m32 here")
        self.check("-32", ThirtyTwoBits.LIBRARY)


# A case of forms, and what the message calls it.
WRONG_SIZES = (("wrong-size", "operator delete"), ("wrong-array-size", "operator delete"),
               ("wrong-aligned-size", "operator delete"), ("wrong-free-sized", "free_sized"),
               ("wrong-free-aligned-sized", "free_aligned_sized"))


class Cpp(TestCase):
    """Operator new and delete, in a program with or without an allocator of its own."""

    def setUp(self):
        if not (CHILDREN / "forms").exists():
            self.skipTest("no C++ compiler")

    def test_libstdcxx_keeps_the_rules_as_written(self):
        for program in ("forms", "forms-replaced"):
            for case in ("all", "failing", "handled", "wrong-size"):
                self.assert_ends_well(run([CHILDREN / program, case], preload=None))

    def test_the_library_keeps_the_rules(self):
        for program in ("forms", "forms-replaced", "forms-other"):
            for case in ("all", "failing", "handled"):
                for variables in ({}, {"FFALLOC_POOL": "16M"}, {"FFALLOC_CHECK": "1", "FFALLOC_POOL": "16M"}):
                    with self.subTest(program=program, case=case, **variables):
                        self.assert_ends_well(run([CHILDREN / program, case], **variables))

    def test_a_module_that_brings_the_cpp_library_throws_and_catches(self):
        for name in ("throwing", "throwing-static"):
            script = f"import ctypes; print(ctypes.CDLL('{CHILDREN}/lib{name}.so').throwing_check())"
            for preload in (None, LIBRARY):
                process = run([need("python3"), "-c", script], preload=preload)
                self.assertEqual((process.stdout, process.stderr), ("3\n", ""))

    def test_another_size_than_the_blocks_is_told(self):
        guard = {"FFALLOC_GUARD": "1"}
        for case, call in WRONG_SIZES:
            for variables in ({}, {"FFALLOC_POOL": "1M"}, {"FFALLOC_CHECK": "1"}, {"FFALLOC_FILL": "9"}, guard):
                with self.subTest(case, **variables):
                    process = run([CHILDREN / "forms", case], **variables)
                    self.assert_aborts(process)
                    size = 100 if variables == guard else 112
                    message = rf"{call} of 0x\w+ with a size of 200 bytes, which is a block of {size} bytes"
                    self.assertRegex(process.stderr, f"^ffalloc: {message}\n$")
                    process = run([CHILDREN / "forms", case], FFALLOC_ON_ERROR="report", **variables)
                    self.assert_ends_well(process)
                    self.assertEqual(process.stderr.count("ffalloc: "), 1, process.stderr)
        self.assert_ends_well(run([CHILDREN / "forms-replaced", "wrong-size"], FFALLOC_CHECK="1"))

    def test_a_size_within_the_granule_is_told_with_guards(self):
        for case, call in WRONG_SIZES:
            case = case.replace("wrong", "near")
            self.assert_ends_well(run([CHILDREN / "forms", case]))
            process = run([CHILDREN / "forms", case], FFALLOC_GUARD="1")
            self.assert_aborts(process)
            message = rf"{call} of 0x\w+ with a size of 101 bytes, which is a block of 100 bytes"
            self.assertRegex(process.stderr, f"^ffalloc: {message}\n$")

    def test_a_wrong_size_in_a_thread_is_told(self):
        process = run([CHILDREN / "forms", "wrong-in-thread"])
        self.assert_aborts(process)
        self.assertRegex(process.stderr, r"^ffalloc: operator delete of 0x\w+ with a size of 200 bytes, which is a block of 112 bytes\n$")


class ThirtyTwoBits(TestCase):
    LIBRARY = BUILD / "ports/lib32/libffalloc.so"

    def setUp(self):
        if not self.LIBRARY.exists():
            self.skipTest("no -m32 here")

    def test_the_rules(self):
        self.assert_ends_well(run([CHILDREN / "contract-32"], preload=None))
        self.assert_ends_well(run([CHILDREN / "contract-32"], preload=self.LIBRARY))
        self.assert_ends_well(
            run([CHILDREN / "contract-32"], preload=self.LIBRARY, FFALLOC_POOL="128M")
        )

    def test_every_time_of_a_process(self):
        self.assert_ends_well(run([CHILDREN / "lifecycle-32"], preload=self.LIBRARY))

    def test_memory_goes_back(self):
        self.assert_ends_well(run([CHILDREN / "residence-32"], preload=self.LIBRARY))

    def test_calloc_is_zero(self):
        for case in ("sizes", "quiet"):
            self.assert_ends_well(run([CHILDREN / "zeroed-32", case], preload=self.LIBRARY))

    def test_the_pool_is_exact(self):
        def run_in(size):
            return run(
                [CHILDREN / "count-32", "chance"],
                preload=self.LIBRARY,
                FFALLOC_STATS="json",
                FFALLOC_POOL=f"{size:012d}",
                FFALLOC_GRANULE="8",
            )

        least = self.stats_of(run_in(1 << 24))["min_pool"]
        self.assertEqual(self.stats_of(run_in(least))["failed_count"], 0)
        self.assertGreater(self.stats_of(run_in(least - 1))["failed_count"], 0)


class ExactPool(TestCase):
    """One run sizes the pool: it succeeds in min_pool bytes, and in one granule less does not."""

    def check(self, command, **settings):
        # The environment is part of a program's input, so its size stays the same.
        def run_in(size):
            return run(command, FFALLOC_STATS="json", FFALLOC_POOL=f"{size:012d}", **settings)

        report = self.stats_of(run_in(1 << 32))
        self.assertEqual((report["pools"], report["failed_count"]), (1, 0))
        self.assertGreater(report["alloc_count"], 50)
        least = report["min_pool"]
        exact = run_in(least)
        again = self.stats_of(exact)
        self.assertEqual(again["failed_count"], 0)
        self.assertEqual(again["high_water_size"], again["usable_size"])
        for field in ("high_water_size", "peak_used_size", "alloc_count", "min_pool"):
            self.assertEqual(again[field], report[field], field)
        short = run_in(least - 1)
        if short.returncode == 0:
            self.assertGreater(self.stats_of(short)["failed_count"], 0)

    def test_perl(self):
        self.check([need("perl"), "-e", PERL_JOB], PERL_HASH_SEED="0")

    def test_sqlite(self):
        self.check([need("sqlite3"), ":memory:"], stdin=SQL_JOB)

    def test_bash(self):
        self.check([need("bash"), "-c", "for i in {1..3000}; do a[i]=$((i * i)); done; echo ${a[@]}"])

    def test_granule_of_8(self):
        self.check([need("perl"), "-e", "print 1"], PERL_HASH_SEED="0", FFALLOC_GRANULE="8")


def limit_address_space(size):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


def close_first_descriptors():
    for descriptor in range(3):
        os.close(descriptor)


class Surroundings(TestCase):
    def test_little_address_space(self):
        for size in (1 << 30, 300 << 20, 100 << 20):
            with self.subTest(size):
                process = run(
                    [need("perl"), "-e", PERL_JOB],
                    preexec=limit_address_space(size),
                    FFALLOC_VERBOSE="1",
                )
                self.assert_ends_well(process)
                self.assertIn("16 pools of at most", process.stderr)
                quiet = run([need("perl"), "-e", PERL_JOB], preexec=limit_address_space(size))
                self.assertEqual(quiet.stderr, "")

    def test_no_standard_descriptors(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out"
            script = f"open my $f, '>', '{out}'; print $f 'fine'; close $f"
            process = run(
                ["perl", "-e", script],
                preexec=close_first_descriptors,
                FFALLOC_STATS="1",
                FFALLOC_UNKNOWN="1",
            )
            self.assertEqual(process.returncode, 0)
            self.assertEqual(out.read_text(), "fine")

    def test_no_need_of_proc(self):
        # But for the names in a recorded trace, which may be missing.
        text = LIBRARY.read_bytes().replace(b"/proc/self/maps", b"")
        self.assertFalse(b"/proc" in text)

    def test_a_program_with_more_rights_ignores_the_environment(self):
        if os.geteuid() != 0:
            self.skipTest("only root can make a program of another user")
        with tempfile.TemporaryDirectory(dir=CHILDREN) as folder:
            os.chmod(folder, 0o755)
            program = pathlib.Path(folder) / "secure"
            source = pathlib.Path(folder) / "secure.c"
            source.write_text(
                "#include <stdlib.h>\n#include <stdio.h>\n#include <sys/auxv.h>\n"
                "int main(void) { free(malloc(10)); printf(\"%lu\", getauxval(AT_SECURE)); }\n"
            )
            self.assert_ends_well(
                run(
                    ["gcc", source, "-o", program, f"-Wl,--no-as-needed,{LIBRARY}", f"-Wl,-rpath,{LIBRARY.parent}"],
                    preload=None,
                )
            )
            plain = run([program], preload=None, FFALLOC_STATS="1")
            self.assertIn("exact first fit", plain.stderr)
            os.chown(program, 65534, 65534)
            os.chmod(program, 0o4755)
            process = run([program], preload=None, FFALLOC_STATS="1", FFALLOC_FOO="1")
            if process.stdout != "1":
                self.skipTest("this file system has no set-user-id programs")
            self.assertEqual(process.stderr, "")


class Sources(TestCase):
    def test_the_library_exports_what_the_list_says(self):
        text = (SOURCE / "src/preload/exports.map").read_text()
        listed = text.split("global:")[1].split("local:")[0]
        patterns = {name.strip() for name in listed.split(";") if name.strip()}
        symbols = run(["nm", "-D", "--defined-only", LIBRARY], preload=None).stdout.splitlines()
        names = {line.split()[-1] for line in symbols}
        for pattern in patterns:
            self.assertTrue(fnmatch.filter(names, pattern), pattern)
        self.assertEqual([n for n in names if not any(fnmatch.fnmatchcase(n, p) for p in patterns)], [])

    def test_the_core_needs_memcpy_and_memset_only(self):
        archive = LIBRARY.parent / "libffalloc-core.a"
        symbols = run(["nm", archive], preload=None).stdout.splitlines()
        defined = {line.split()[-1] for line in symbols if " T " in line}
        needed = {line.split()[-1] for line in symbols if " U " in line} - defined
        self.assertTrue({"ffalloc_init", "ffalloc_malloc"} <= defined)
        self.assertLessEqual(needed, {"memcpy", "memset"})

    def test_the_library_needs_libc_only(self):
        dynamic = run(["readelf", "-d", LIBRARY], preload=None).stdout
        needed = [line.split("[")[1] for line in dynamic.splitlines() if "(NEEDED)" in line]
        self.assertEqual([name for name in needed if not name.startswith(("libc.so", "ld-linux"))], [])

    def test_each_public_header_compiles_alone(self):
        for header in sorted((SOURCE / "include/ffalloc").glob("*.h")):
            for language, compiler in (("c", "gcc"), ("c++", "g++")):
                command = [need(compiler), "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
                command += ["-I", SOURCE / "include", "-x", language, header]
                self.assert_ends_well(run(command, preload=None))

    def test_the_tree_is_formatted(self):
        files = run(["git", "-C", SOURCE, "ls-files", "*.c", "*.h", "*.cpp"], preload=None).stdout.split()
        self.assertGreater(len(files), 30)
        command = [need("clang-format"), "--dry-run", "-Werror", *files]
        self.assert_ends_well(run(command, preload=None, cwd=SOURCE))
