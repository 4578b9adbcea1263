# SPDX-License-Identifier: MIT
"""The views of the ffalloc command: pictures, the report, exports in their viewers, sweep and doctor."""

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree

from support import CHILDREN, SOURCE, need
from tool import ToolCase

# What headless Chromium needs as root in a container, and not to look for its makers' hosts.
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=5000")


class Map(ToolCase):
    def test_terminal(self):
        trace = self.record(CHILDREN / "places")
        text = self.tool("map", trace, LC_ALL="C.UTF-8").stdout
        self.assertIn("█", text)
        self.assertNotIn("\33", text)
        self.assertIn("\33[", self.tool("map", "--color=always", trace).stdout)
        text = self.tool("map", "--ascii", trace).stdout
        self.assertTrue(text.isascii())
        lines = re.findall(r"^[0-9a-f]+ ([.+*#-]+)$", text, re.M)
        self.assertGreater(len(lines), 4)

    def test_it_fits_the_terminal(self):
        trace = self.record(CHILDREN / "places")
        for columns in (40, 60, 73, 80, 200):
            lines = self.tool("map", trace, COLUMNS=str(columns), LC_ALL="C").stdout.splitlines()
            self.assertLessEqual(max(map(len, lines)), columns)
            self.assertGreater(max(map(len, lines)), min(columns, 80) - 20)

    def test_it_has_no_other_characters_than_the_locale(self):
        trace = self.record(CHILDREN / "places")
        locales = ({"LC_ALL": "C"}, {"LC_ALL": "", "LC_CTYPE": "", "LANG": "C"},
                   {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"})
        for variables in locales:
            text = self.tool("map", trace, **variables).stdout
            self.assertTrue(text.isascii(), variables)
        self.assertIn("█", self.tool("map", trace, LC_ALL="", LC_CTYPE="", LANG="C.UTF-8").stdout)

    def test_the_numbers_are_those_of_the_replay(self):
        trace = self.record(CHILDREN / "places")
        moment = self.object("map", "--json", "--at=end", trace)
        end = self.object("replay", "--json", trace)
        self.assertEqual((moment["used"], moment["blocks"], moment["mark"]),
                         (end["used"], end["blocks"], end["high_water"]))

    def test_moments(self):
        trace = self.record(CHILDREN / "places")
        size = self.object("size", "--json", trace)
        at = {name: self.object("map", "--json", f"--at={name}", trace)["event"]
              for name in ("mark", "peak", "100")}
        self.assertEqual(at, {"mark": size["set_by"]["event"], "peak": size["payload_peak_event"],
                              "100": 100})
        self.assert_one_line(self.tool("map", "--at=fail", trace, status=1), "no request failed")
        failed = self.object("replay", "--json", "--pool=8K", trace, status=1)["first_failed"]
        self.assertEqual(self.object("map", "--json", "--at=fail", "--pool=8K", trace)["event"], failed)
        self.assert_one_line(self.tool("map", "--at=never", trace, status=2), "--at")

    def test_pictures(self):
        trace = self.record(CHILDREN / "places")
        svg, png = self.folder / "map.svg", self.folder / "map.png"
        for by in ("site", "age"):
            self.tool("map", "--svg", svg, "--png", png, "--by", by, trace)
            root = ElementTree.parse(svg).getroot()
            self.assertTrue(root.tag.endswith("svg"))
            self.assertEqual(png.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
            self.assertGreater(png.stat().st_size, 10000)
        self.assert_one_line(self.tool("map", "--svg", "/no/such/map.svg", trace, status=125),
                             "No such file")

    def test_no_line_of_a_picture_reaches_its_border(self):
        """A command, and a function at the mark, of 300 characters."""
        name = "long_name_of_a_function" * 14
        source, program = self.folder / "main.c", self.folder / "main"
        source.write_text(f"""#include <stdlib.h>
            __attribute__((noinline)) void *{name}(void) {{ return malloc(100000); }}
            int main(void) {{ free({name}()); return 0; }}""")
        subprocess.run([need("gcc"), "-g", "-O0", source, "-o", program], check=True)
        png = self.folder / "map.png"
        self.tool("map", "--png", png, self.record(program, "word " * 60))
        self.assertTrue(has_white_border(png, columns=40))


def has_white_border(path, columns):
    """Whether the last columns of a PNG are as white as paper."""
    import cairo

    picture = cairo.ImageSurface.create_from_png(str(path))
    stride, width = picture.get_stride(), picture.get_width()
    points = bytes(picture.get_data())
    return all(set(points[row * stride + 4 * (width - columns):row * stride + 4 * width]) == {255}
               for row in range(picture.get_height()))


# Chromium's own windows are wider than a phone.
PHONE = """<!DOCTYPE html><iframe src="report.html" style="width: 390px; height: 844px; border: 0"></iframe>
<output></output><script>
addEventListener("message", event => { document.querySelector("output").textContent = event.data; });
</script>"""


class Report(ToolCase):
    def browse(self, page, *options):
        done = subprocess.run(
            [need("chromium"), *CHROMIUM, f"--user-data-dir={self.folder / 'user'}", *options,
             f"file://{page}"], capture_output=True, text=True, timeout=120)
        self.assertEqual(re.findall(r".*CONSOLE.*", done.stderr), [])
        return done.stdout

    def test_page(self):
        trace = self.record(CHILDREN / "places", options=["--backtrace", "fp"])
        page = self.folder / "report.html"
        self.tool("report", trace, "-o", page)
        size = self.object("size", "--json", trace)
        text = page.read_text()
        self.assertIn(f"{size['min_pool']:,} bytes", text)
        self.assertIsNone(re.search(r"(src|href)=[\"']?(https?:)?//", text), "it needs the network")
        document = self.browse(page, "--dump-dom")
        self.assertIn("free</span>", document)  # the script has written the legend

    def test_on_a_phone(self):
        """What phone.js finds of the page at 390 pixels: no label over another, rows that can be read,
        a page that scrolls over the picture, which two fingers zoom."""
        trace = self.record(CHILDREN / "places", options=["--backtrace", "fp"])
        page = self.folder / "report.html"
        self.tool("report", trace, "-o", page)
        text = page.read_text()
        script = (SOURCE / "tests/child/phone.js").read_text()
        for events in ("100", "98765432"):
            text = re.sub('"events":[0-9]+', f'"events":{events}', text)
            page.write_text(text.replace("<head>", f"<head><script>{script}</script>"))
            (self.folder / "phone.html").write_text(PHONE)
            document = self.browse(self.folder / "phone.html", "--dump-dom")
            found = json.loads(re.search(r"<output>(.*?)</output>", document).group(1))
            self.assertEqual(found.pop("width"), 390)
            self.assertGreater(found.pop("labels"), 10)
            self.assertGreater(found.pop("siteWidth"), 150)
            self.assertAlmostEqual(found.pop("zoom"), 0.5, places=2)
            self.assertEqual(found, {"overlaps": [], "pageWidth": 390, "wheelScrolls": True,
                                     "fingerScrolls": True})

    def test_light_and_dark(self):
        trace = self.record(CHILDREN / "places")
        page = self.folder / "report.html"
        self.tool("report", trace, "-o", page)
        ground = {}
        for name, option in (("light", "--blink-settings=preferredColorScheme=1"),
                             ("dark", "--blink-settings=preferredColorScheme=0")):
            shot = self.folder / f"{name}.png"
            self.browse(page, option, "--window-size=1200,1000", f"--screenshot={shot}")
            ground[name] = lightness(shot)
        self.assertGreater(ground["light"], 0.9)
        self.assertLess(ground["dark"], 0.15)

    def test_what_a_program_is_called_is_only_text(self):
        trace = self.record("sh", "-c", ": '</script><script>alert(1)</script>'")
        text = self.tool("report", trace, "-o", "-").stdout
        self.assertNotIn("<script>alert", text)


def lightness(path):
    """Of a PNG's first point, 0 to 1: the page's ground."""
    import cairo

    point = bytes(cairo.ImageSurface.create_from_png(str(path)).get_data())[:3]
    return sum(point) / 3 / 255


class Export(ToolCase):
    def export(self, kind, name=None, program=CHILDREN / "places"):
        output = self.folder / (name or kind)
        trace = self.record(program, options=["--backtrace", "fp"])
        self.tool("export", trace, "--format", kind, "-o", output)
        self.size = self.object("size", "--json", trace)
        return output

    def open(self, *words):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_massif(self):
        text = self.open(need("ms_print"), self.export("massif"))
        self.assertIn("(peak)", text)
        self.assertIn(f"{self.size['payload_peak']:,}B", text)
        self.assertRegex(text, r"->.*make \(.*places\.c:\d+\)")

    def test_heaptrack(self):
        for name in ("places.heaptrack", "places.heaptrack.gz"):
            text = self.open(need("heaptrack_print"), self.export("heaptrack", name))
            self.assertRegex(text, r"(?s)make\s+at .*places\.c:\d+")
            calls = int(re.search(r"calls to allocation functions: (\d+)", text).group(1))
            self.assertGreater(calls, 1000)

    def test_pprof(self):
        text = self.open(need("go"), "tool", "pprof", "-sample_index=alloc_space", "-top",
                         self.export("pprof"))
        self.assertRegex(text, r"(?m)^.*% +make$")

    def test_chrome(self):
        events = json.loads(self.export("chrome").read_text())["traceEvents"]
        counters = [event for event in events if event["ph"] == "C"]
        self.assertGreater(len(counters), 100)
        self.assertTrue(all(isinstance(value, (int, float)) for event in counters
                            for value in event["args"].values()))

    def test_json_and_csv(self):
        data = json.loads(self.export("json").read_text())
        self.assertEqual(data["mark"], self.size["min_usable"])
        lines = self.export("csv").read_text().splitlines()
        self.assertEqual(len(lines), data["events"] + 1)

    def test_bad_output(self):
        trace = self.record(CHILDREN / "places")
        for kind in ("massif", "csv"):
            self.assert_one_line(self.tool("export", trace, "--format", kind, "-o", "/no/such/file",
                                           status=125), "/no/such")
        self.assert_one_line(self.tool("export", trace, "--format=x", "-o", "y", status=2), "invalid")


class Sweep(ToolCase):
    def compiled(self, text):
        source, program = self.folder / "main.c", self.folder / "main"
        source.write_text("#include <stdlib.h>\n#include <string.h>\n" + text)
        subprocess.run([need("gcc"), "-g", "-O0", source, "-o", program], check=True)
        return program

    def test_finds_the_allocation_that_is_not_checked(self):
        program = self.compiled("""
            static char *copy(const char *text) {
                return strcpy(malloc(100), text);  /* not checked */
            }
            int main(void) {
                char *block = malloc(10);
                if (!block) return 3;
                char *text = copy("x");
                block = realloc(block, 50);
                return block && text ? 0 : 4;
            }""")
        done = self.object("sweep", "--json", "--", program, status=1)
        self.assertEqual((done["requests"], done["runs"], done["same"], done["other_status"]),
                         (3, 3, 0, 2))
        [crash] = done["bad"]
        self.assertEqual((crash["request"], crash["outcome"]), (2, "SIGSEGV"))
        self.assertRegex(crash["site"], r"copy main\.c:5")
        need("gdb")
        self.assertRegex(crash["crash"], r"copy at .*main\.c:5")

    def test_a_run_that_hangs(self):
        program = self.compiled("int main(void) { void *volatile a = malloc(9); while (!a); return 0; }")
        done = self.object("sweep", "--json", "--timeout=1", "--", program, status=1)
        self.assertEqual(done["bad"][0]["outcome"], "hangs")

    def test_a_sound_program(self):
        program = self.compiled("int main(void) { free(malloc(9)); return 0; }")
        self.assertIn("0 crashed", self.tool("sweep", "--", program).stdout)


class Doctor(ToolCase):
    def test_all_is_well(self):
        findings = self.object("doctor", "--json")
        self.assertEqual([f for f in findings if f["state"] == "FAILED"], [])
        self.assertEqual({f["name"]: f["state"] for f in findings}["preload"], "ok")
