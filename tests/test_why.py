# SPDX-License-Identifier: MIT
"""ffalloc why: each figure is that of the changed trace, replayed by a model that shares no code with
the command, and sized by `ffalloc size`."""

import html
import os
import random
import re
import resource
import struct
import unittest

import support
from support import BUILD, SOURCE, need
from tool import ToolCase
from why_model import ALIGNED, Event, FREE, Life, MALLOC, REALLOC
from why_model import random_events, trace_bytes, usable, usable_of_two_ends

TRACES = sorted((SOURCE.parent / "shared/traces").glob("emb_*.trc.zst"))


class Why(ToolCase):
    def write(self, events, name="trace"):
        trace = self.folder / name
        trace.write_bytes(trace_bytes(events))
        return trace

    def why(self, trace, *options):
        return self.object("why", "--json", *options, trace)

    def assert_replayed(self, life, what_if, granule, has_size=True):
        pools, own_granule = life.changed(what_if["changes"])
        granule = own_granule or granule
        if life.at_end:
            sizes = [usable_of_two_ends(pools[0], life.at_end, granule), *(usable(pool, granule) for pool in pools[1:])]
            self.assertEqual(sum(sizes), what_if["usable"], what_if)
            return
        self.assertEqual(sum(usable(pool, granule) for pool in pools), what_if["usable"], what_if)
        if has_size:
            sizes = [self.object("size", "--json", f"--granule={granule}", self.write(pool, "changed"))
                     for pool in pools if pool]
            self.assertEqual(sum(size["mark_pool"] for size in sizes), what_if["pool"], what_if)

    def assert_true(self, life, data):
        """All that is said of the pool and each what-if."""
        granule = data["granule"]
        self.assertEqual(usable(life.events, granule), data["min_usable"])
        self.assertEqual(data["payload"] + data["rounding"] + data["holes"] + data["metadata"],
                         data["min_pool"])
        what_ifs = data["what_ifs"] + ([data["together"]] if "together" in data else [])
        for what_if in what_ifs:
            self.assert_replayed(life, what_if, granule)
            self.assertEqual(what_if["saved"], data["min_pool"] - what_if["pool"])
            self.assertGreater(what_if["saved"], 0)
        for change in data.get("together", {}).get("changes", []):
            self.assertLessEqual(change["pool_so_far"], data["min_pool"])
        saved = [what_if["saved"] for what_if in data["what_ifs"]]
        self.assertEqual(saved, sorted(saved, reverse=True))
        if saved:
            self.assertGreaterEqual(data["together"]["saved"], saved[0])
            self.assertEqual(data["together"]["changes"][-1]["pool_so_far"], data["together"]["pool"])

    def test_each_figure_is_that_of_the_changed_trace(self):
        seed = int(os.environ.get("FFALLOC_SEED", "1"))
        kinds = set()
        for draw in range(seed, seed + 8):
            with self.subTest(seed=draw):
                events = random_events(draw, 600)
                data = self.why(self.write(events))
                self.assert_true(Life(events), data)
                kinds |= {(change["change"], change["by"]) for what_if in data["what_ifs"] + [data["together"]]
                          for change in what_if["changes"]}
        self.assertGreater(len(kinds), 8, kinds)
        self.assertEqual({kind for kind, _ in kinds} - {"kept"},
                         {"first", "own_pool", "other_end", "earlier", "whole", "power_of_two", "size", "granule"})

    def test_one_block_that_keeps_a_hole(self):
        """Ten short-lived blocks, one small one that stays, and a request as large as the ten: asked for
        first, the one leaves them one hole."""
        events = [Event(MALLOC, i, 100, 1) for i in range(10)]
        events += [Event(MALLOC, 10, 40, 2)] + [Event(FREE, i, 0) for i in range(10)]
        events += [Event(MALLOC, 11, 1200, 3), Event(MALLOC, 12, 16, 1)] + [Event(FREE, i, 0) for i in (11, 12, 10)]
        data = self.why(self.write(events))
        self.assert_true(Life(events), data)
        best = data["what_ifs"][0]
        self.assertEqual([(change["change"], change["count"], change["begins_with"]["event"])
                          for change in best["changes"]], [("first", 1, 11)])
        self.assertEqual(data["min_usable"] - best["usable"], 1104)
        [hole] = data["largest_holes"]
        self.assertEqual((hole["size"], hole["since"], hole["refused"], hole["refused_least"]),
                         (1120, 21, 1, 1200))
        below = hole["below"]
        self.assertEqual((below["event"], below["size"], below["freed"], below["site_number"]), (11, 40, 26, 2))
        self.assertEqual(data["bound_usable"], 48 + 1200 + 16)
        text = self.tool("why", self.folder / "trace", COLUMNS="80").stdout
        self.assertRegex(" ".join(text.split()), r"\APlace first \(static, or asked for at the start and kept\) "
                         r"the block of malloc\(40\), event 11, at 0x2000: this run then needs [\d,]+ bytes less")

    def test_says_so_where_nothing_is_gained(self):
        events = [Event(MALLOC, i, 16, 1) for i in range(300)]
        data = self.why(self.write(events))
        self.assertEqual((data["what_ifs"], data["largest_holes"]), ([], []))
        self.assertNotIn("together", data)
        text = " ".join(self.tool("why", self.folder / "trace", COLUMNS="80").stdout.split())
        self.assertRegex(text, r"\A9\d\.\d % of this pool is payload, and no other place of its blocks that was "
                         r"tried saves anything\.")
        self.assertIn("4,800 4,800 0x1000, 300 blocks", text)

    def test_the_sqlite_run(self):
        """44,448 bytes of holes, of which nearly all can be had."""
        statement = """create table t(a, b);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
        insert into t select i, hex(i * i) from n; select count(*), max(b) from t; drop table t"""
        trace = self.record(need("sqlite3"), ":memory:", statement)
        events, births = [], {}
        for number, row in enumerate(self.events(trace), 1):
            op = {"malloc": MALLOC, "calloc": MALLOC, "realloc": REALLOC, "free": FREE}[row["call"]]
            block = births.setdefault(row["block"], number)
            events.append(Event(op, block, int(row["size"])))
            if op == FREE:
                del births[row["block"]]
        data, life = self.why(trace), Life(events)
        for what_if in [each for each in data["what_ifs"] if "site" not in f"{each}"][:4]:
            self.assert_replayed(life, what_if, data["granule"], has_size=False)
        self.assertGreater(data["together"]["saved"], data["holes"] * 0.8)
        best = next(each for each in data["what_ifs"] if len(each["changes"]) == 1)
        self.assertGreater(best["saved"], data["holes"] * 0.8)

    @unittest.skipUnless(TRACES, "no traces here")
    def test_embedded_traces_say_what_size_says(self):
        for path in TRACES:
            with self.subTest(trace=path.name):
                data = self.why(path, "--target=32")
                size = self.object("size", "--json", "--target=32", path)
                for name in ("min_pool", "min_usable", "metadata"):
                    self.assertEqual(data[name], size[name])
                self.assertEqual(data["least_pool"], size["min_pool"])
                self.assertLessEqual(data["bound_pool"], data["min_pool"])

    def test_aligned_requests_save_no_more_than_is_said(self):
        events = random_events(1, 1500)
        events = [event._replace(op=ALIGNED, log2align=6) if event.op == MALLOC and event.block % 3 == 0 else event
                  for event in events]
        data = self.why(self.write(events))
        self.assertEqual(data["spare"], 48)
        size = self.object("size", "--json", self.folder / "trace")
        self.assertEqual(data["min_pool"], size["min_pool"])
        whole = [each for each in data["what_ifs"] if not re.search("own_pool|other_end", f"{each}")]
        self.assertGreater(len(whole), 2)
        for what_if in whole:
            pools, granule = Life(events).changed(what_if["changes"])
            changed = self.object("size", "--json", f"--granule={granule or 16}", self.write(pools[0], "changed"))
            self.assertLessEqual(changed["min_pool"], what_if["pool"])

    def test_a_screen_of_lines_that_fit(self):
        trace = self.write(random_events(2, 900))
        for columns, most in ((60, 60), (80, 48), (160, 36)):
            lines = self.tool("why", trace, COLUMNS=f"{columns}").stdout.splitlines()
            self.assertLessEqual(max(map(len, lines)), columns)
            self.assertLessEqual(len(lines), most)

    def test_the_report_begins_with_it(self):
        trace = self.write(random_events(1, 600))
        [answer, *_] = self.tool("why", trace, COLUMNS="4000").stdout.splitlines()
        [best, *_] = self.why(trace)["what_ifs"]
        page = html.unescape(self.tool("report", trace, "-o", "-").stdout)
        self.assertLess(0, page.find(answer), answer)
        self.assertLess(page.find(answer), page.find("What the pool is made of"))
        self.assertIn(f"<dt>{best['saved']:,}</dt>", page)
        self.assertNotIn("what to change", self.tool("report", "--pool=64K", trace, "-o", "-").stdout)
        failed = self.folder / "failed"
        failed.write_bytes(struct.pack("<4sIQBBHIQII", b"FTRC", 2, 2**64 - 1, 6, 0, 0, 2**32 - 1, 5, 0, 0))
        self.assertNotIn("what to change", self.tool("report", failed, "-o", "-").stdout)

    def test_the_same_answer_each_time(self):
        trace = self.write(random_events(5, 700))
        self.assertEqual(self.why(trace), self.why(trace))
        self.assertEqual(self.tool("why", "-", stdin=None, status=125).returncode, 125)

    def test_bad_input(self):
        empty = self.folder / "empty"
        empty.write_bytes(b"")
        for words, status in (([empty], 125), (["/no/such/trace"], 125), ([__file__], 125)):
            self.assert_one_line(self.tool("why", *words, status=status), ".")
        nothing = self.write([])
        self.assert_one_line(self.tool("why", nothing, status=125), "no request")
        trace = self.write([Event(MALLOC, 0, 5)])
        for option in ("--granule=9", "--target=16", "--granule=x"):
            self.assert_one_line(self.tool("why", option, trace, status=2), option[2:8])
        self.tool("why", status=2)

    def test_under_memcheck_it_ends_and_touches_nothing_else(self):
        trace = self.write(random_events(3, 300))
        for command in ("reasons", "size", "replay"):
            done = support.run([need("valgrind"), "-q", "--error-exitcode=99", BUILD / "ffalloc", command, trace],
                               preload=None, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)

    def test_a_million_events_in_two_seconds(self):
        draw = random.Random(1)
        sizes = [draw.choice((16, 24, 48, 100, 400)) for _ in range(1000)]
        calls = [struct.pack("<BBHII", MALLOC, 0, 0, i, size) for i, size in enumerate(sizes)]
        frees = [struct.pack("<BBHII", FREE, 0, 0, i, 0) for i in range(999, -1, -1)]
        trace = self.folder / "large"
        trace.write_bytes(struct.pack("<4sIQ", b"FTRC", 1, 1_000_000) + b"".join(calls + frees) * 500)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.why(trace)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertLess(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


class Words(unittest.TestCase):
    def test_every_change_has_an_order(self):
        import sys
        sys.path.insert(0, str(SOURCE / "tools/ffalloc"))
        import words

        begins = {"call": "malloc", "size": 10, "largest": 40, "event": 3, "site": "f a.c:1"}
        source = (SOURCE / "tools/ffalloc/plan.c").read_text()
        kinds = re.findall(r'"([a-z_]+)"', re.search(r"names\[CHANGE_KINDS\] = {(.*?)}", source, re.S).group(1))
        self.assertEqual(len(kinds), 9)
        for kind in kinds:
            for by in ("block", "run", "size", "site"):
                change = {"change": kind, "by": by, "count": 1 if by == "block" else 3, "size": 10, "to": 8,
                          "site": "f a.c:1", "begins_with": begins}
                text = words.change_text(change)
                self.assertIn("bytes" if kind == "granule" else "block", text)
        self.assertIn(words.change_text({"change": "granule", "by": "pool", "count": 0, "to": 8}),
                      "give granules of 8 bytes to the pool")
