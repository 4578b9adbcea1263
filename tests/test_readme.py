# SPDX-License-Identifier: MIT
"""The README works when typed line by line, and its figures are those printed."""

import os
import re
import struct
import subprocess

from support import BUILD, SOURCE, need
import readme
import support
from tool import ToolCase

TEXT = (SOURCE / "README.md").read_text()
# What a user of the README may have in the environment: nothing of it changes a figure.
OWN = {"LANG": "C.UTF-8", "A_VARIABLE": "of the user's"}


class Readme(ToolCase):
    def setUp(self):
        super().setUp()
        (self.folder / "tools").mkdir()
        (self.folder / "build").mkdir()
        (self.folder / "build/demo").symlink_to(BUILD)
        demo = self.folder / "tools/demo"
        demo.write_text("#!/bin/sh\necho built\n")
        demo.chmod(0o755)

    def test_each_command_prints_what_is_said(self):
        need("mawk")
        self.assertGreater(len(readme.commands(TEXT)), 8)
        for own in ({}, OWN):
            found = readme.differences(TEXT, self.folder, support.environment(COLUMNS="80", **own))
            self.assertEqual(found, [], "\n\n".join(found))

    def test_gdb_loads_its_commands_as_said(self):
        [line] = re.findall(r"^    \(gdb\) (source .*)$", TEXT, re.M)
        words = [need("gdb"), "-q", "-batch", "-ex", line, "-ex", "help ff"]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        self.assertIn("ff heap", done.stdout, done.stderr)

    def code(self, first):
        """The lines of a listing that begins so."""
        return re.sub(r"(?m)^    ", "", re.search(rf"(?m)(^    {re.escape(first)}.*\n(?:    .*\n|\n(?=    ))*)", TEXT).group(1))

    def test_its_firmware_compiles_and_runs(self):
        source, program = self.folder / "main.c", self.folder / "main"
        core = sorted((SOURCE / "src/core").glob("*.c"))
        for text, libraries in (
                (self.code("#include <ffalloc/ffalloc.h>"), core),
                (self.code("#include <ffalloc/regions.h>"), core + sorted((SOURCE / "src/regions").glob("*.c"))),
                (self.code("#include <ffalloc/arena.h>") + "int main(void) { return 0; }\n",
                 [BUILD / "libffalloc-arena.a"])):
            source.write_text(text)
            done = subprocess.run([need("gcc"), "-Wall", "-Wextra", "-Werror", f"-I{SOURCE / 'include'}", source, *libraries,
                                   "-o", program], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            subprocess.run([program], check=True)

    def test_its_commands_are_those_of_the_command(self):
        said = set(re.findall(r"(?m)^\| `([a-z]+)` \|", TEXT))
        self.assertEqual(said, set(re.findall(r"(?m)^  ([a-z]+)  ", self.tool("--help").stdout)))

    def test_the_files_it_names_are_there(self):
        for path in re.findall(r"\]\(([^)#:]+)\)", TEXT):
            self.assertTrue((SOURCE / path).exists(), path)

    def test_its_chart_is_that_of_the_bench(self):
        figures = (SOURCE / "bench/README.md").read_text()
        lines = re.findall(r"^    [a-z_0-9]+ +[0-9.]+ #+$", TEXT, re.M)
        self.assertEqual(len(lines), 5)
        for line in lines:
            self.assertIn(line, figures)

    def test_its_picture_is_small(self):
        picture = (SOURCE / "doc/report.png").read_bytes()
        width, height = struct.unpack(">II", picture[16:24])
        self.assertLess(len(picture), 100000)
        self.assertTrue(600 < width < 1200 and 600 < height < 1200)

    def test_a_wrong_figure_is_seen(self):
        text = TEXT.replace("events         8033", "events         8034")
        self.assertEqual(len(readme.differences(text, self.folder, support.environment())), 1)


class Figures(ToolCase):
    """Each figure of the README that no command in it prints is measured, or is the bench's."""

    TRACE = SOURCE.parent / "shared/traces/emb_mbedtls_client_32.trc.zst"

    def said(self, pattern):
        return re.search(pattern.replace(" ", r"\s+"), TEXT).groups()

    def test_of_code_and_speed_are_the_benchs(self):
        bench = (SOURCE / "bench/README.md").read_text()

        def code(row):
            size = re.search(rf"Cortex-M4 . {re.escape(row)} . (\d+)", bench).group(1)
            return f"{int(size) / 1000:.1f}"

        ways = (code("malloc, free"), code("malloc, free, FFALLOC_SMALL"))
        self.assertEqual(self.said(r"`malloc` and `free` have ([\d.]+) KB of code, or ([\d.]+) with"), ways)
        self.assertEqual(self.said(r"`malloc` and `free` take ([\d.]+) KB, or ([\d.]+) KB and"), ways)
        self.assertEqual(self.said(r"everything ([\d.]+) KB or ([\d.]+)"),
                         (code("everything"), code("everything, FFALLOC_SMALL")))
        mean = re.search(r"core alone, Cortex-M4 .*?geometric mean +([\d.]+)", bench, re.S).group(1)
        self.assertEqual(self.said(r"a call takes (\d+) instructions here"), (f"{float(mean):.0f}",))
        self.assertIn(f"| 150 | {float(mean):.1f} |", bench)
        third = 1 / float(re.search(r"desktop / mimalloc +[\d.]+ +([\d.]+)", bench).group(1))
        self.assertAlmostEqual(third, 1 / 3, delta=0.03)

    def test_of_the_stack_are_the_ports(self):
        ports = (SOURCE / "ports/README.md").read_text()
        stack = [re.search(rf"\| {target} \| (\d+) ", ports).group(1)
                 for target in (r"Cortex-M4", r"Cortex-M0\+", r"Cortex-M0\+, FFALLOC_SMALL")]
        self.assertEqual(list(self.said(r"`malloc` needs up to (\d+) bytes there, and on a Cortex-M0\+ (\d+), or (\d+)")),
                         stack)

    def test_of_metadata(self):
        device, desktop = self.said(r"in the pool, ([\d.]+) % of 64 KiB at granule 8[^(]* ([\d.]+) % at granule 16")
        [large] = self.said(r"Its metadata takes ([\d.]+) % of it at granule 16")
        for pool, size, percent in (("64K:cortex-m", 1 << 16, device), ("64K", 1 << 16, desktop), ("1G", 1 << 30, large)):
            stats = self.stats_of(self.tool("run", "-sjson", "-p", pool, "--", "true"))
            self.assertEqual(f"{100 * (1 - stats['usable_size'] / size):.1f}", percent, pool)

    def test_of_blocks_in_a_small_pool(self):
        source, program = self.folder / "fill.c", self.folder / "fill"
        source.write_text("""
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            int main(int count, char **words)
            {
                int blocks = 0;
                char text[20];
                for (; malloc(atoi(words[1])); blocks++) ;
                return write(1, text, sprintf(text, "%d", blocks)) < 0;
            }""")
        subprocess.run([need("gcc"), "-w", "-O0", "-fno-builtin", source, "-o", program], check=True)
        said = self.said(r"hold (\d+) blocks of 100 bytes, \d+ with umm_malloc \(and (\d+) of 16 bytes")
        found = [self.tool("run", "--pool", "64K:cortex-m", "--", program, size).stdout for size in ("100", "16")]
        self.assertEqual(found, list(said))

    def test_of_offsets_everywhere(self):
        """That the other machines have them, too, is for test_firmware."""
        if not self.TRACE.exists():
            self.skipTest("no traces here")
        usable = self.object("size", "--json", "-g8", self.TRACE)["min_usable"]
        hashes = [self.object("replay", "--json", "-g8", f"-u{size}", self.TRACE, status=None)["offsets"]
                  for size in (usable, usable * 2 // 3)]
        self.assertEqual(list(self.said(r"x86-64 \| 64 bits \| little-endian \| `(\w+)` \| `(\w+)`")), hashes)


class Reader(ToolCase):
    def test_commands_and_what_they_print(self):
        text = "a\n\n    $ echo 'one\n      two'\n    one\n    ...\n    $ true\n\n    no command\n"
        self.assertEqual(readme.commands(text), [("echo 'one\n  two'", ["one", "..."]), ("true", [])])
        self.assertEqual(len(readme.differences(text, self.folder, dict(os.environ))), 0)
        self.assertEqual(len(readme.differences(text.replace("    one\n", "    two\n"), self.folder)), 1)


class Sizing(ToolCase):
    def test_several_runs_are_recorded_as_said(self):
        page = (SOURCE / "doc/sizing.md").read_text()
        [words] = re.findall(r"(?m)^    ffalloc (size --runs .*)$", page)
        done = self.tool(*words.replace("./app", str(BUILD / "tests/places")).split())
        self.assertIn("median", done.stdout)

    def test_each_figure_is_explained(self):
        page = (SOURCE / "doc/sizing.md").read_text()
        done = self.tool("run", "--stats", "--", "ls", "/")
        trace = self.record("ls", "/")
        text = done.stderr.split("\n", 1)[1] + self.tool("size", "--margin=5", trace).stdout
        labels = set(re.findall(r"^ *([a-z][a-z -]*?)(?:  |, | of [0-9])", text, re.M))
        labels |= {"fragmentation", "payload", "rounding", "metadata"}
        self.assertGreater(len(labels), 12)
        for label in labels:
            self.assertIn(f"`{label}", page)
