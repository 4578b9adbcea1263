# SPDX-License-Identifier: MIT
"""Runs bench/device.c in QEMU and reads what it counted."""

import dataclasses
import shutil
import subprocess
import sys

from common import BUILD, built

KINDS = ("malloc", "free", "realloc", "aligned")


@dataclasses.dataclass
class Count:
    calls: int
    total: int
    permille_999: int
    worst: int


def missing():
    """Why it cannot run here, or nothing."""
    if not shutil.which("qemu-system-arm"):
        return "no qemu-system-arm"
    if not (BUILD / "bench" / "device.elf").exists():
        return "no arm-none-eabi-gcc when this was built"
    return None


def run(program, *arguments):
    config = ",".join(["enable=on,target=native,arg=device", *(f"arg={word}" for word in arguments)])
    result = subprocess.run(
        ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
         "-icount", "shift=10", "-semihosting-config", config, "-kernel", str(built(program))],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    numbers = result.stdout.split()
    if result.returncode != 0 or not all(word.isdigit() for word in numbers):
        sys.exit(f"device {' '.join(map(str, arguments))}: {result.stdout}")
    numbers = [int(word) for word in numbers]
    counts = {}
    for i, kind in enumerate(KINDS):
        calls, mean, rest, permille_999, worst = numbers[5 * i : 5 * i + 5]
        counts[kind] = Count(calls, calls * mean + rest, permille_999, worst)
    return counts, numbers[-1]


def replay(pool_size, trace, program="device.elf"):
    """Counts of a trace in a pool in which it must not fail."""
    counts, failed_count = run(program, "trace", pool_size, trace)
    if failed_count:
        sys.exit(f"{trace.name}: {failed_count} requests failed in a pool of {pool_size} bytes")
    return counts


def adversary(pool_size, scenario, program="device.elf"):
    return run(program, "adversary", pool_size, scenario)[0]


def mean(counts):
    return sum(c.total for c in counts.values()) / sum(c.calls for c in counts.values())
