# SPDX-License-Identifier: MIT
"""The worst single call against an adversary, for pools of 16 KiB to 1 GiB, as a table and a curve."""

import device
from common import BUILD, built, output_of, skipped

SIZES = [1 << log2 for log2 in range(14, 31, 2)]
DEVICE_SIZES = [1 << log2 for log2 in range(14, 21, 2)]
SMALL_SIZES = [1 << log2 for log2 in range(14, 20, 2)]
SCENARIOS = (
    "holes-too-small", "full-but-last", "defeated-hints", "large-holes", "misaligned-holes", "checkerboard",
)


def name_of(size):
    for unit, log2 in (("G", 30), ("M", 20), ("K", 10)):
        if size >> log2:
            return f"{size >> log2}{unit}"


def on_host(size, scenario):
    malloc, free, aligned = map(int, output_of([built("steps"), size, scenario])[0].split()[1:4])
    return malloc, free, aligned


def on_device(size, scenario, program="device.elf"):
    counts = device.adversary(size, scenario, program)
    return tuple(counts[kind].worst for kind in ("malloc", "free", "aligned"))


def on_small_device(size, scenario):
    return on_device(size, scenario, "device-small.elf")


def table(title, sizes, measure):
    """Prints the worst calls; returns the worst malloc or free of each size and scenario."""
    print(title)
    print(f"{'scenario':20}" + "".join(f"{name_of(size):>7}" for size in sizes))
    worst = {}
    aligned = []
    for scenario in SCENARIOS:
        results = [measure(size, scenario) for size in sizes]
        worst[scenario] = [max(malloc, free) for malloc, free, _ in results]
        aligned.append([result[2] for result in results])
        print(f"{scenario:20}" + "".join(f"{count:7}" for count in worst[scenario]), flush=True)
    worst["worst of all"] = [max(column) for column in zip(*worst.values())]
    print(f"{'worst of all':20}" + "".join(f"{count:7}" for count in worst["worst of all"]))
    print(f"{'aligned_alloc':20}" + "".join(f"{max(column):7}" for column in zip(*aligned)))
    return worst


def draw(worst):
    try:
        import matplotlib
    except ImportError:
        skipped("the curve: no python3-matplotlib")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for scenario, counts in worst.items():
        is_sum = scenario == "worst of all"
        axes.plot(SIZES, counts, label=scenario, linewidth=2.5 if is_sum else 1, marker="o" if is_sum else None)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [name_of(size) + "iB" for size in SIZES])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("pool (each step is four times the one before)")
    axes.set_ylabel("instructions of the worst single call")
    axes.set_title("ffalloc against the adversary, x86-64")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    path = BUILD / "bench" / "adversary.svg"
    figure.savefig(path, bbox_inches="tight")
    print(f"curve: {path.relative_to(BUILD.parent)}")


def main(_):
    if (BUILD / "bench" / "steps").exists():
        worst = table("worst single malloc or free, instructions, x86-64, granule 16 (single-stepped)", SIZES, on_host)
        sums = worst["worst of all"]
        print(f"from 1 MiB to 1 GiB: {sums[SIZES.index(1 << 30)] / sums[SIZES.index(1 << 20)] - 1:+.0%}")
        draw(worst)
    else:
        skipped("the adversary on this machine: single steps are counted on x86 only")
    reason = device.missing()
    if reason:
        skipped(f"the adversary on Cortex-M4: {reason}")
        return
    print()
    table("worst single malloc or free, instructions, Cortex-M4 -Os, granule 8 (QEMU)", DEVICE_SIZES, on_device)
    print()
    table("the same with FFALLOC_SMALL", SMALL_SIZES, on_small_device)
