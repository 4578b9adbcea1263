# SPDX-License-Identifier: MIT
"""gdb's ff commands, and ffalloc dump, over processes, core files and images of a device's memory."""

import re

from support import BUILD, CHILDREN, SOURCE, need
import support
from tool import ToolCase

GDB_COMMANDS = SOURCE / "tools/ffalloc/gdb_commands.py"


class Gdb(ToolCase):
    def gdb(self, *commands, program=CHILDREN / "arena", core=(), **variables):
        words = [need("gdb"), "-q", "-batch", "-iex", "set debuginfod enabled off"]
        words += [word for command in commands for word in ("-ex", command)]
        return support.run([*words, program, *core], preload=None, **variables).stdout

    def live(self, *commands):
        preload = f"set environment LD_PRELOAD {BUILD / 'libffalloc.so'}"
        return self.gdb("set startup-with-shell off", preload, "set environment FFALLOC_POOL 4M",
                        "set args crash", "run",
                        f"source {GDB_COMMANDS}", *commands, program=CHILDREN / "places")

    def test_live_process(self):
        text = self.live("ff heap", "ff check", "ff stats", "ff map", "frame function main",
                         "ff block base", "ff block base + 3", "ff block 1")
        self.assertRegex(text, r"pool at 0x[0-9a-f]+: \d+ usable bytes")
        self.assertRegex(text, r"pool at 0x[0-9a-f]+: sound")
        self.assertRegex(text, r"block_count +\d+")
        self.assertRegex(text, r"is 0 bytes inside a used block of 16 bytes")
        self.assertRegex(text, r"is 3 bytes inside a used block of 16 bytes")
        self.assertIn("0x1 is in no pool", text)

    def test_core_file_and_dump(self):
        core = self.folder / "core"
        self.live(f"generate-core-file {core}")
        text = self.gdb(f"source {GDB_COMMANDS}", "ff stats", program=CHILDREN / "places", core=[core])
        pool = self.object("dump", "--json", CHILDREN / "places", core)[0]
        self.assertEqual(pool["faults"], [])
        for name in ("block_count", "used_size", "high_water_size", "alloc_count"):
            self.assertIn(f"{name:22} {pool[name]}\n", text)
        self.assertIn("usable bytes", self.tool("dump", CHILDREN / "places", core).stdout)

    def test_a_heap_that_grows_ends_at_its_mark(self):
        core = self.folder / "core"
        text = self.gdb("set startup-with-shell off", f"set environment LD_PRELOAD {BUILD / 'libffalloc.so'}",
                        "set args crash", "run", f"source {GDB_COMMANDS}", "ff heap", "ff heap -v", "ff map",
                        "ff check", f"generate-core-file {core}", program=CHILDREN / "places")
        self.assertRegex(text, r"pool at 0x[0-9a-f]+: \d+ bytes below the high-water mark")
        self.assertRegex(text, r"pool at 0x[0-9a-f]+: sound")
        pool = self.object("dump", "--json", "--blocks", CHILDREN / "places", core)[0]
        self.assertEqual(pool["faults"], [])
        self.assertEqual(pool["usable_size"], pool["high_water_size"])
        self.assertEqual(pool["free_size"], pool["high_water_size"] - pool["used_size"])
        self.assertEqual(sum(block["size"] for block in pool["blocks"]), pool["high_water_size"])
        self.assertLessEqual(pool["largest_hole_size"], pool["free_size"])
        self.assertLess(core.stat().st_size, 8 << 20)

    def test_they_fit_the_terminal(self):
        core = self.folder / "core"
        commands = ("ff heap", "ff map")
        self.live(f"generate-core-file {core}")
        for columns in (60, 80, 120):
            texts = [self.live(f"set width {columns}", *commands),
                     self.gdb(f"source {GDB_COMMANDS}", *commands, program=CHILDREN / "places", core=[core],
                              COLUMNS=str(columns)),
                     self.tool("dump", CHILDREN / "places", core, COLUMNS=str(columns)).stdout]
            for text in texts:
                lines = re.findall(r"(?m)^(?:pool at|  (?! )).*", text)
                widest = max(map(len, lines))
                self.assertLessEqual(widest, columns, text)
                self.assertGreater(widest, min(columns, 80) - 20)

    def test_the_numbers_are_the_cores_own(self):
        """What Python reads of the header is what the library says of itself."""
        stats = self.stats_of(support.run([CHILDREN / "places"], FFALLOC_STATS="json", FFALLOC_POOL="4M"))
        core = self.folder / "core"
        self.gdb("set startup-with-shell off", f"set environment LD_PRELOAD {BUILD / 'libffalloc.so'}",
                 "set environment FFALLOC_POOL 4M", "catch syscall exit_group", "run", f"generate-core-file {core}",
                 program=CHILDREN / "places")
        pool = self.object("dump", "--json", CHILDREN / "places", core)[0]
        for name in ("granule", "peak_used_size", "high_water_size", "alloc_count", "free_count",
                     "largest_request_size", "used_size", "hole_count", "block_count"):
            self.assertEqual(pool[name], stats[name], name)

    def test_images_that_are_none(self):
        self.assert_one_line(self.tool("dump", "/etc/passwd", "/dev/null", status=125), "no ELF file")
        self.assert_one_line(self.tool("dump", CHILDREN / "places", "/dev/null", status=125), "--pool")
        self.assert_one_line(self.tool("dump", CHILDREN / "arena", "/dev/null", status=125), "--base")
