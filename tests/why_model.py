# SPDX-License-Identifier: MIT
"""First fit and changes to a trace, as naively as can be: what ffalloc why is compared with."""

import collections
import random
import struct

MALLOC, REALLOC, FREE, ALIGNED = 1, 3, 4, 5
Event = collections.namedtuple("Event", "op block size site log2align", defaults=(0, 0))


def trace_bytes(events):
    """Version 2, with a stack of one frame for each site."""
    ids, free, count = {}, [], 0
    records = []
    for site in range(1, max((event.site for event in events), default=0) + 1):
        records.append(struct.pack("<BBHIQII", 129, 0, 0, 0, 8, site, 0) + struct.pack("<Q", site * 4096))
    for op, block, size, site, log2align in events:
        if block not in ids:
            ids[block] = free.pop() if free else count
            count += ids[block] == count
        records.append(struct.pack("<BBHIQII", op, log2align, 0, ids[block], size, site, 1))
        if op == FREE:
            free.append(ids.pop(block))
    records.append(struct.pack("<BBHIQII", 131, 0, 0, 0, 0, 0, 0))
    return struct.pack("<4sIQ", b"FTRC", 2, len(events)) + b"".join(records)


class Pool:
    """First fit over a list of blocks by address: start and end in granules."""

    def __init__(self, granule):
        self.granule, self.blocks = granule, []

    def granules(self, size):
        return max(1, -(-size // self.granule))

    def holes(self):
        start = 0
        for low, high in self.blocks:
            yield start, low
            start = high
        yield start, float("inf")

    def place(self, size):
        count = self.granules(size)
        for i, (low, high) in enumerate(self.holes()):
            if high - low >= count:
                self.blocks.insert(i, (low, low + count))
                return low

    def at(self, start):
        return next(i for i, block in enumerate(self.blocks) if block[0] == start)

    def end(self):
        return self.blocks[-1][1] if self.blocks else 0

    def free(self, start):
        del self.blocks[self.at(start)]

    def resize(self, start, size):
        i, count = self.at(start), self.granules(size)
        limit = self.blocks[i + 1][0] if i + 1 < len(self.blocks) else float("inf")
        if start + count > limit:
            moved = self.place(size)
            self.free(start)
            return moved
        self.blocks[i] = (start, start + count)
        return start


def usable(events, granule):
    """Bytes for blocks that these calls need."""
    return usable_of_two_ends(events, (), granule)


def usable_of_two_ends(events, members, granule):
    """Bytes for blocks that these calls need if those of members lie at the other end, top down."""
    pools, where, most = (Pool(granule), Pool(granule)), {}, 0
    for op, block, size, _, _ in events:
        pool = pools[block in members]
        if op == FREE:
            pool.free(where.pop(block))
        elif op == REALLOC and block in where:
            where[block] = pool.resize(where[block], size)
        else:
            where[block] = pool.place(size)
        most = max(most, pools[0].end() + pools[1].end())
    return most * granule


class Life:
    """Of each block the number of its first event, from 1, which names it, its site and sizes."""

    def __init__(self, events):
        self.events, self.site, self.largest, self.deaths = events, {}, {}, {}
        self.birth = {}
        for number, event in enumerate(events, 1):
            self.birth.setdefault(event.block, number)
            self.site.setdefault(event.block, event.site)
            self.largest[event.block] = max(self.largest.get(event.block, 0), event.size)

    def group(self, change):
        """The blocks of a change, in the order in which it lists them."""
        by_birth = {number: block for block, number in self.birth.items()}
        if change["by"] == "size":
            return [block for block in self.birth if self.largest[block] == change["size"]]
        if change["by"] == "site":
            return [block for block in self.birth if self.site[block] == change["site_number"]]
        return [by_birth[number] for number in change["events"]]

    def changed(self, changes):
        """The calls of the changed program for each of its pools, and their granule."""
        first, rest, own, granule = [], list(self.events), [], None
        self.at_end = set()
        for change in changes:
            kind = change["change"]
            if kind == "granule":
                granule = change["to"]
                continue
            blocks = self.group(change)
            assert len(blocks) == change["count"], change
            rest = self.change(kind, blocks, change, rest, first, own)
        return [first + rest] + own, granule

    def change(self, kind, blocks, change, rest, first, own):
        members = set(blocks)
        if kind == "first":
            births = [self.events[self.birth[block] - 1] for block in blocks]
            first += [birth._replace(size=self.largest[birth.block]) for birth in births]
            return [event for event in rest if event.block not in members]
        if kind == "own_pool":
            own.append([event for event in rest if event.block in members])
            return [event for event in rest if event.block not in members]
        if kind == "other_end":
            self.at_end = members
            return rest
        if kind == "kept":
            return [event for event in rest if event.op != FREE or event.block not in members]
        if kind == "earlier":
            return self.earlier(members, rest)
        return [each for event in rest for each in self.other_size(kind, members, change, event)]

    def earlier(self, members, rest):
        """Each run of frees that follows a request: those of members, then the request, then the others."""
        made, i = [], 0
        while i < len(rest):
            asked = rest[i]
            i += 1
            if asked.op == FREE:
                made.append(asked)
                continue
            run = i
            while run < len(rest) and rest[run].op == FREE:
                run += 1
            ahead = [free for free in rest[i:run] if free.block in members and free.block != asked.block]
            made += ahead + [asked] + [free for free in rest[i:run] if free not in ahead]
            i = run
        return made

    def other_size(self, kind, members, change, event):
        if event.block not in members or event.op == FREE:
            return [event]
        if kind == "whole":
            is_birth = event is self.events[self.birth[event.block] - 1]
            return [event._replace(size=self.largest[event.block])] if is_birth else []
        if kind == "power_of_two":
            return [event._replace(size=1 << max(0, event.size - 1).bit_length())]
        assert kind == "size", kind
        return [event._replace(size=change["to"]) if event.size == change["from"] else event]


def random_events(seed, count):
    """A program with a few sites of their own habits: buffers that grow, long-lived blocks, scratch."""
    draw = random.Random(seed)
    events, live, block = [], [], 0
    habits = [(site, draw.choice((24, 40, 100, 130, 700, 1032, 2064)), draw.random()) for site in range(1, 7)]
    while len(events) < count:
        if live and draw.random() < 0.2:
            i = draw.randrange(len(live))
            old, size, site = live[i]
            live[i] = (old, size * draw.choice((2, 3)) // 2 + 1, site)
            events.append(Event(REALLOC, *live[i]))
        elif live and draw.random() < 0.48:
            old, _, site = live.pop(draw.randrange(len(live)) if draw.random() < 0.5 else -1)
            events.append(Event(FREE, old, 0, site))
        else:
            site, size, chance = draw.choice(habits)
            size = size if draw.random() < 0.7 else draw.randrange(1, 300)
            block += 1
            events.append(Event(MALLOC, block, size, site))
            if draw.random() < chance:
                live.append((block, size, site))
            else:
                events.append(Event(FREE, block, 0, site))
    return events
