# SPDX-License-Identifier: MIT
"""The smallest pool where the mark may not be the answer: aligned requests, and blocks that grew in place."""

import random
import re
import struct
import subprocess
import unittest

from support import need
from tool import ToolCase


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
        start = self.spent()
        for seed in range(40):
            trace = self.trace(seed, 10 + seed % 16)
            usable = self.object("size", "--json", trace)["min_usable"]
            self.tool("replay", f"--usable={usable}", trace)
            self.tool("replay", f"--usable={usable - 16}", trace, status=1)
        self.assertLess(self.spent() - start, 60)


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
        start = self.spent()
        self.assertLess(self.assert_exact(trace), 17 * count)
        self.assertLess(self.spent() - start, 10)

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


if __name__ == "__main__":
    unittest.main()
