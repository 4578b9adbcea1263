# SPDX-License-Identifier: MIT
"""ffalloc size and replay: the smallest pool, exact for every trace, by one replay of it."""

import re
import resource
import struct
import subprocess
import unittest

from support import BUILD, CHILDREN, SOURCE, need
from tool import ToolCase

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

    def test_a_recorded_run_has_no_samples_and_says_so(self):
        plain = self.tool("size", self.record(*self.GUARDED, LC_ALL="C")).stdout
        trace = self.folder / "sampled"
        done = self.tool("record", "-o", trace, "--", *self.GUARDED, LC_ALL="C", FFALLOC_SAMPLE="10")
        self.assertIn("FFALLOC_SAMPLE: nothing is sampled in a run that is or may be recorded\n", done.stderr)
        self.assertEqual(self.tool("size", trace).stdout, plain)

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
            start = self.spent()
            size = self.object("size", "--json", trace)
            took.append(self.spent() - start)
        self.assertEqual(size["events"], 10_000_000)
        self.assertLess(min(took), 2)
        start = self.spent()
        self.tool("report", trace, "-o", self.folder / "report.html")
        self.assertLess(self.spent() - start, 20)
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


if __name__ == "__main__":
    unittest.main()
