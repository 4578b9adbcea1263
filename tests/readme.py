# SPDX-License-Identifier: MIT
"""Types the README's commands, one after the other in one shell, and compares what they print.

    readme.py [README]      in the folder it is started in; tools/bare does that in a bare Debian

A command follows "    $ ", up to the end of its quotes; what it prints stands below it. A line "..." is
any lines. Numbers that differ from run to run are not compared: processes, times and their like.
"""

import pathlib
import re
import shlex
import subprocess
import sys

INDENT = "    "
PROMPT = INDENT + "$ "
VARYING = (r"process \d+", r"\d+\.\d+ s\b", r"[\d.]+ KiB \([\d.]+ bytes an event\)",
           r"events, [\d.]+ MiB", r"0x[0-9a-f]{9,}")


def is_whole(command):
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def commands(text):
    """Each command with the lines it is said to print."""
    found = []
    lines = iter(text.splitlines())
    is_inside = False
    for line in lines:
        if line.startswith(PROMPT):
            command = line[len(PROMPT):]
            while not is_whole(command):
                command += "\n" + next(lines)[len(INDENT):]
            found.append((command, []))
            is_inside = True
        elif is_inside and line.startswith(INDENT):
            found[-1][1].append(line[len(INDENT):])
        else:
            is_inside = False
    return found


def type_all(found, folder, environment=None):
    """What each of the commands prints, typed into one shell in this folder."""
    mark = "-- printed --"
    script = "".join(f"{{ {command}\n}} 2>&1\nprintf '%s\\n' '{mark}'\n" for command, _ in found)
    done = subprocess.run(["bash"], input=script, cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.split(mark + "\n")[:len(found)]


def pattern(expected):
    """Of the text that the lines stand for."""
    parts = []
    for line in expected:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
            continue
        varying = re.compile("|".join(VARYING))
        at, words = 0, ""
        for match in varying.finditer(line):
            kind = next(kind for kind in VARYING if re.fullmatch(kind, match.group()))
            words += re.escape(line[at:match.start()]) + kind
            at = match.end()
        parts.append(words + re.escape(line[at:]) + r" *\n")
    return "".join(parts)


def differences(text, folder, environment=None):
    """A paragraph for each command that does not print what the text says."""
    found = commands(text)
    return [f"$ {command}\nprints:\n{printed}\nand not:\n" + "\n".join(expected)
            for (command, expected), printed in zip(found, type_all(found, folder, environment))
            if not re.fullmatch(pattern(expected), printed)]


if __name__ == "__main__":
    different = differences(pathlib.Path((sys.argv[1:] or ["README.md"])[0]).read_text(), ".")
    print("\n\n".join(different) or "The README's commands print what it says.")
    sys.exit(bool(different))
