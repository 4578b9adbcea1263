# SPDX-License-Identifier: MIT
"""What recording costs: programs under `ffalloc run` and `ffalloc record`, in turn."""

import os
import subprocess
import tempfile
import time

from common import AGAIN, BUILD, interleaved, print_noise, skipped

ROUNDS = 7

JOB = """
import json
words = [f"word {i * 7919 % 1000}" for i in range(300000)]
count = {}
for word in words:
    count[word] = count.get(word, 0) + 1
for i in range(5):
    text = json.dumps({word: list(range(n % 50)) for word, n in sorted(count.items())})
    json.loads(text)
d = [{"a": i, "b": [i] * 3} for i in range(200000)]
"""

TEMPLATES = """
#include <functional>
#include <iostream>
#include <map>
#include <regex>
int main() {
    std::map<std::string, std::function<bool(std::string)>> tests;
    tests["a"] = [](std::string text) { return std::regex_match(text, std::regex("a+b")); };
    for (auto &test : tests) std::cout << test.second("aab");
}
"""


def seconds(words, environment):
    start = time.monotonic()
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def compare(name, program, folder, **variables):
    """Prints a row; returns the least seconds of each way."""
    environment = os.environ | variables
    trace = os.path.join(folder, "trace")
    run = [BUILD / "ffalloc", "run", "--", *program]
    record = [BUILD / "ffalloc", "record", "-o", trace, "--", *program]
    taken = interleaved({way: lambda words=words: seconds(words, environment)
                         for way, words in (("run", run), ("record", record), (AGAIN, run))}, ROUNDS)
    least = {way: min(times) for way, times in taken.items()}
    print(f"| {name} | {least['run']:.2f} | {least['record']:.2f} | {least['record'] / least['run'] - 1:+.0%} "
          f"| {least[AGAIN]:.2f} |", flush=True)
    return least


def main(names):
    if not (BUILD / "ffalloc").exists():
        skipped("record: the ffalloc command is not built")
        return
    print(f"Seconds, the least of {ROUNDS} runs in turn.\n")
    print("| program | run | record | added | run again |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "templates.cpp")
        with open(source, "w") as file:
            file.write(TEMPLATES)
        python = ["/usr/bin/python3", "-c", JOB]
        compiler = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True,
                                  check=True).stdout.strip()
        rows = [
            compare("python3", python, folder),
            compare("python3, PYTHONMALLOC=malloc", python, folder, PYTHONMALLOC="malloc"),
            compare("g++ (cc1plus), templates", [compiler, "-quiet", "-O1", "-D_GNU_SOURCE", source, "-o",
                                                 os.path.join(folder, "templates.s")], folder),
        ]
    print()
    print_noise("run against itself", rows, "run", AGAIN)
