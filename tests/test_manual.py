# SPDX-License-Identifier: MIT
"""What --help, the manual page and the completion say of each command is one thing."""

import os
import re
import subprocess

import support
from support import BUILD, SOURCE, need
from tool import ToolCase

OF_ALL = {"help", "usage"}


def examples(page):
    """The lines between .Bd and .Ed of the page's examples."""
    text = (SOURCE / "doc" / page).read_text().split(".Sh EXAMPLES\n")[1].split("\n.Sh ")[0]
    return "".join(re.findall(r"^\.Bd .*\n((?:.*\n)*?)\.Ed$", text, re.M))


class Examples(ToolCase):
    PROGRAM = "#include <stdlib.h>\nint main(void) { free(malloc(5000)); return 0; }"

    def test_of_the_command_do_what_they_say(self):
        subprocess.run([need("gcc"), "-xc", "-", "-o", self.folder / "app"], input=self.PROGRAM, text=True, check=True)
        commands = re.findall(r"^\$ (.*)$", examples("ffalloc.1"), re.M)
        self.assertGreater(len(commands), 5)
        path = f"{BUILD}:{os.environ['PATH']}"
        done = support.run(["bash", "-ec", "\n".join(commands)], preload=None, cwd=self.folder, PATH=path)
        self.assert_ends_well(done)
        self.assertIn("\n0\n", done.stdout)
        self.assertIn("0 crashed or hung", done.stdout)
        self.assertTrue((self.folder / "app.html").exists())

    def test_of_the_core_compile(self):
        text = "#include <ffalloc/ffalloc.h>\nint main(void)\n{\n" + examples("ffalloc.3") + "return 0; }\n"
        program = self.folder / "program"
        subprocess.run([need("gcc"), "-Wall", "-Werror", "-I", SOURCE / "include", "-xc", "-",
                        *SOURCE.glob("src/core/*.c"), "-o", program], input=text, text=True, check=True)
        self.assertEqual(subprocess.run([program]).returncode, 0)


class Manual(ToolCase):
    def setUp(self):
        super().setUp()
        text = self.tool("--help").stdout
        self.commands = re.findall(r"^  ([a-z]+) ", text, re.M)
        self.assertGreater(len(self.commands), 9)

    def options_of_help(self, command):
        """{long name: its letter or ""}"""
        text = self.tool(command, "--help").stdout
        found = re.findall(r"^ +(?:-(.)(?: \S+)?, )?--([a-z][a-z-]*)(.*(?:\n {20}.*)?)", text, re.M)
        for _, name, rest in found:
            self.assertRegex(rest, r"[a-z]{3}", f"{command} --{name} is not explained")
        return {name: letter for letter, name, _ in found if name not in OF_ALL}

    def options_of_manual(self, command):
        """Of the list items below the command's own."""
        page = (SOURCE / "doc/ffalloc.1").read_text()
        below = re.search(rf"^\.It Cm {command}\b.*\n((?:(?!\.It Cm |\.Sh).*\n)*)", page, re.M).group(1)
        items = " ".join(re.findall(r"^\.It (.*)", below, re.M))
        return {name: letter for letter, name in re.findall(r"Fl (?:(.) , )?-([a-z][a-z-]*)", items)}

    def complete(self, *words):
        """What completion offers for the last of the words."""
        text = f"source {SOURCE / 'tools/completion/ffalloc'}; COMP_CWORD={len(words)}; " \
               f'COMP_WORDS=({BUILD / "ffalloc"} "$@"); _ffalloc; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", text, "bash", *words], capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_the_manual_has_the_options_of_help_and_no_others(self):
        for command in self.commands:
            with self.subTest(command=command):
                self.assertEqual(self.options_of_manual(command), self.options_of_help(command))

    def test_the_completion_offers_the_options_of_help(self):
        for command in self.commands:
            with self.subTest(command=command):
                offered = {word[2:] for word in self.complete(command, "--") if word != "--"}
                self.assertEqual(offered - OF_ALL, set(self.options_of_help(command)))

    def test_the_completion_offers_each_command(self):
        self.assertEqual(set(self.complete("")) - {"help", "--help", "--version"}, set(self.commands))
        self.assertEqual(self.complete("re"), ["record", "replay", "report"])

    def test_the_completion_offers_an_options_own_values(self):
        targets = ["32", "64", "32-small", "64-small"]
        for words, reply in (
            (("size", "--target", ""), targets), (("size", "-t", ""), targets),
            (("run", "-t", "m"), ["memcheck", "massif"]), (("run", "--tool", "g"), ["gdb"]),
            (("record", "-b", ""), ["caller", "fp", "unwind", "auto"]), (("map", "--by", "a"), ["age"]),
            (("replay", "-g", ""), ["8", "16", "32"]), (("size", "-f", "6"), ["64K"]),
        ):
            with self.subTest(words=words):
                self.assertEqual(self.complete(*words), reply)

    def test_help_of_a_command(self):
        for command in self.commands:
            self.assertEqual(self.tool("help", command).stdout, self.tool(command, "--help").stdout)
        self.assert_one_line(self.tool("help", "fly", status=2), "no command 'fly'")
