# SPDX-License-Identifier: MIT
"""ffalloc map: the pool at one moment, in the terminal, and over its whole life, as a picture."""

import json
import sys
import textwrap

import terminal_map
from common import Parser, cells, has_blocks, has_colour, merge_sites, number, person, say, site_name, survey
from terminal_map import ASCII, LINES, legend, line_cells, line_of

ADDRESS_WIDTH = 12  # hexadecimal digits of the largest pool, and a blank
BLOCKS = " ░▒▓█"


def parse(arguments):
    parser = Parser("map", "Shows where a trace's blocks and holes lie.")
    parser.add_argument("trace", help="as ffalloc record wrote it")
    parser.add_argument("--at", default="mark", metavar="MOMENT",
                        help="event's number, mark (when the pool was highest; the default), "
                        "peak (when most was live), fail (the first failure) or end")
    parser.add_argument("--pool", metavar="SIZE", help="in a pool of this memory, as 64K")
    parser.add_argument("--granule", metavar="BYTES", help="8 to 4096; default: as recorded")
    parser.add_argument("--ascii", action="store_true", help="no characters beyond ASCII")
    parser.add_argument("--svg", metavar="FILE", help="the whole life: event by address")
    parser.add_argument("--png", metavar="FILE", help="the same")
    parser.add_argument("--by", choices=("site", "age"), default="site",
                        help="what the colours of the picture mean")
    parser.add_argument("--json", action="store_true", help="the moment as an object")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                        help="default: in a terminal, unless NO_COLOR is set")
    parser.add_skip()
    return parser.parse_args(arguments)


def print_map(data, characters, is_coloured, columns):
    used, _, _ = cells(data["now"], data["rows"])
    moment = data["moment"]
    width = len(f"{data['usable']:x}")
    count = line_cells(columns, ADDRESS_WIDTH)
    for first in range(0, data["rows"], count):
        line = line_of(used[first:first + count], characters)
        if is_coloured:
            line = f"\33[36m{line}\33[0m"
        print(f"{first * data['row_bytes']:0{width}x} {line}")
    free = data["usable"] - moment["used"]
    for text in (
        f"event {moment['event']} of {data['events']}, {moment['time'] / 1e6:.3f} s; "
        f"a character is {person(data['row_bytes'])}: {legend(characters)}",
        f"{number(moment['used'], 'byte')} used in {number(moment['blocks'], 'block')}, {number(free)} free in "
        f"{number(moment['holes'], 'hole')}, the largest {number(moment['largest_hole'])}; "
        f"high-water mark {number(moment['mark'])}",
    ):
        print(textwrap.fill(text, columns))


def print_moment(data):
    moment = dict(data["moment"])
    moment["usable"] = data["usable"]
    moment["row_bytes"] = data["row_bytes"]
    used, _, sites = cells(data["now"], data["rows"])
    moment["rows"] = [
        {"used": round(cell / 255, 3), "site": site_name(data, site) if site else None}
        for cell, site in zip(used, sites)
    ]
    json.dump(moment, sys.stdout, indent=1)
    print()


def main(arguments):
    options = parse(arguments)
    chosen = {"at": options.at, "pool": options.pool, "granule": options.granule, "skip": options.skip}
    if options.svg == "-" or options.png == "-":
        if not (options.svg and options.png):
            options.json = options.ascii = False
    if options.svg or options.png:
        import picture

        data = merge_sites(survey(options.trace, columns=1000, rows=500, **chosen))
        for path, write in ((options.svg, picture.svg), (options.png, picture.png)):
            if path:
                write(data, path, options.by)
                if path != "-":
                    say(f"{path}: {data['events']} events by {person(data['usable'])}")
        return 0
    columns = terminal_map.columns()
    data = merge_sites(survey(options.trace, columns=1, rows=LINES * line_cells(columns, ADDRESS_WIDTH), **chosen))
    if options.json:
        print_moment(data)
        return 0
    characters = BLOCKS if has_blocks() and not options.ascii else ASCII
    print_map(data, characters, has_colour(options.color), columns)
    return 0
