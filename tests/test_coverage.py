# SPDX-License-Identifier: MIT
"""Each line of src/core runs in the unit tests, in each configuration, so that no way is dead unseen.
The programs count by themselves (gcov); what cannot run is listed here, with its reason."""

import collections
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import support

# (file, line): why it cannot run in the unit tests.
EXCEPTIONS = {
    ("grow.c", "limit = layout_native.most_granules;"): "takes more address space than there is",
    ("layout.h", "limit = machine.most_granules;"): "takes more address space than there is",
    ("index.h", "UNREACHABLE();"): "tells the compiler what X2 says",
    ("index.h", "return false;"): "of the top level with 32-bit words alone; X2 says it is not below",
    ("malloc.c", "UNREACHABLE();"): "tells the compiler how large a quick request is",
    ("malloc.c", "UNREACHABLE(); /* by QUICK_GRANULES */"): "likewise, with 32-bit words",
    ("aligned.c", "at = aligned_fit(pool, count, alignment_granules, &hole);"):
        "in a pool that grows, after a step that was refused: the calls drawn for 64-bit words do it",
    ("small.c", "hole = find_by_rule(pool, count, mask);"): "likewise",
    ("large.c", "*end = loose_end;"): "with hints, which 32-bit words have not",
    ("large.c", "return loose;"): "likewise",
    ("runs.h", "runs = runs32;"): "with 64-bit words",
    ("runs.h", "length = lengthen_run(&runs, runs16, 32, 16);"): "with 64-bit words",
    ("runs.h", "length = lengthen_run(&runs, runs8, length, 8);"): "with 64-bit words",
}
# What only the quick core needs, and the small one compiles all the same.
OF_THE_QUICK_CORE = ("PAGE_FANOUT", "page_words_size", "page_level_count", "nodes_size = 0;",
                     "layout->tree_pointers + level]", "start += array_size(layout, count * sizeof(uint32_t));",
                     "leaf_last_hole(", "return leaf_is_blank(leaf) ? 0 : end_of(leaf->used);",
                     "return machine.word_log2 - 2;", "node = FANOUT; /* the others are 0 (X2) */")


# Where metadata that was overwritten is told of: the campaign `overwritten` runs these, in programs of
# its own, since what it leaves is no pool to go on with.
OF_DAMAGE = {
    ("calls.h", "return false;"), ("pool.c", "return NULL;"),
    ("large.c", "return; /* no hole ends there but in a damaged map */"),
}
TELLS_OF_DAMAGE = ("ffalloc_refuse_damaged(", "FFALLOC_DAMAGED);", "return NOT_FOUND; /* not as X2 has it */")


def counts(program, folder):
    """{(file, line): how often it ran} of the core, by running the program once."""
    objects = support.CHILDREN / f"{program}.p"
    done = subprocess.run([support.CHILDREN / program], capture_output=True, text=True, timeout=900,
                          env=support.environment(GCOV_PREFIX=folder, FFALLOC_ROUNDS="1"))
    if done.returncode:
        raise AssertionError(f"{program}: {done.stdout}\n{done.stderr}")
    below = pathlib.Path(folder) / str(objects).lstrip("/")
    for note in objects.glob("*.gcno"):
        shutil.copy(note, below)
    total = collections.Counter()
    for data in below.glob("*src_core*.gcda"):
        told = subprocess.run(["gcov", "--json-format", "--stdout", data], capture_output=True, text=True,
                              check=True, cwd=folder)
        for text in filter(None, told.stdout.splitlines()):
            for file in json.loads(text)["files"]:
                path = pathlib.Path(file["file"])
                if path.parent.name != "core":
                    continue
                for line in file["lines"]:
                    total[path.name, line["line_number"]] += line["count"]
    return total


class Coverage(unittest.TestCase):
    maxDiff = None

    def missed(self, program):
        with tempfile.TemporaryDirectory() as folder:
            total = counts(program, folder)
        self.assertGreater(len(total), 500, "gcov told next to nothing")
        lines = {path.name: path.read_text().splitlines()
                 for path in (support.SOURCE / "src/core").iterdir()}
        return {(file, lines[file][number - 1].strip())
                for (file, number), count in total.items() if count == 0}

    def assert_all_runs(self, program, left_out=()):
        missed = {(file, line) for file, line in self.missed(program) - set(EXCEPTIONS) - OF_DAMAGE
                  if not any(part in line for part in (*left_out, *TELLS_OF_DAMAGE))}
        self.assertEqual(sorted(missed), [], "lines that never ran")

    def test_64_bit_words(self):
        self.assert_all_runs("unit-coverage")

    def test_32_bit_words(self):
        self.assert_all_runs("unit-coverage-m32")

    def test_the_small_core(self):
        self.assert_all_runs("unit-coverage-m32-small", OF_THE_QUICK_CORE)
