# SPDX-License-Identifier: MIT
"""The same algorithm on machines that are not this one, in QEMU: the core's unit tests, a replay of
embedded traces, and a firmware whose malloc it is."""

import json
import pathlib
import re
import socket
import struct
import subprocess
import tempfile
import unittest

import support
from support import BUILD, SOURCE, TestCase, need

TRACES = sorted((SOURCE.parent / "shared/traces").glob("emb_*.trc.zst"))
PROGRAMS = BUILD / "tests/firmware"

def cortex(board):
    return ("qemu-system-arm", "-M", board, "-nographic", "-monitor", "none", "-serial", "none",
            "-semihosting", "-kernel")


CORTEX_M3 = cortex("mps2-an385")
RV32 = ("qemu-system-riscv32", "-M", "virt", "-bios", "none", "-nographic", "-monitor", "none",
        "-serial", "none", "-semihosting", "-kernel")
# Name: how a program of it runs, the ending of its file.
MACHINES = {
    "native": ((), "-native"),
    "i386": ((), "-i386"),
    "i386-small": ((), "-i386-small"),
    "cortex-m3": (CORTEX_M3, "-cortex-m3.elf"),
    "cortex-m3-small": (CORTEX_M3, "-cortex-m3-small.elf"),
    "cortex-m4": (cortex("mps2-an386"), "-cortex-m4.elf"),
    "rv32": (RV32, "-rv32.elf"),
    "s390x": (("qemu-s390x",), "-s390x"),
    "aarch64": (("qemu-aarch64",), "-aarch64"),
}


def run(machine, name, folder=None, timeout=600):
    """What a program prints on a machine; a skip, with a line, where that cannot be."""
    words, ending = MACHINES[machine]
    program = PROGRAMS / f"{name}{ending}"
    if not program.exists():
        raise unittest.SkipTest(f"{program.name} was not built")
    if words:
        need(words[0])
    done = subprocess.run([*words, program], cwd=folder, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    return done.returncode, done.stdout


def records(path):
    return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout


class Unit(TestCase):
    """The core's own test cases."""

    def assert_passes(self, machine):
        status, text = run(machine, "unit")
        self.assertEqual(status, 0, text[-2000:])
        passed = int(re.search(r"(\d+) passed, 0 failed", text).group(1))
        self.assertGreater(passed, 25)

    def test_cortex_m3(self):
        self.assert_passes("cortex-m3")

    def test_cortex_m3_small(self):
        self.assert_passes("cortex-m3-small")

    def test_cortex_m4(self):
        self.assert_passes("cortex-m4")

    def test_rv32(self):
        self.assert_passes("rv32")

    def test_s390x(self):
        self.assert_passes("s390x")

    def test_aarch64(self):
        self.assert_passes("aarch64")


@unittest.skipUnless(TRACES, "no traces here")
class SameOffsets(TestCase):
    def replay(self, machine, granules, trace):
        """(hash, failures) of a trace in a pool of so many granules."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "replay.in").write_bytes(struct.pack("<I", granules) + trace)
            status, text = run(machine, "replay", folder)
        self.assertEqual(status, 0, text)
        return text.split()

    def assert_same(self, machine):
        for path in TRACES:
            trace = records(path)
            size = json.loads(subprocess.run(
                [BUILD / "ffalloc", "size", "--json", "--granule=8", path], capture_output=True).stdout)
            # In the pool that it needs, and in one in which requests fail.
            for granules in (size["min_usable"] // 8, size["min_usable"] // 12):
                expected = self.replay("native", granules, trace)
                self.assertEqual(self.replay(machine, granules, trace), expected, path.name)
                self.assertEqual(expected[1] == "0", granules == size["min_usable"] // 8)

    def test_i386(self):
        self.assert_same("i386")

    def test_i386_small(self):
        self.assert_same("i386-small")

    def test_cortex_m3(self):
        self.assert_same("cortex-m3")

    def test_cortex_m3_small(self):
        self.assert_same("cortex-m3-small")

    def test_cortex_m4(self):
        self.assert_same("cortex-m4")

    def test_rv32(self):
        self.assert_same("rv32")

    def test_s390x(self):
        self.assert_same("s390x")

    def test_aarch64(self):
        self.assert_same("aarch64")

    def test_the_command_says_the_same(self):
        for path in TRACES:
            size = json.loads(subprocess.run(
                [BUILD / "ffalloc", "replay", "--json", "--granule=8", path], capture_output=True).stdout)
            hash_, failed = self.replay("native", size["high_water"] // 8, records(path))
            self.assertEqual((hash_, failed), (size["offsets"], "0"), path.name)

    def test_a_device_has_the_granules_that_the_desktop_says(self):
        empty = struct.pack("<4sIQ", b"FTRC", 1, 0)
        for machine, device in (("i386", "cortex-m"), ("cortex-m3", "cortex-m"), ("rv32", "rv32"),
                                ("i386-small", "rv32-small"), ("cortex-m3-small", "cortex-m-small")):
            for size in (1024, 4096, 65536, 70001 // 8 * 8):
                [granules] = self.replay(machine, size, empty)
                done = self.stats_of(support.run(
                    [BUILD / "ffalloc", "run", f"--pool={size}:{device}", "--stats=json", "--", "true"],
                    preload=None))
                self.assertEqual(done["usable_size"] // 8, int(granules), f"{machine} {size}")


class Firmware(TestCase):
    """examples/firmware: malloc, printf and strdup over a static array."""

    def assert_runs(self, machine):
        status, text = run(machine, "firmware")
        self.assertEqual(status, 0, text)
        numbers = dict(re.findall(r"^([a-z ]+) (\d+)$", text, re.M))
        self.assertEqual(set(numbers), {"usable", "used", "blocks", "holes", "high water", "largest hole"})
        self.assertLess(int(numbers["largest hole"]), 4096)
        return numbers

    def test_cortex_m3(self):
        self.assert_runs("cortex-m3")

    def test_rv32(self):
        self.assert_runs("rv32")

    def test_libc_has_no_heap_of_its_own(self):
        for machine, tool in (("cortex-m3", "arm-none-eabi-nm"), ("rv32", "riscv64-unknown-elf-nm")):
            program = PROGRAMS / f"firmware{MACHINES[machine][1]}"
            if not program.exists():
                self.skipTest(f"{program.name} was not built")
            names = subprocess.run([need(tool), program], capture_output=True, text=True).stdout
            self.assertRegex(names, r"(?m) T malloc$")
            self.assertNotRegex(names, r"_malloc_trim|__malloc_av_|sbrk_aligned|__malloc_free_list")

    def test_gdb_and_dump_see_the_heap_of_the_device(self):
        self.assert_seen("cortex-m3")

    def test_gdb_and_dump_see_a_small_heap(self):
        self.assert_seen("cortex-m3-small")

    def assert_seen(self, machine):
        """The ff commands over QEMU's stub, and ffalloc dump of the memory that gdb read."""
        numbers = self.assert_runs(machine)
        program = PROGRAMS / f"firmware{MACHINES[machine][1]}"
        with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            free.close()
            ram = pathlib.Path(folder) / "ram.bin"
            device = subprocess.Popen(
                [*CORTEX_M3, program, "-S", "-gdb", f"tcp:127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            try:
                script = SOURCE / "tools/ffalloc/gdb_commands.py"
                commands = [f"target remote 127.0.0.1:{port}", "break report", "continue",
                            f"source {script}", "ff heap", "ff check", "ff stats", "ff block list",
                            f"dump binary memory {ram} 0x20000000 0x20040000"]
                words = [word for command in commands for word in ("-ex", command)]
                done = subprocess.run([need("gdb-multiarch"), "-q", "-batch", *words, program],
                                      capture_output=True, text=True, timeout=120)
            finally:
                device.kill()
                device.wait()
            text = done.stdout
            self.assertRegex(text, r"pool at 0x2\w+: sound", done.stderr)
            self.assertRegex(text, r"is 0 bytes inside a used block of 8 bytes")
            for name in ("usable_size", "used_size", "block_count", "high_water_size"):
                key = {"block_count": "blocks", "high_water_size": "high water"}.get(name, name.split("_")[0])
                # printf itself allocates a buffer after the breakpoint.
                seen = int(re.search(rf"^{name} +(\d+)$", text, re.M).group(1))
                self.assertLessEqual(seen, int(numbers[key]))
            dump = json.loads(subprocess.run([BUILD / "ffalloc", "dump", "--json", program, ram],
                                             capture_output=True).stdout)
            self.assertEqual(dump[0]["faults"], [])
            self.assertIn(f"block_count            {dump[0]['block_count']}\n", text)
            self.assertEqual(dump[0]["usable_size"], int(numbers["usable"]))
