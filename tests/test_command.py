# SPDX-License-Identifier: MIT
"""What the ffalloc command answers: nothing that is not so, and one line with the right status for
whatever makes no sense."""

import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import time
import unittest

from support import BUILD, CHILDREN, SOURCE, need
import support
from tool import ToolCase, ring_folders

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


class Names(ToolCase):
    """Whatever programs, arguments and files are called, what is shown is text, and stays in its
    place."""

    ODD = ("caf\udce9<!--<script>", "</script><img src=x>\33[31mred\33[0m", "=1\x9b5m\nb" + "\udcff" * 300)

    def record_named(self, name):
        program = self.folder / name.replace("/", "|")[:60]
        os.link(self.copy, program)
        trace = self.folder / ("trace-" + program.name)
        self.tool("record", "-o", trace, "--", program, name)
        return trace

    def setUp(self):
        super().setUp()
        self.copy = self.folder / "copy"
        shutil.copy(PLACES, self.copy)

    def assert_clean(self, text):
        """No control character but the line's end."""
        odd = {letter for letter in set(text) if not letter.isprintable() and letter != "\n"}
        self.assertEqual(odd, set())

    def test_are_shown(self):
        for name in self.ODD:
            with self.subTest(name=name):
                trace = self.record_named(name)
                for words in (["size", "--json", trace], ["size", trace, trace], ["map", "--json", trace],
                              ["why", trace], ["why", "--json", trace], ["replay", "--json", trace], ["report", "-o", "-", trace],
                              *(["export", "-o", "-", f"--format={kind}", trace]
                                for kind in ("massif", "csv", "heaptrack", "chrome"))):
                    done = subprocess.run([BUILD / "ffalloc", *words], capture_output=True)
                    self.assertEqual((done.returncode, done.stderr), (0, b""), words)
                    text = done.stdout.decode()  # or it is no UTF-8
                    if words[0] != "report":
                        self.assert_clean(text.replace("\t", ""))
                    if "json" in f"{words}" or "chrome" in f"{words}":
                        json.loads(text)
                self.tool("export", "--format=pprof", "-o", self.folder / "out", trace)
                page = self.tool("report", "-o", "-", trace).stdout
                self.assertNotIn("<!--<script>", page)
                self.assertNotIn("<img", page)

    def test_are_shown_in_messages(self):
        for name in self.ODD:
            with self.subTest(name=name):
                program = self.folder / name.replace("/", "|")[:60]
                os.link(self.copy, program)
                for options in (["-s"], ["-sjson"]):
                    done = subprocess.run([BUILD / "ffalloc", "run", "-p8K", *options, "--", program],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                    self.assert_clean(done.stderr.decode())
                json.loads(done.stderr.decode().splitlines()[-1])
                missing = f"{self.folder}/no/{name}"
                for words in (["size", missing], ["map", missing], ["dump", missing, missing],
                              ["run", "--", missing], ["run", "--pool", name, "--", "true"],
                              ["sweep", "--", missing], ["map", "--by", name, missing], [name]):
                    done = subprocess.run([BUILD / "ffalloc", *words], capture_output=True)
                    self.assertIn(done.returncode, (2, 125, 127), words)
                    self.assert_clean(done.stderr.decode())
                    self.assertNotIn(b"Traceback", done.stderr)
                    self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def test_of_fields_are_no_formulas(self):
        source, program = self.folder / "formula.c", self.folder / "formula"
        source.write_text("""
            #include <stdlib.h>
            void *call(void) { return malloc(9); }
            int main(void) { return !call(); }""")
        part = self.folder / "formula.o"
        subprocess.run([need("gcc"), "-c", "-O0", source, "-o", part], check=True)
        subprocess.run([need("objcopy"), "--redefine-sym", "call==HYPERLINK(1)", part], check=True)
        subprocess.run(["gcc", part, "-o", program], check=True)
        sites = [event["site"] for event in self.events(self.record(program))]
        self.assertTrue(any("HYPERLINK" in site for site in sites), sites)
        for site in sites:
            self.assertNotRegex(site, r"^[=+@-]")


class Damage(ToolCase):
    """No input, however odd, ends in a traceback: one line, the right status."""

    def trace(self, process, end='{"events":1}', maps=""):
        def record(op, text):
            text = text.encode() if isinstance(text, str) else text
            return struct.pack("<BBHIQII", op, 0, 0, 0, len(text), 0, 0) + text + b"\0" * (-len(text) % 8)

        trace = self.folder / "trace"
        trace.write_bytes(struct.pack("<4sIQ", b"FTRC", 2, 2**64 - 1) + record(128, process)
                          + struct.pack("<BBHIQII", 1, 0, 0, 0, 5, 0, 0) + record(130, maps)
                          + record(131, end))
        return trace

    def test_process_records(self):
        for process in ("", "null", "5", "[]", "[[[", '"text"', "{}", '{"command":5}', '{"command":[1,2]}',
                        '{"command":{"a":1},"program":[],"process":"x","granule":"y"}',
                        '{"granule":1e400,"process":1e400}', b'{"command":["\xff\xfe"]}', "[" * 5000,
                        '{"command":["\\ud800"]}', "\0"):
            end = '{"status":"x","signal":[]}' if process.startswith((b"{", b"[") if isinstance(process, bytes)
                                                                      else ("{", "[")) else "[]"
            trace = self.trace(process, end, maps="nonsense\n7f-zz r-xp /etc/passwd\n")
            for words in (["size"], ["why"], ["replay"], ["report", "-o", "-"],
                          *(["export", "-o", "-", "--format", kind] for kind in ("massif", "chrome", "csv"))):
                done = self.tool(*words, trace)
                self.assertEqual(done.stderr, "", (process, end, words))

    def test_elf_files(self):
        draw = random.Random(1)
        content = (CHILDREN / "arena").read_bytes()
        image = self.folder / "image"
        image.write_bytes(b"\0" * 4096)
        elf = self.folder / "elf"
        elf.touch(0o755)
        for _ in range(15):
            damaged = bytearray(content[:draw.choice((20, 64, 100, 1000, len(content)))])
            for _ in range(draw.randint(1, 30)):
                damaged[draw.randrange(min(len(damaged), draw.choice((64, 700, len(damaged)))))] = draw.randrange(256)
            damaged[:5] = content[:5]
            elf.write_bytes(damaged)
            for words in ([elf, image], [PLACES, elf]):
                done = self.tool("dump", *words, status=None)
                self.assertIn(done.returncode, (0, 1, 125))
                if done.returncode == 125:
                    self.assert_one_line(done, ".")
            done = self.tool("run", "--pool=1T", "--granule=8", "--", elf, status=None)
            self.assertNotIn("Traceback", done.stderr)


class Streams(ToolCase):
    def test_a_trace_to_standard_output(self):
        with subprocess.Popen([BUILD / "ffalloc", "record", "-o", "-", "--", PLACES], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as recorder:
            content, talk = recorder.communicate()
        self.assertIn(b"ffalloc: standard output: ", talk)
        self.assertIn(b"\n16\n", talk)  # what the program prints
        trace = self.folder / "trace"
        trace.write_bytes(content)
        self.assertFalse(pathlib.Path("-").exists())
        self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")
        with open(trace, "wb") as file:
            subprocess.run([BUILD / "ffalloc", "record", "-o", "-", "--", PLACES], stdout=file,
                           stderr=subprocess.DEVNULL, check=True)
        self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")

    def test_are_read_as_files_are(self):
        """By every command, also one that reads a trace of aligned requests several times."""
        trace, pipe = self.record(PLACES), self.folder / "pipe"
        os.mkfifo(pipe)
        exports = [["export", "-o", "-", "--format", kind]
                   for kind in ("massif", "heaptrack", "pprof", "chrome", "json", "csv")]
        for words in (["size", "--json"], ["replay", "--json"], ["events", "csv"], ["data"], ["why"], ["map"],
                      ["map", "--json"], ["map", "--svg", "-"], ["report", "-o", "-"], *exports):
            with self.subTest(words):
                of_file = self.output_of(words, trace)
                of_input = self.output_of(words, "-", input=trace.read_bytes())
                with subprocess.Popen(["cp", trace, pipe]):
                    of_pipe = self.output_of(words, pipe)
                self.assertEqual(of_input, of_file)
                self.assertEqual(of_pipe, of_file)

    def output_of(self, words, trace, **settings):
        """What a command prints, with one name for every trace."""
        done = subprocess.run([BUILD / "ffalloc", *words, trace], capture_output=True, timeout=60, **settings)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.replace(f'"{trace}"'.encode(), b'"-"')

    def test_that_are_closed_leave_nothing_behind(self):
        before = ring_folders()
        for redirect in ("2>&-", ">&-", "<&- >&- 2>&-", "2>&1 | true", "2>/dev/full"):
            trace = self.folder / "trace"
            script = f"{BUILD / 'ffalloc'} record -o {trace} -- sh -c '{PLACES} >/dev/null; exit 0' {redirect}"
            subprocess.run(["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")
            self.assert_no_ring_stays(before, redirect)

    def test_a_failure_leaves_no_folder(self):
        before = ring_folders()
        self.tool("record", "-o", self.folder / "no/where", "--", "true", status=125)
        self.tool("record", "-o", "/dev/full", "--", PLACES, status=125)
        self.assert_no_ring_stays(before)

    def test_messages_name_the_file_asked_for(self):
        trace = self.record(PLACES)
        disk = self.folder / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk]).returncode:
            self.skipTest("no disk can be mounted here")
        try:
            for words in (["report"], ["map", "--svg", disk / "out"], ["export", "--format=json"],
                          ["export", "--format=csv"]):
                output = [] if words[0] == "map" else ["-o", disk / "out"]
                done = self.tool(*words, *output, trace, status=125)
                self.assertEqual(done.stderr, f"ffalloc: {disk / 'out'}: No space left on device\n")
                self.assertEqual(list(disk.iterdir()), [])
        finally:
            subprocess.run(["umount", disk], check=True)


class Sizes(ToolCase):
    """With aligned requests the pool is looked for in steps that halve."""

    def trace(self, seed, largest_log2):
        draw = random.Random(seed)
        live, free, records, count = [], [], [], 0
        for _ in range(1500):
            if live and draw.random() < 0.47:
                number = live.pop(draw.randrange(len(live)))
                free.append(number)
                records.append((4, 0, 0, number, 0))
                continue
            number = free.pop() if free else count
            count += number == count
            live.append(number)
            if draw.random() < 0.5:
                records.append((5, draw.randint(6, largest_log2), 0, number,
                                draw.choice((1, 200, 1000, 1024, 4096, 9000))))
            else:
                records.append((1, 0, 0, number, draw.randint(1, 1500)))
        trace = self.folder / f"{seed}"
        trace.write_bytes(struct.pack("<4sIQ", b"FTRC", 1, len(records))
                          + b"".join(struct.pack("<BBHII", *record) for record in records))
        return trace

    def test_are_found_soon_and_are_exact(self):
        start = time.monotonic()
        for seed in range(40):
            trace = self.trace(seed, 10 + seed % 16)
            usable = self.object("size", "--json", trace)["min_usable"]
            self.tool("replay", f"--usable={usable}", trace)
            self.tool("replay", f"--usable={usable - 16}", trace, status=1)
        self.assertLess(time.monotonic() - start, 60)


class Growth(ToolCase):
    """A block that grows in place at the mark moves into a lower hole in a smaller pool, if there is one."""

    def trace(self, name, records):
        trace = self.folder / name
        trace.write_bytes(struct.pack("<4sIQ", b"FTRC", 1, len(records))
                          + b"".join(struct.pack("<BBHII", *record) for record in records))
        return trace

    def assert_exact(self, trace):
        usable = self.object("size", "--json", trace)["min_usable"]
        self.tool("replay", f"--usable={usable}", trace)
        self.tool("replay", f"--usable={usable - 16}", trace, status=1)
        return usable

    def test_moves_into_a_hole_below(self):
        trace = self.trace("moves", [(1, 0, 0, 0, 1000), (1, 0, 0, 1, 16), (4, 0, 0, 0, 0), (3, 0, 0, 1, 500)])
        self.assertEqual(self.assert_exact(trace), 1024)
        why = self.object("why", "--json", trace)
        self.assertEqual(why["least_pool"], self.object("size", "--json", trace)["min_pool"])
        self.assertEqual(why["least_pool"], self.object("data", trace)["min_pool"])
        self.assertIn("moves into a hole", " ".join(self.tool("why", trace).stdout.split()))

    def test_in_small_steps_is_found_soon(self):
        """Each pool of a granule less is enough again, down to half."""
        count = 30000
        steps = [(3, 0, 0, 1, 16 * size) for size in range(2, count)]
        trace = self.trace("steps", [(1, 0, 0, 0, 16 * count), (1, 0, 0, 1, 16), (4, 0, 0, 0, 0), *steps])
        start = os.times()
        self.assertLess(self.assert_exact(trace), 17 * count)
        end = os.times()
        self.assertLess(end.children_user - start.children_user, 10)

    def test_stays_exact_in_runs_of_many_such_blocks(self):
        lower = 0
        for seed in range(40):
            draw = random.Random(seed)
            live, records = [0], [(1, 0, 0, 0, draw.randint(1, 20000))]
            for number in range(1, 50):
                records.append((1, 0, 0, number, draw.randint(1, 400)))
                live.append(number)
                if draw.random() < 0.3:
                    records.append((4, 0, 0, live.pop(draw.randrange(1, len(live))), 0))
                elif draw.random() < 0.3:
                    records.append((3, 0, 0, live[-1], draw.randint(1, 3000)))
            records.append((4, 0, 0, 0, 0))
            for _ in range(20):
                records.append((3, 0, 0, draw.choice(live[-5:]), draw.randint(1, 3000)))
            trace = self.trace(f"{seed}", records)
            mark = int(re.search(r"high-water mark (\d+)", self.tool("replay", trace).stdout)[1])
            lower += self.assert_exact(trace) < mark
        self.assertGreater(lower, 0, "none of them moved")


class Alignments(ToolCase):
    """Pools begin at one remainder of every alignment up to 2 MiB: what size says holds in each run."""

    PROGRAM = """
        #include <stdio.h>
        #include <stdlib.h>
        static unsigned state = 1;
        static unsigned draw(unsigned limit) { state = state * 1103515245u + 12345u; return state / 65536 % limit; }
        int main(int count, char **words)
        {
            static void *blocks[100];
            int failed = 0;
            for (int i = 0; i < 3000; i++) {
                unsigned at = draw(100);
                if (blocks[at]) { free(blocks[at]); blocks[at] = NULL; }
                else failed += posix_memalign(&blocks[at], (size_t)16 << draw(atoi(words[count - 1])), draw(3000) + 1) != 0;
            }
            printf("%d\\n", failed);
            return 0;
        }"""

    def compiled(self):
        source, program = self.folder / "aligned.c", self.folder / "aligned"
        source.write_text(self.PROGRAM)
        subprocess.run([need("gcc"), "-w", "-O1", source, "-o", program], check=True)
        return program

    def test_the_pool_is_exact_in_every_run(self):
        program = self.compiled()
        for log2 in (13, 16, 21):
            words = [program, f"{log2 - 3}"]
            trace = self.record(*words, name=f"{log2}")
            self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")
            pool = self.object("size", "--json", trace)["min_pool"]
            for less, has_failed in ((0, False), (1, True)):
                for _ in range(6):
                    failed = int(self.tool("run", f"--pool={pool - less}", "--", *words).stdout)
                    self.assertEqual(failed > 0, has_failed, f"2^{log2} in {pool} less {less}")

    def test_larger_ones_are_told(self):
        program = self.compiled()
        for log2, is_told in ((21, False), (24, True)):
            text = self.tool("run", "-s", "--", program, f"{log2 - 3}").stderr
            self.assertEqual("above 2 MiB" in text, is_told, text)


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
