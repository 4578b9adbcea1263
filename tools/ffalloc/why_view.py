# SPDX-License-Identifier: MIT
"""ffalloc why: what makes a pool as large as it is, and what would make it smaller."""

import json
import sys
import textwrap

import terminal_map
import words
from common import Parser, number, reasons

HOLES, WHAT_IFS, HOLDERS = 3, 5, 5


def parse(arguments):
    parser = Parser("why", "Tells what makes a trace's pool as large as it is, and what would make it "
                    "smaller: each change is tried by a replay of the trace so changed.")
    parser.add_argument("trace", help="as ffalloc record wrote it")
    parser.add_argument("--granule", metavar="BYTES",
                        help="8 to 4096; default: as recorded; 8 with a target of 32 bits")
    parser.add_argument("--target", metavar="BITS",
                        help="a device of 32 or 64 bits, or 32-small or 64-small; default: this machine")
    parser.add_argument("--json", action="store_true", help="print all that was found, as an object")
    parser.add_skip()
    return parser.parse_args(arguments)


class Page:
    """Lines of at most so many columns."""

    def __init__(self, columns):
        self.columns = max(30, columns)

    def text(self, text, first="", rest=""):
        print(textwrap.fill(text, self.columns, initial_indent=first, subsequent_indent=rest,
                            break_long_words=True, break_on_hyphens=False))

    def item(self, figures, text):
        """Text beside figures, which stand in columns."""
        head = "  ".join(figures) + "  "
        self.text(text, head, " " * min(len(head), self.columns // 2))

    def title(self, text):
        print()
        self.text(text)


def print_pool(page, data):
    mark = data["set_by"]
    parts = ", ".join(f"{number(size)} {name} ({words.percent(size, data['min_pool'])})"
                      for name, size in words.makeup(data))
    page.title(f"The pool has {number(data['min_pool'])} bytes: {parts}. The last of it is taken by "
               f"{words.call(mark)}. No order of the same blocks needs less than "
               f"{number(data['bound_pool'])}.")


def print_holes(page, data):
    if not data["largest_holes"]:
        return
    page.title("Its largest holes at that moment:")
    width = len(number(data["largest_holes"][0]["size"]))
    for hole in words.holes_that_matter(data, HOLES):
        page.item([f"{number(hole['size']):>{width + 2}}"], words.hole_text(hole, data["set_by"]))


def print_what_ifs(page, data):
    chosen = words.best_of_each(data, WHAT_IFS)
    if not chosen:
        return
    page.title("Bytes less, the pool then, and what to change, each replayed:")
    widths = [max(len(number(each[key])) for each in chosen) for key in ("saved", "pool")]
    for each in chosen:
        page.item([f"{number(each['saved']):>{widths[0] + 2}}", f"{number(each['pool']):>{widths[1]}}"],
                  words.change_text(each["changes"][0]))


def print_together(page, data):
    together = data.get("together")
    if not together or len(together["changes"]) < 2:
        return
    page.title(f"Together {number(together['saved'])} bytes less, {number(together['pool'])}; one after "
               "the other the pool has:")
    width = max(len(number(change["pool_so_far"])) for change in together["changes"])
    for change in together["changes"]:
        page.item([f"{number(change['pool_so_far']):>{width + 2}}"], words.change_text(change))


def print_holders(page, data):
    """For where places give little: what the payload is."""
    if not words.is_payload(data):
        return
    page.title("Who holds the payload at that moment; bytes, of them never freed:")
    chosen = words.holders(data, HOLDERS)
    widths = [max(len(number(held[key])) for _, held in chosen) for key in ("bytes", "never_freed")]
    for name, held in chosen:
        page.item([f"{number(held['bytes']):>{widths[0] + 2}}", f"{number(held['never_freed']):>{widths[1]}}"],
                  f"{name}, {number(held['blocks'], 'block')}")


def main(arguments):
    options = parse(arguments)
    data = reasons(options.trace, granule=options.granule, target=options.target, skip=options.skip)
    if options.json:
        json.dump(data, sys.stdout, indent=1)
        print()
        return 0
    page = Page(terminal_map.columns())
    page.text(words.verdict(data))
    for doubt in words.doubts(data):
        page.text(doubt)
    for show in (print_pool, print_holes, print_what_ifs, print_together, print_holders):
        show(page, data)
    return 0
