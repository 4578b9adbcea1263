# SPDX-License-Identifier: MIT
"""ffalloc report: all about a trace on one HTML page, which needs nothing but itself."""

import base64
import json
import pathlib
import sys

import jinja2

import words
from common import (Parser, cells, merge_sites, number, person, reasons, say, site_name, survey, top_sites,
                    write_file)
from picture import PALETTE

SITES = 200
FRAMES = 24


def parse(arguments):
    parser = Parser("report", "Writes all about a trace on one HTML page, without network.")
    parser.add_argument("trace", help="as ffalloc record wrote it")
    parser.add_argument("-o", "--output", required=True, metavar="FILE",
                        help="the page; - is standard output")
    parser.add_argument("--pool", metavar="SIZE", help="in a pool of this memory, as 64K")
    parser.add_argument("--granule", metavar="BYTES", help="8 to 4096; default: as recorded")
    parser.add_skip()
    return parser.parse_args(arguments)


def base(values):
    return base64.b64encode(bytes(values)).decode()


def colour_numbers(data, sites):
    """For each cell the number of its site's colour, 0 for the others."""
    number = {site["number"]: i + 1 for i, site in enumerate(top_sites(data, most=len(PALETTE)))}
    return bytes(number.get(site, 0) for site in sites)


def picture_data(data):
    used, birth, sites = cells(data["life"], data["columns"] * data["rows"])
    keys = ("event", "time", "payload", "used", "mark", "largest_hole", "holes", "blocks")
    return {
        "columns": data["columns"],
        "rows": data["rows"],
        "rowBytes": data["row_bytes"],
        "events": data["events"],
        "mark": data["mark"],
        "markEvent": data["set_by"]["event"],
        "usable": data["usable"],
        "failedEvent": data["failed_event"],
        "used": base(used),
        "birth": base(birth),
        "colour": base(colour_numbers(data, sites)),
        "siteNames": ["other sites"] + [site["name"] or "unknown"
                                        for site in top_sites(data, most=len(PALETTE))],
        "samples": {key: [sample[key] for sample in data["samples"]] for key in keys},
    }


def size_bars(data):
    """The histogram: (sizes, number of requests, part of the largest bar)."""
    counts = data["size_counts"]
    used = [i for i, count in enumerate(counts) if count]
    if not used:
        return []
    largest = max(counts)
    bars = []
    for i in range(used[0], used[-1] + 1):
        low, high = (2 ** (i - 1) + 1 if i else 0), 2 ** i
        name = f"{low}" if low == high else f"{low} – {high}"
        if high >= 4096:
            name = f"≤ {person(high)}"
        bars.append((name, counts[i], 100 * counts[i] / largest))
    return bars


def frame_text(frame):
    place = f" {frame['file'].rsplit('/', 1)[-1]}:{frame['line']}" if "file" in frame else ""
    module = f" ({frame['module']})" if frame["module"] else ""
    return f"{frame['function']}{place}{module}"


def site_rows(data):
    colours = {site["number"]: i for i, site in enumerate(top_sites(data, most=len(PALETTE)))}
    rows = []
    for site in top_sites(data, most=SITES):
        rows.append(dict(
            site,
            colour="#%02x%02x%02x" % PALETTE[colours[site["number"]]]
            if site["number"] in colours else None,
            part=100 * site["mark_bytes"] / max(1, data["set_by"]["payload"]),
            frames=[frame_text(frame) for frame in site["frames"][:FRAMES]],
        ))
    return rows


def why_section(found):
    """What ffalloc why says, as lists of a figure and a text each."""
    together = found.get("together", {"changes": []})["changes"]
    holders = words.holders(found, 5) if words.is_payload(found) else []
    return {
        "verdict": words.verdict(found),
        "doubts": words.doubts(found),
        "is_open": words.is_worth_it(found),
        "bound": found["bound_pool"],
        "lists": (
            ("What one change saves, in bytes", [
                (number(each["saved"]), words.change_text(each["changes"][0]))
                for each in words.best_of_each(found, 5)]),
            ("Several together: the pool after each", [
                (number(change["pool_so_far"]), words.change_text(change))
                for change in (together if len(together) > 1 else [])]),
            ("The largest holes when the pool is highest, in bytes", [
                (number(hole["size"]), words.hole_text(hole, found["set_by"]))
                for hole in words.holes_that_matter(found, 3)]),
            ("Who holds the payload then, in bytes", [
                (number(held["bytes"]), f"{name}, {number(held['blocks'], 'block')}; "
                 f"{number(held['never_freed'])} are never freed") for name, held in holders]),
        ),
    }


def page(data, found):
    folder = pathlib.Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["person"] = person
    environment.filters["number"] = number
    process = data["process"] or {}
    command = " ".join(process.get("command", [])) or data["trace"]
    # A script's text ends, or hides its end, at what begins with "<", whatever quotes it stands in.
    script_data = json.dumps(picture_data(data), separators=(",", ":")).replace("<", "\\u003c")
    return environment.get_template("report.html").render(
        data=data, why=found and why_section(found), command=command, program=process.get("program", ""), mark=data["set_by"],
        mark_site=site_name(data, data["set_by"]["site"]), sites=site_rows(data),
        has_names=any(site["name"] for site in data["sites"]), bars=size_bars(data),
        seconds=data["duration"] / 1e6,
        palette=json.dumps(["#%02x%02x%02x" % colour for colour in PALETTE]),
        script_data=script_data, end=data["end"] or {},
        allocations=sum(site["alloc_count"] for site in data["sites"]),
        end_bytes=sum(site["end_bytes"] for site in data["sites"]),
        end_count=sum(site["end_count"] for site in data["sites"]))


def main(arguments):
    options = parse(arguments)
    data = merge_sites(survey(options.trace, pool=options.pool, granule=options.granule, skip=options.skip, columns=1600, rows=480))
    found = None
    if data["set_by"]["event"] and not options.pool:
        found = reasons(options.trace, is_told=True, granule=options.granule, skip=options.skip)
    content = page(data, found)
    write_file(options.output, content)
    if options.output != "-":
        say(f"{options.output}: {number(data['events'], 'event')}, {person(len(content.encode()))}")
    sys.stdout.flush()
    return 0
