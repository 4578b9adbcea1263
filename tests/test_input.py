# SPDX-License-Identifier: MIT
"""What the ffalloc command is given that is odd: names, damaged files, pipes and streams that are closed."""

import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import unittest

from support import BUILD, CHILDREN, need
from tool import ToolCase, ring_folders

PLACES = CHILDREN / "places"


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


if __name__ == "__main__":
    unittest.main()
