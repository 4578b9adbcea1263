# SPDX-License-Identifier: MIT
"""Which call a block is said to come from, and what recording costs."""

import json
import re
import subprocess
import unittest

from support import BUILD, need
from tool import ToolCase

HAS_UNWIND = (BUILD / "libffalloc-unwind.so").exists()

# Each call site asks for a size of its own.
PROGRAM = """
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>
#define NOINLINE __attribute__((noinline))

NOINLINE static void *keep(void *block) { asm volatile("" : : "r"(block) : "memory"); return block; }
NOINLINE static void *xmalloc(size_t size) { return keep(malloc(size)); }
NOINLINE static void *take_block(size_t size) { return keep(xmalloc(size)); }
static inline void *inlined(size_t size) { return keep(malloc(size)); }

namespace app {
template <class Key, class Value> struct Table {
    std::map<Key, Value> all;
    NOINLINE void add(const Key &key) { all[key].resize(1001); }
    NOINLINE void operator<<(int size) { keep(malloc(size)); }
    NOINLINE void operator()(int size) { keep(malloc(size)); }
    NOINLINE operator bool() { return keep(malloc(1004)); }
    template <class Other> NOINLINE Other get(Other) { keep(malloc(1005)); return Other(); }
};
namespace {
NOINLINE void hidden(int, std::string) { keep(malloc(1006)); }
}
}

int main()
{
    app::Table<std::string, std::vector<char>> table;
    table.add("a key");
    table << 1002;
    table(1003);
    bool is_true = table;
    table.get(is_true);
    app::hidden(1, "");
    std::function<void()> call = [] { keep(malloc(1007)); };
    call();
    std::vector<char> bytes(1008);
    keep(&bytes[0]);
    keep(take_block(1009));
    keep(take_block(1010));
    keep(inlined(1011));
    keep(strdup(std::string(1011, 'x').c_str()));
    keep(take_block(90000));
    return 0;
}
"""

SITES = {
    1001: r"app::Table<\.\.\.>::add calls\.cpp:\d+",
    1002: r"app::Table<\.\.\.>::operator<< calls\.cpp:\d+",
    1003: r"app::Table<\.\.\.>::operator\(\) calls\.cpp:\d+",
    1004: r"app::Table<\.\.\.>::operator bool calls\.cpp:\d+",
    1005: r"app::Table<\.\.\.>::get<bool> calls\.cpp:\d+",
    1006: r"app::\(anonymous namespace\)::hidden calls\.cpp:\d+",
    1008: r"main calls\.cpp:40",
    1009: r"take_block calls\.cpp:12",
    1010: r"take_block calls\.cpp:12",
}


class Sites(ToolCase):
    def setUp(self):
        super().setUp()
        source = self.folder / "calls.cpp"
        self.program = self.folder / "calls"
        source.write_text(PROGRAM)
        subprocess.run([need("g++"), "-std=c++17", "-w", "-g", "-O2", "-fno-optimize-sibling-calls",
                        "-fno-omit-frame-pointer", source, "-o", self.program], check=True)

    def sites(self, trace, *options):
        """{size: site} as the CSV has it."""
        text = self.tool("export", "--format", "csv", "-o", "-", *options, trace).stdout
        return {int(size): site for size, site in re.findall(r",(\d+),\d+,\d+,\"(.*)\"\n", text)}

    def test_is_the_first_outside_of_libraries_and_wrappers(self):
        for way in ["fp"] + ["unwind", "auto"] * HAS_UNWIND:
            found = self.sites(self.record(self.program, options=["--backtrace", way]))
            for size, site in SITES.items():
                with self.subTest(way=way, size=size):
                    self.assertRegex(found[size], rf"\A{site}\Z")

    @unittest.skipUnless(HAS_UNWIND, "libc has no frame pointers")
    def test_a_copy_by_libc_is_its_callers(self):
        found = self.sites(self.record(self.program, options=["--backtrace", "unwind"]))
        self.assertRegex(found[1012], r"\Amain calls\.cpp:45\Z")

    def test_skip_names_more(self):
        trace = self.record(self.program, options=["--backtrace", "fp"])
        for names, site in (("take_block", r"main calls\.cpp:42"), ("nothing,take_*", r"main calls\.cpp:42"),
                            ("nothing", SITES[1009]), ("calls", r"take_block calls\.cpp:12|xmalloc.*")):
            self.assertRegex(self.sites(trace, "--skip", names)[1009], rf"\A({site})\Z", names)

    def test_skip_reaches_each_command_that_shows_sites(self):
        trace = self.record(self.program, options=["--backtrace", "fp"])
        output = self.folder / "output"
        for words in (["why", "--json", trace], ["report", "-o", output, trace], ["map", "--json", trace],
                      ["export", "--format=json", "-o", output, trace]):
            texts = []
            for skip in ("nothing", "take_block"):
                printed = self.tool(*words, "--skip", skip).stdout
                texts.append(output.read_text() if output in words else printed)
            self.assertNotEqual(*texts, words)
            self.assertIn("main calls.cpp:42", texts[1], words)
        whole = "take_block,main,*hidden,app::*,*{lambda}*"
        self.assertNotEqual(self.tool("size", trace).stdout, self.tool("size", "--skip", whole, trace).stdout)

    def test_ways_to_one_site_are_one_group(self):
        trace = self.record(self.program, options=["--backtrace", "fp"])
        for command in (["why", "--json"], ["data"]):
            data = self.object(*command, trace)
            held = data.get("held_by_site") or data["sites"]
            here = [site for site in held if "take_block" in (site.get("site") or site["name"])]
            numbers = {site.get("site_number", site.get("same_as")) for site in here}
            self.assertEqual(len(numbers), 1, here)
        self.assertEqual([site["blocks"] for site in self.object("why", "--json", trace)["held_by_site"]
                          if "take_block" in site["site"]], [3])

    def test_a_stack_s_garbage_is_no_site(self):
        """Without frame pointers, a walk by them finds what lies on the stack."""
        subprocess.run([need("g++"), "-std=c++17", "-w", "-g", "-O2", "-fomit-frame-pointer",
                        self.folder / "calls.cpp", "-o", self.program], check=True)
        found = self.sites(self.record(self.program, options=["--backtrace", "fp"]))
        self.assertFalse([site for site in found.values() if site.startswith("0x")])

    def test_auto_says_what_it_took(self):
        done = self.tool("record", "-o", self.folder / "t", "--backtrace", "auto", "--", self.program)
        first = done.stderr.splitlines()[0]
        self.assertEqual(first, "ffalloc: --backtrace auto: unwind" if HAS_UNWIND else
                         "ffalloc: --backtrace auto: fp, as libffalloc-unwind.so is not installed")

    def test_sweep_has_skip(self):
        source, program = self.folder / "crash.c", self.folder / "crash"
        source.write_text("""
            #include <stdlib.h>
            __attribute__((noinline)) char *take(void) { char *volatile p = malloc(10); return p; }
            int main(void) { char *p = take(); p[0] = 1; return 0; }
        """)
        subprocess.run([need("gcc"), "-g", "-O1", "-fno-omit-frame-pointer", source, "-o", program], check=True)
        sites = [self.object("sweep", "--json", *skip, "--", program, status=1)["bad"][0]["site"]
                 for skip in ([], ["--skip=take"])]
        self.assertRegex(sites[0], "^take crash.c:3$")
        self.assertRegex(sites[1], "^main crash.c:4$")

    def test_bad_names(self):
        trace = self.record(self.program)
        for words in (["size", "--skip", "", trace], ["why", "--skip", "a,,b", trace],
                      ["export", "--format=csv", "-o", "-", "--skip", ",", trace]):
            self.assert_one_line(self.tool(*words, status=2), "has an empty name")


class Overhead(ToolCase):
    def test_is_measured_against_the_same_run_without(self):
        """It is said only if asked for; the runs have no input and no output."""
        words = ["sh", "-c", "echo run >>$0; sleep 0.05", self.folder / "log"]
        done = self.tool("record", "-o", self.folder / "t", "--", *words)
        self.assertNotIn("recording", done.stderr)
        done = self.tool("record", "-o", self.folder / "t", "--overhead", "2", "--", *words)
        found = re.search(r"^ffalloc: recording: ([\d.]+) s, without ([\d.]+) s: ([+-]\d+) % "
                          r"\(least of 2 runs each, in turn\)$", done.stderr, re.M)
        recorded, plain, percent = map(float, found.groups())
        self.assertGreater(plain, 0.05)
        self.assertLess(recorded, 5)
        self.assertAlmostEqual(percent, 100 * (recorded / plain - 1), delta=4)
        self.assertEqual((self.folder / "log").read_text().count("run"), 6)

    def test_bad_numbers(self):
        for text in ("0", "x", "", "1001"):
            done = self.tool("record", "-o", self.folder / "t", "--overhead", text, "--", "true", status=2)
            self.assert_one_line(done, "--overhead: .* is no number from 1 to 1000")

    def test_a_program_that_fails_has_its_status(self):
        done = self.tool("record", "-o", self.folder / "t", "--overhead=1", "--", "sh", "-c", "exit 7", status=7)
        self.assertIn("recording: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
