# SPDX-License-Identifier: MIT
"""ffalloc doctor: which integrations work here, by one try of each."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

from common import NO, Parser, command

FAULTY = """
#include <stdlib.h>
int main(void) { volatile char *block = malloc(10); block[16] = 1; return 0; }
"""


class Missing(Exception):
    """What is not installed: the Debian package that has it."""


def run(words, timeout=120, **variables):
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout,
                          stdin=subprocess.DEVNULL, env=os.environ | variables)


def need(program, package):
    path = shutil.which(program)
    if not path:
        raise Missing(package)
    return path


class Doctor:
    """The tries: each returns what was seen, or raises."""

    def __init__(self, folder):
        self.folder = folder
        self.trace = os.path.join(folder, "trace")

    def path(self, name):
        return os.path.join(self.folder, name)

    def preload(self):
        """a program runs on libffalloc.so"""
        done = run([command(), "run", "--stats=json", "--", "ls", "/"])
        stats = json.loads(done.stderr.splitlines()[-1])
        return f"ls makes {stats['alloc_count']} requests, in a pool of {stats['min_pool']} bytes"

    def record(self):
        """ffalloc record writes a trace, ffalloc size reads it"""
        done = run([command(), "record", "-o", self.trace, "--", "ls", "/"])
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        size = json.loads(run([command(), "size", "--json", self.trace]).stdout)
        return f"{size['events']} events, {size['min_pool']} bytes"

    def unwind(self):
        """ffalloc record --backtrace unwind keeps whole stacks"""
        trace = self.path("unwind")
        done = run([command(), "record", "--backtrace=unwind", "-o", trace, "--", "ls", "/"])
        if "libffalloc-unwind.so" in done.stderr:
            raise Missing("libunwind-dev, when ffalloc is built")
        data = json.loads(run([command(), "data", "--columns=1", "--rows=1", trace]).stdout)
        return f"up to {max(len(site['frames']) for site in data['sites'])} frames"

    def compiled(self, *arguments, compiler="gcc"):
        need(compiler, compiler)
        source, program = self.path("faulty.c"), self.path(compiler + "".join(arguments))
        with open(source, "w") as file:
            file.write(FAULTY)
        done = run([compiler, "-g", "-O0", *arguments, source, "-o", program])
        if done.returncode != 0:
            raise RuntimeError(done.stderr.splitlines()[-1])
        return program

    def memcheck(self):
        """Valgrind sees a write past a block"""
        need("valgrind", "valgrind")
        done = run([command(), "run", "--tool=memcheck", "--", self.compiled()])
        if "Invalid write" not in done.stderr:
            raise RuntimeError("it does not see the planted error")
        return "Invalid write of size 1"

    def sanitizer(self):
        """gcc's AddressSanitizer sees a write past a block"""
        program = self.compiled("-fsanitize=address")
        done = run([command(), "run", "--", program])
        if "AddressSanitizer" not in done.stderr or done.returncode == 0:
            raise RuntimeError("it does not see the planted error")
        return next(line for line in done.stderr.splitlines() if "ffalloc:" in line).split(": ", 1)[1]

    def clang(self):
        """clang's AddressSanitizer is no concern of the library"""
        done = run([command(), "run", "--", self.compiled("-fsanitize=address", compiler="clang")])
        if "has put its own malloc before this one" not in done.stderr:
            raise RuntimeError("the library does not say that it is left out")
        return "it serves a program by its own malloc, whatever is preloaded"

    def gdb(self):
        """gdb has the ff commands"""
        need("gdb", "gdb")
        core = [command(), "run", "--tool=gdb", "--", need("sleep", "coreutils"), "0"]
        done = subprocess.run(core, input="break exit\nrun\nff check\nkill\n",
                              capture_output=True, text=True, timeout=120)
        if "sound" not in done.stdout:
            raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
        return "ff check: sound"

    def picture(self):
        """ffalloc map --png (python3-cairo)"""
        return self.view("map", "--png", self.path("map.png"), package="python3-cairo")

    def report(self):
        """ffalloc report (python3-jinja2)"""
        return self.view("report", "-o", self.path("report.html"), package="python3-jinja2")

    def view(self, *words, package):
        done = run([command(), words[0], self.trace, *words[1:]])
        if "is not installed" in done.stderr:
            raise Missing(package)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return f"{os.path.getsize(words[-1])} bytes"

    def dump(self):
        """ffalloc dump (python3-pyelftools)"""
        done = run([command(), "dump", "/bin/true", "/dev/null"])
        if "is not installed" in done.stderr:
            raise Missing("python3-pyelftools")
        return "reads ELF files"

    def export(self, kind, words):
        output = self.path(kind)
        done = run([command(), "export", self.trace, "--format", kind, "-o", output])
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        done = run([*words, output])
        if done.returncode != 0:
            raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
        return "opens the export"

    def ms_print(self):
        """ms_print opens the export"""
        return self.export("massif", [need("ms_print", "valgrind")])

    def heaptrack(self):
        """heaptrack_print opens the export"""
        return self.export("heaptrack", [need("heaptrack_print", "heaptrack")])

    def pprof(self):
        """go tool pprof opens the export"""
        return self.export("pprof", [need("go", "golang-go"), "tool", "pprof", "-top"])


TRIES = ("preload", "record", "unwind", "memcheck", "sanitizer", "clang", "gdb", "picture", "report", "dump",
         "ms_print", "heaptrack", "pprof")


def examine(doctor, name):
    """(state, what was seen)"""
    try:
        return "ok", getattr(doctor, name)()
    except Missing as missing:
        return "missing", f"not installed: {missing}"
    except Exception as error:  # whatever goes wrong in a try is its finding
        return "FAILED", " ".join(f"{error}".split()) or type(error).__name__


def main(arguments):
    parser = Parser("doctor", "Tries each integration once and says which work here.")
    parser.add_argument("--json", action="store_true", help="print an object for each")
    options = parser.parse_args(arguments)
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        doctor = Doctor(folder)
        for name in TRIES:
            what = getattr(doctor, name).__doc__
            state, seen = examine(doctor, name)
            findings.append({"name": name, "what": what, "state": state, "seen": seen})
            if not options.json:
                print(f"{state:8} {name:10} {what}: {seen}", flush=True)
    if options.json:
        json.dump(findings, sys.stdout, indent=1)
        print()
    return NO if any(finding["state"] == "FAILED" for finding in findings) else 0
