# SPDX-License-Identifier: MIT
"""What the ffalloc command answers: nothing that is not so, and one line with the right status for
whatever makes no sense."""

import os
import re
import subprocess
import unittest

from support import BUILD, CHILDREN, SOURCE, need
import support
from tool import ToolCase

PLACES = CHILDREN / "places"


class Failures(ToolCase):
    """A run whose requests failed says so, and no report says what such a run needs."""

    LINE = r"(?m)^ffalloc: out of memory: \w+\(\d+\) failed: .*$"

    def assert_told(self, done):
        self.assertEqual(len(re.findall(self.LINE, done.stderr)), 1, done.stderr)
        self.assertNotIn("fits", done.stderr)

    def test_is_told_in_one_line_whatever_is_reported(self):
        for options in ([], ["-s"], ["-sjson"]):
            with self.subTest(options=options):
                done = self.tool("run", "-p", "8K", *options, "--", PLACES)
                self.assert_told(done)
        self.assertEqual(self.stats_of(done)["min_pool"], 0)
        self.assertGreater(self.stats_of(done)["failed_count"], 100)

    def test_is_told_by_a_program_that_does_not_come_to_its_end(self):
        done = self.tool("run", "-p", "8K", "--", PLACES, "kill", status=None)
        self.assert_told(done)

    def test_is_told_where_a_pool_was_asked_for_by_its_variable(self):
        done = support.run([PLACES], FFALLOC_POOL="8K")
        self.assert_told(done)

    def test_is_told_of_requests_that_were_refused(self):
        done = self.tool("run", "--fail=nth:30", "-s", "--", PLACES)
        self.assert_told(done)
        self.assertIn("1 request failed: what this run needs is not known", done.stderr)

    def test_good_runs_say_nothing(self):
        self.assertEqual(self.tool("run", "-p", "1M", "--", PLACES).stderr, "")
        self.assertIn("this run fits in a pool", self.tool("run", "-s", "--", PLACES).stderr)


class Usage(ToolCase):
    """What makes no sense gets one line and status 2, and nothing is run."""

    BAD_OPTIONS = (
        ("run", "--pool", "10"), ("run", "--pool", "64 "), ("run", "--pool", "64K:"),
        ("run", "--pool", "100:cortex-m"), ("run", "--pool", "64K:z80"), ("run", "--granule", "24"),
        ("run", "--fail", "foo"), ("run", "--fail", "nth:0"), ("run", "--fail", "nth:1,"),
        ("run", "-F", "300"), ("run", "-F", "x"), ("run", "-c", "x"), ("run", "-c", "-1"),
        ("run", "-sfoo"), ("run", "--only", ""), ("run", "--tool", "vi"),
        ("record", "--pool", "10"), ("record", "--backtrace", "all"), ("record", "--granule", ""), ("record", "--overhead", "0"), ("record", "--rotate", "x"), ("record", "--rotate", "65535"),
        ("sweep", "--to", "0"), ("sweep", "--from", "0"), ("sweep", "--from", "5", "--to", "4"),
        ("sweep", "--timeout", "0"), ("sweep", "--timeout", "nan"), ("sweep", "--pool", "x"),
        ("sweep", "--step", "x"),
    )

    def test_bad_values(self):
        mark = self.folder / "was-run"
        for command, *words in self.BAD_OPTIONS:
            with self.subTest(command=command, words=words):
                output = ["-o", self.folder / "trace"] if command == "record" else []
                done = self.tool(command, *words, *output, "--", "touch", mark, status=2)
                self.assert_one_line(done, ".")
                self.assertEqual(done.stdout, "")
        self.assertFalse(mark.exists())

    def test_one_status_in_all_commands(self):
        for command in ("run", "record", "replay", "size", "why", "map", "report", "export", "sweep", "dump",
                        "doctor", "data", "events", "reasons"):
            for words in (["--no-such-option"], ["--no-such-option=1", "x"]):
                self.tool(command, *words, status=2)
        trace = self.record(PLACES)
        for words in (("size", "--fits", "x"), ("size", "--margin", "x"), ("size", "--target", "16"),
                      ("replay", "--pool", "1"), ("replay", "--usable", "x"), ("map", "--pool", "x"),
                      ("map", "--granule", "9"), ("map", "--at", "0"), ("map", "--by", "x"),
                      ("data", "--rows", "12x"), ("data", "--columns", "99999"),
                      ("report", "--pool", "x", "-o", self.folder / "page"),
                      ("export", "--format", "x", "-o", self.folder / "out")):
            self.assert_one_line(self.tool(*words, trace, status=2), ".")
        for words in (("dump", "--base", "x"), ("dump", "--pool", "no-such-symbol"),):
            self.assert_one_line(self.tool(*words, PLACES, "/dev/null", status=2), ".")

    def test_a_pool_that_cannot_be_had(self):
        done = self.tool("run", "--pool", "900T", "--", "true", status=None)
        self.assertIn(done.returncode, (2, 125))
        self.assert_one_line(done, "--pool")

    def test_every_byte_after_a_number(self):
        """Of what follows 64 only a unit makes it a size."""
        units = {b"K", b"M", b"G", b"T", b"B", b"k", b"m", b"g", b"t"}
        for byte in (bytes([code]) for code in range(1, 256)):
            value = b"4" + byte
            is_size = byte in units or byte.isdigit()
            variables = {b"LD_PRELOAD": os.fsencode(support.LIBRARY), b"FFALLOC_POOL": value}
            done = subprocess.run(["true"], env=variables, stderr=subprocess.PIPE)
            self.assertEqual(b"bad value" not in done.stderr, is_size, byte)
            done = subprocess.run([BUILD / "ffalloc", "size", b"--fits=" + value, "/dev/null"],
                                  stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 125 if is_size else 2, byte)
    def test_of_a_recording_leave_its_size_unknown(self):
        trace = self.record(PLACES, options=["-p", "8K"])
        size = self.object("size", "--json", "--fits=1M", trace, status=1)
        self.assertEqual((size["fits"], size["is_exact"]), (False, False))
        done = self.tool("size", "--fits=1M", trace, status=1)
        self.assert_one_line(done, "is not known: 2141 requests failed")
        self.assertIn("2141 requests while recording", done.stdout)
        self.assertNotIn("with this pool none", self.tool("report", trace, "-o", "-").stdout)
        self.assertIn("with this pool none", self.tool("report", self.record(PLACES), "-o", "-").stdout)


class Threads(ToolCase):
    """Another order of the calls needs another pool."""

    def test_are_told(self):
        trace = self.record(PLACES, "threads")
        self.assertRegex(self.tool("size", trace).stdout, r"(?m)^threads +3: .*--runs 9")
        size = self.object("size", "--json", trace)
        self.assertEqual((size["threads"], size["is_exact"]), (3, False))
        self.assertIn("3 threads", self.tool("report", trace, "-o", "-").stdout)
        text = self.tool("run", "-s", "-p", "1M", "--", PLACES, "threads").stderr
        self.assertIn("another run may need another", text)
        trace = self.record(PLACES)
        self.assertNotIn("threads", self.tool("size", trace).stdout)
        self.assertTrue(self.object("size", "--json", trace)["is_exact"])

    def test_the_least_median_and_largest_of_several_runs(self):
        size = self.object("size", "--json", "--runs=5", "--", PLACES, "threads")
        self.assertEqual((size["runs"], size["threads"]), (5, 3))
        self.assertTrue(1000 < size["least_pool"] <= size["median_pool"] <= size["largest_pool"])
        done = self.tool("size", "--runs=2", "--margin=10", "--fits=1", "--", PLACES, status=1)
        self.assert_one_line(done, "does not fit")
        found = [int(number) for number in re.findall(r"(\d+) bytes", done.stdout)]
        pool = self.object("size", "--json", self.record(PLACES))["min_pool"]
        self.assertEqual(found, [pool, pool, pool, round(pool * 1.1)])
        self.assertEqual(self.tool("size", "--runs=2", "--", PLACES, TMPDIR=str(self.folder)).stderr, "")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["trace"])

    def test_runs_that_cannot_be(self):
        for words, status in ((["--runs=0", "--", "true"], 2), (["--runs=x", "--", "true"], 2),
                              (["--runs=2"], 2), (["--runs=2", "--", "no-such-program"], 127),
                              (["--runs=2", "--", "/etc/passwd"], 126)):
            self.assert_one_line(self.tool("size", *words, status=status), ".")


class Exec(ToolCase):
    """What a process called before it became another program is kept."""

    def compiled(self, calls=50):
        source, program = self.folder / "exec.c", self.folder / "exec"
        source.write_text(f"""
            #include <stdlib.h>
            #include <unistd.h>
            int main(int count, char **words)
            {{
                for (int i = 0; i < {calls}; i++) free(malloc(i * 7919 % 1000));
                if (count > 1) execv(words[1], words + 1);
                return 3;
            }}""")
        subprocess.run([need("gcc"), "-w", "-O0", "-fno-builtin", source, "-o", program], check=True)
        return program

    def events_of(self, trace):
        return self.object("replay", "--json", trace)["events"]

    def test_keeps_each_program_in_a_trace_of_its_own(self):
        program = self.compiled()
        silent = self.folder / "silent"
        silent.write_text("")
        subprocess.run([need("gcc"), "-xc", "-", "-o", silent], input=b"int main(void) { return 0; }",
                       check=True)
        for output in ("trace", "trace.%p"):
            folder = self.folder / f"of-{len(output)}"
            folder.mkdir()
            done = self.tool("record", "-o", folder / output, "--", program, program, silent)
            traces = sorted(folder.iterdir())
            self.assertEqual([self.events_of(trace) for trace in traces], [0, 100, 100])
            self.assertEqual([trace.name.removeprefix(traces[0].name) for trace in traces],
                             ["", ".1", ".2"])
            self.assertEqual(done.stderr.count("became another program; its 100 events"), 2)

    def test_keeps_what_was_before_a_program_that_is_not_recorded(self):
        program = self.compiled()
        for words in ((program, "/no/such/program"), ("sh", "-c", f"exec {program} /bin/false")):
            trace = self.record(*words, options=["--only", "exec"], status=None)
            self.assertEqual(self.events_of(trace), 100)

    def test_says_what_a_pipe_cannot_keep(self):
        """The one trace is of the last program, however long that of the first has become; and who
        reads a named pipe is not left behind with half of it."""
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        for calls in (50, 50000):
            program = self.compiled(calls)
            for output in ("-", pipe):
                words = [BUILD / "ffalloc", "record", "-o", output, "--", program, program]
                reader = subprocess.Popen(["cat", pipe if output == pipe else "-"], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE)
                self.addCleanup(reader.kill)
                done = subprocess.run(words, stdout=reader.stdin, stderr=subprocess.PIPE, timeout=60)
                content = reader.communicate(timeout=60)[0]
                self.assertIn(f"{2 * calls} events before that are dropped", done.stderr.decode())
                (self.folder / "trace").write_bytes(content)
                self.assertEqual(self.events_of(self.folder / "trace"), 2 * calls)


class Sites(ToolCase):
    """Each exported function that allocates or frees is recorded with its caller."""

    CALLS = """
        #include <malloc.h>
        #include <stdlib.h>
        void cfree(void *);
        void free_sized(void *, size_t);
        void free_aligned_sized(void *, size_t, size_t);
        #pragma weak cfree
        #pragma weak free_sized
        #pragma weak free_aligned_sized
        void *volatile block;
        int main(void)
        {
            block = malloc(1); free(block);
            block = calloc(1, 1); cfree(block);
            block = realloc(NULL, 1); block = realloc(block, 9000); free_sized(block, 9000);
            block = reallocarray(NULL, 1, 1); realloc(block, 0);
            block = memalign(64, 1); free_aligned_sized(block, 64, 1);
            block = aligned_alloc(64, 64); free(block);
            void *aligned; posix_memalign(&aligned, 64, 1); free(aligned);
            block = valloc(1); free(block);
            block = pvalloc(1); free(block);
            block = malloc((size_t)-1); block = calloc(-1, 9); block = realloc(NULL, -1);
            block = aligned_alloc(64, -64); posix_memalign(&aligned, 64, -64); block = pvalloc(-1);
            return 0;
        }"""

    def test_are_the_callers(self):
        source, program = self.folder / "calls.c", self.folder / "calls"
        source.write_text(self.CALLS)
        subprocess.run([need("gcc"), "-w", "-g", "-O0", "-fno-omit-frame-pointer", source, "-o",
                        program], check=True)
        names = re.findall(r"^    (\w+);$", (SOURCE / "src/preload/exports.map").read_text(), re.M)
        allocating = [name for name in names if re.search("alloc|free|memalign", name)
                      and not name.startswith("ffalloc_")
                      and name not in ("malloc_usable_size", "malloc_trim", "malloc_stats", "malloc_info")]
        for name in allocating:
            self.assertIn(f"{name}(", self.CALLS)
        ways = ["caller", "fp"] + ["unwind"] * (BUILD / "libffalloc-unwind.so").exists()
        for way in ways:
            events = self.events(self.record(program, options=["--backtrace", way]))
            events = [event for event in events if event["site"]]
            self.assertGreater(len(events), 20)
            for event in events:
                self.assertRegex(event["site"], r"^main calls\.c:\d+$", event)


if __name__ == "__main__":
    unittest.main()
