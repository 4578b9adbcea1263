# SPDX-License-Identifier: MIT
"""What `ffalloc reasons` found, in words, for the terminal and the report."""

from common import number

# Changes of where and how long blocks lie; the others ask for other sizes.
PLACEMENTS = {"first", "own_pool", "other_end", "kept", "earlier"}


def seconds(microseconds):
    """A span of time for a person."""
    value = microseconds / 1e6
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (float("inf"), 1, "s")):
        if value < limit:
            return f"{value * factor:.3g} {unit}"


def percent(part, whole):
    return f"{100 * part / max(1, whole):.1f} %"


def at_site(of, joint=" at "):
    return f"{joint}{of['site']}" if of.get("site") else ""


def call(block):
    """The call that a block comes from."""
    return f"{block['call']}({block['size']}), event {number(block['event'])}{at_site(block, ', at ')}"


def group(change):
    """The blocks that a change is of."""
    if change["by"] == "pool":
        return "the pool"
    if change["by"] == "block":
        return f"the block of {call(change['begins_with'])}"
    blocks = number(change["count"], "block")
    if change["by"] == "size":
        return f"the {blocks} of {number(change['size'])} bytes"
    if change["by"] == "site":
        return f"the {blocks}{at_site(change, ' of ') or ' of one call site'}"
    return f"the {blocks} in a row from {call(change['begins_with'])}"


def change_text(change, is_long=False):
    """What to do, as an order."""
    blocks = group(change)
    to = number(change.get("to", 0))
    return {
        "first": "place first" + " (static, or asked for at the start and kept)" * is_long + f" {blocks}",
        "own_pool": f"give a pool of {'its' if change['count'] == 1 else 'their'} own to {blocks}",
        "other_end": "place at the other end of the pool" + ", from the top down by a first fit of its own," * is_long
                     + f" {blocks}",
        "kept": f"never free {blocks}",
        "earlier": f"free one request earlier {blocks}",
        "whole": f"ask at once, without realloc, for the largest size of {blocks}",
        "power_of_two": f"round up to powers of two the sizes of {blocks}",
        "size": f"ask for {to} bytes for {blocks}",
        "granule": f"give granules of {to} bytes to the pool" + ", to which blocks are then aligned" * is_long,
    }[change["change"]]


def sentence(text):
    return text[:1].upper() + text[1:]


def age_text(events, microseconds):
    """How long something has been; without times a trace has events only."""
    return number(events, "event") + (f" ({seconds(microseconds)})" if microseconds else "")


def is_placement(what_if):
    return all(change["change"] in PLACEMENTS for change in what_if["changes"])


def best_placement(data):
    """The most that a what-if saves without other sizes, 0 if none does."""
    return max((each["saved"] for each in data["what_ifs"] if is_placement(each)), default=0)


def most_saved(data):
    return data["together"]["saved"] if "together" in data else 0


def is_worth_it(data):
    """Whether all that was found is more than a hundredth of the pool."""
    return most_saved(data) * 100 > data["min_pool"]


def is_payload(data):
    """Whether other places give so little that what the payload is matters more."""
    return best_placement(data) * 20 <= data["min_pool"]


def singles(data):
    """The what-ifs of one change."""
    return [each for each in data["what_ifs"] if len(each["changes"]) == 1]


def verdict(data):
    """The answer in a sentence or two."""
    payload = percent(data["payload"], data["min_pool"])
    best = next(iter(singles(data)), None)
    more = ""
    if is_worth_it(data):
        more = f" All that was found comes to {number(most_saved(data))} bytes together."
    if best and best["saved"] * 100 > data["min_pool"]:
        return (f"{sentence(change_text(best['changes'][0], True))}: this run then needs "
                f"{number(best['saved'])} bytes less, {number(best['pool'])} instead of "
                f"{number(data['min_pool'])}.{more if most_saved(data) > best['saved'] else ''}")
    placed = best_placement(data)
    least = f"saves more than {number(placed)} bytes" if placed else "saves anything"
    return f"{payload} of this pool is payload, and no other place of its blocks that was tried {least}.{more}"


def makeup(data):
    """What the pool is made of: (name, bytes)."""
    return [(name, data[name]) for name in ("payload", "rounding", "holes", "metadata")]


def hole_text(hole, mark):
    """Which blocks keep a hole, how old both are, and for whom it is too small."""
    below, now = hole["below"], mark["event"]
    blocks = f"{number(hole['blocks_above'])} blocks from" if hole["blocks_above"] > 1 else "the block of"
    age = age_text(now - below["event"], below["age"])
    freed = f"freed {number(below['freed'] - now, 'event')} later" if "freed" in below else "never freed"
    since = f"for {age_text(now - hole['since'], hole['age'])}" if hole["since"] else "from the start"
    refused = ""
    if hole["refused"]:
        refused = f"; {number(hole['refused'], 'request')} since needed more, {number(hole['refused_least'])} " \
            "bytes at least"
    return f"below {blocks} {call(below)}, {age} old, {freed}. The hole is so {since}{refused}."


def holes_that_matter(data, most):
    """The largest, and those of a hundredth of the pool."""
    holes = data["largest_holes"]
    return holes[:1] + [hole for hole in holes[1:most] if hole["size"] * 100 >= data["min_pool"]]


def doubts(data):
    """Why the figures are not those of every run."""
    found = []
    if data["failed_while_recording"]:
        found.append(f"{number(data['failed_while_recording'], 'request')} failed while recording and "
                     "are left out, so the program needs more.")
    if data["threads"] > 1:
        found.append(f"Exact for this order of the calls of {data['threads']} threads, which differs "
                     "from run to run.")
    if data["least_pool"] < data["min_pool"]:
        found.append(f"A pool of {number(data['least_pool'])} bytes serves this run as well: there the block that "
                     "grows in place at the end moves into a hole. What-ifs are compared without that.")
    if data["spare"]:
        found.append(f"With aligned requests, a what-if may save up to {number(data['spare'])} bytes "
                     "more for each pool than is said.")
    return found


def best_of_each(data, most):
    """The best single changes, one for the same blocks, and none that is nothing beside the best."""
    seen, chosen = set(), []
    for each in singles(data):
        change = each["changes"][0]
        key = (change["by"], change.get("begins_with", {}).get("event"), change["count"])
        is_much = each["saved"] * 20 >= singles(data)[0]["saved"]
        if key not in seen and is_much and len(chosen) < most:
            chosen.append(each)
        seen.add(key)
    return chosen


def holders(data, most):
    """Who holds the payload at the mark: (name, what it holds)."""
    if "held_by_site" in data:
        return [(held.get("site", "unknown"), held) for held in data["held_by_site"][:most]]
    return [(f"blocks of {number(held['size'])} bytes", held) for held in data["held_by_size"][:most]]
