# SPDX-License-Identifier: MIT
"""What the views share: messages, arguments, and the data of a trace, which the ffalloc command
gathers (survey.h says what it is)."""

import argparse
import contextlib
import functools
import json
import locale
import os
import shutil
import stat
import subprocess
import sys
import tempfile

NO, USAGE, FAILED = 1, 2, 125


class Failure(Exception):
    """One line for the user, if any, and the status to end with."""

    def __init__(self, text="", status=FAILED):
        super().__init__(text)
        self.status = status


def printable(text):
    """A name that a program or a user chose, as a terminal may be shown it."""
    return "".join(letter if letter.isprintable() else "?" for letter in f"{text}")


def say(text):
    """A message: data goes to standard output, all else here."""
    print(f"ffalloc: {printable(text)}", file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are of one line."""

    def __init__(self, name, what, **settings):
        super().__init__(prog=f"ffalloc {name}", description=what, allow_abbrev=False, **settings)

    def add_skip(self):
        self.add_argument("--skip", metavar="NAME[,NAME]", help="functions, or whole libraries, that are no call "
                          "site of their own, as xmalloc,my_*: their callers are")

    def error(self, message):
        raise Failure(f"{self.prog.split()[-1]}: {message}", USAGE)


def command():
    """The file of the ffalloc command."""
    return sys.argv[1]


@functools.cache
def kept(trace):
    """A trace that comes by a pipe, "-" being standard input, as a file that can be read again."""
    with contextlib.ExitStack() as stack:
        pipe = sys.stdin.buffer if trace == "-" else stack.enter_context(open(trace, "rb"))
        if pipe.seekable():
            return open(os.dup(pipe.fileno()), "rb")
        file = tempfile.TemporaryFile()
        shutil.copyfileobj(pipe, file)
        file.flush()
        return file


def run_command(*words, trace, output=subprocess.PIPE, is_told=False):
    """Runs a command of ffalloc on a trace; what it says has been said, its failure is ours. Where another
    command has said of the trace what there is to say, this one is heard if it fails."""
    file = kept(trace) if trace == "-" or stat.S_ISFIFO(os.stat(trace).st_mode) else None
    if file:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
    done = subprocess.run([command(), *map(str, words), "-" if file else trace], stdin=file,
                          stdout=output, stderr=subprocess.PIPE if is_told else None)
    if done.returncode != 0:
        sys.stderr.write((done.stderr or b"").decode(errors="replace"))
        raise Failure(status=done.returncode if done.returncode > 0 else FAILED)
    return done.stdout


def skip_words(names):
    return [f"--skip={names}"] if names is not None else []


def survey(trace, **options):
    """The data of a trace; options as those of ffalloc data, None is left out."""
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    data = json.loads(run_command("data", *words, "--", trace=trace))
    data["site_by_number"] = {site["number"]: site for site in data["sites"]}
    return data


def reasons(trace, is_told=False, **options):
    """Why a trace needs its pool; options as those of ffalloc reasons, None is left out."""
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return json.loads(run_command("reasons", *words, "--", trace=trace, is_told=is_told))


def person(size):
    """A size for a person."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def number(count, what=""):
    """5,100,001 blocks; 1 block."""
    return f"{count:,} {what}{'s' * (count != 1)}" if what else f"{count:,}"


def site_name(data, number):
    site = data["site_by_number"].get(number)
    return (site and site["name"]) or "unknown"


def top_sites(data, key="mark_bytes", most=11):
    """The sites that hold most, largest first; none that holds nothing."""
    held = [site for site in data["sites"] if site[key] > 0 and site["number"] != 0]
    return sorted(held, key=lambda site: -site[key])[:most]


def merge_sites(data):
    """Makes one of the stacks that have one site; it keeps the frames of the first."""
    same = {site["number"]: site["same_as"] for site in data["sites"]}
    merged = {}
    for site in data["sites"]:
        first = merged.setdefault(site["same_as"], dict(site, number=site["same_as"]))
        if first["frames"] is not site["frames"]:
            for key in site:
                if key.endswith(("_count", "_bytes")):
                    first[key] += site[key]
    data["sites"] = list(merged.values())
    data["site_by_number"] = merged
    for picture in (data["life"], data["now"]):
        picture["site"] = [same.get(number, number) for number in picture["site"]]
    data["set_by"]["site"] = same.get(data["set_by"]["site"], data["set_by"]["site"])
    return data


def cells(picture, count):
    """The cells of a picture as (used, birth, site), each a sequence of `count`."""
    used = bytes.fromhex(picture["used"])
    birth = bytes.fromhex(picture["birth"])
    assert len(used) == len(birth) == len(picture["site"]) == count
    return used, birth, picture["site"]


def write_file(path, content):
    """Writes a file of this name, or standard output for "-", whole or not at all."""
    content = content.encode(errors="replace") if isinstance(content, str) else content
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(content)
        return
    try:
        replace_file(path, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def replace_file(path, content):
    """Writes it under another name, which takes the file's place when it is whole."""
    descriptor, name = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".ffalloc-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def has_blocks():
    """Whether standard output shows characters beyond ASCII: the locale's word, for Python itself
    writes UTF-8 in the C locale too."""
    return all((name or "").lower().startswith("utf")
               for name in (locale.nl_langinfo(locale.CODESET), sys.stdout.encoding))


def has_colour(when):
    """Whether standard output is to be coloured: `when` is auto, always or never."""
    if when != "auto":
        return when == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
