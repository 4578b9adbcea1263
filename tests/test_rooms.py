# SPDX-License-Identifier: MIT
"""What each room of src/ may include, and that a file's name alone says which file it is."""

import collections
import re
import unittest

from support import SOURCE

# By room, the folders whose headers it may include besides its own; a file where it is one alone.
MAY_INCLUDE = {
    "src/annotate": ["include/ffalloc/ffalloc.h"],
    "src/arena": ["include/ffalloc", "src/annotate"],
    "src/core": ["include/ffalloc/ffalloc.h"],
    "src/guard": ["include/ffalloc"],
    "src/peek": ["src/core"],
    "src/regions": ["include/ffalloc"],
    "src/preload": ["include/ffalloc/ffalloc.h", "include/ffalloc/record.h", "src/annotate", "src/guard/guard.h",
                    "src/peek/peek.h"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.M)
# Where "" and <> look, besides the folder of the file itself.
FOLDERS = ("include", "src/annotate")


def sources():
    return sorted(path for path in (SOURCE / "src").rglob("*") if path.is_file())


def included(path):
    """The files of this repository that a file includes by name."""
    for name in INCLUDE.findall(path.read_text()):
        for folder in (path.parent, *(SOURCE / folder for folder in FOLDERS)):
            found = (folder / name).resolve()
            if found.is_file():
                yield str(found.relative_to(SOURCE))
                break


class Rooms(unittest.TestCase):
    def test_each_includes_what_it_may_know(self):
        wrong = []
        for path in sources():
            room = str(path.parent.relative_to(SOURCE))
            known = [room, *MAY_INCLUDE[room]]
            wrong += [f"{path.relative_to(SOURCE)} includes {name}" for name in included(path)
                      if not any(name == part or name.startswith(part + "/") for part in known)]
        self.assertEqual(wrong, [])

    def test_no_two_files_have_one_name(self):
        headers = sorted((SOURCE / "include").rglob("*.h"))
        names = collections.Counter(path.name for path in [*sources(), *headers])
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_each_comment_of_the_core_stands_on_its_own(self):
        leaning = re.compile(r"/\*\s*\*? ?(As [a-z_]+,|The same\b)|\bas above\b|\blikewise\b")
        wrong = [f"{path.name}: {found.group().strip()}" for path in sorted((SOURCE / "src/core").iterdir())
                 for found in leaning.finditer(path.read_text())]
        self.assertEqual(wrong, [])

    def test_contributing_names_what_there_is(self):
        """Each room of src, and no file that is none."""
        text = (SOURCE / "CONTRIBUTING.md").read_text()
        for room in MAY_INCLUDE:
            self.assertIn(f"| `{room}` |", text)
        self.assertEqual({str(path.parent.relative_to(SOURCE)) for path in sources()}, set(MAY_INCLUDE))
        names = re.findall(r"`((?:tests|src|bench|tools|ports|bindings|include)/[\w./-]+)`", text)
        names += re.findall(r"\]\((?!http)([^)]+)\)", text)
        self.assertGreater(len(names), 20)
        self.assertEqual([name for name in names if not (SOURCE / name).exists()], [])

    def test_the_core_s_design_names_each_of_its_files(self):
        text = (SOURCE / "src/core/README.md").read_text()
        named = set(re.findall(r"`(\w+\.[ch])`", text)) | {"pool.h"}
        there = {path.name for path in (SOURCE / "src/core").glob("*.[ch]")}
        self.assertEqual(named - there, {"ffalloc.h"})
        small = {"audit.h", "config.h", "locked.c", "memory.h", "setup.h", "small.c", "blocks.h"}
        self.assertEqual(there - named - small, set())
        self.assertLess(len(text.splitlines()), 100, "two pages")


if __name__ == "__main__":
    unittest.main()
