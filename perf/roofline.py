"""Draws workloads under the roofs of the machine. Called by perf/roofline.sh, which says what is drawn."""

import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import patheffects, pyplot
from matplotlib.lines import Line2D

ROOT = pathlib.Path(__file__).resolve().parent.parent
CELLS = {"rnn": "Elman RNN", "rnn-relu": "Elman RNN, relu", "gru": "GRU", "lstm": "LSTM"}
GATES = {"rnn": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}
INK, DIM, GRID = "#0f172a", "#475569", "#e2e8f0"
# Name, marker, color, filled; on which side of the points their labels stand.
KINDS = {
    ("infer", True): ("batch, inference", "o", "#c2410c", True, -1),
    ("train", True): ("batch, training", "D", "#0e7490", True, 1),
    ("step", True): ("batch, a step a call", "s", "#65a30d", True, 1),
    ("infer", False): ("one row, inference", "o", "#c2410c", False, 1),
    ("train", False): ("one row, training", "D", "#0e7490", False, 1),
    ("step", False): ("one row, a step a call", "s", "#7c3aed", False, -1),
    ("stream", False): ("stream", "^", "#b45309", False, 1),
}
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


def weight_bytes(load):
    """Bytes of weights that one run must read; perf/roofline.sh has the definition."""
    gates, steps, directions = GATES[load["cell"]], load["steps"], load["directions"]
    total = 0
    for layer, hidden in enumerate(load["hidden_sizes"]):
        input_size = load["input_size"] if layer == 0 else directions * load["hidden_sizes"][layer - 1]
        w_hh, w_ih = gates * hidden * hidden, gates * hidden * input_size
        if load["mode"] == "infer":
            read = steps * w_hh + w_ih
        elif load["mode"] in ("step", "stream"):
            read = steps * (w_hh + w_ih)
        else:
            read = 2 * steps * w_hh + (1 if layer == 0 else 2) * w_ih
        total += 4 * directions * read
    # Of a stream alone.
    return total + 4 * steps * load.get("head", 0) * load["hidden_sizes"][-1]


def intensity(load):
    return load["gflops"] * 1e9 * load["median_s"] / weight_bytes(load)


def kind(load):
    return load["mode"], load["batch"] > 1


def labels(loads):
    """The hidden units, and where they alone would not tell points apart, what does."""
    usual = {}
    for load in loads:
        usual.setdefault(kind(load), []).append(load["batch"])
    texts = []
    for load in loads:
        hidden = load["hidden_sizes"][0]
        text = str(hidden)
        if load["input_size"] != hidden:
            text = f"{load['input_size']}→{text}"
        if load["batch"] != statistics.mode(usual[kind(load)]):
            text += f" (B {load['batch']})"
        texts.append(text)
    return texts


def spread(wanted, gap):
    """Places at least `gap` apart and as near as can be to the wanted ones, which ascend."""
    # Labels that push each other form a block, which stands where the mean of their wishes is.
    blocks = []
    for place in wanted:
        blocks.append([place, 1])
        while len(blocks) > 1 and blocks[-2][0] + gap * (blocks[-2][1] + blocks[-1][1]) / 2 > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    return [middle + gap * (i - (n - 1) / 2) for middle, n in blocks for i in range(n)]


def place_labels(axis, loads, texts):
    """Those of a kind below each other, beside all of its points, with lines where they are not right there."""
    to_points = 72 / axis.figure.dpi
    groups = {}
    for load, text in zip(loads, texts):
        x, y = axis.transData.transform((intensity(load), load["gflops"])) * to_points
        groups.setdefault(kind(load), []).append((y, x, load, text))
    for which, points in groups.items():
        _, _, color, _, side = KINDS[which]
        points.sort(key=lambda point: point[0])
        edge = side * max(side * x for _, x, *_ in points)
        places = spread([y for y, *_ in points], 10.5)
        moved = any(abs(place - y) > 3 or abs(edge - x) > 3 for (y, x, *_), place in zip(points, places))
        for (y, x, load, text), place in zip(points, places):
            axis.annotate(
                text, (intensity(load), load["gflops"]), xytext=(edge - x + side * (19 if moved else 8), place - y),
                textcoords="offset points", ha="left" if side > 0 else "right", va="center", fontsize=8.5, color=color,
                path_effects=HALO, zorder=5,
                arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "shrinkA": 1, "shrinkB": 4} if moved else None,
            )  # fmt: skip


def size(count):
    return f"{count >> 10} KiB" if count < 1 << 20 else f"{count >> 20} MiB"


def roofs(axis, left, right, peaks, threads, bandwidths, named):
    one, all_threads = peaks
    text = {"fontsize": 7.5, "color": DIM, "path_effects": HALO, "zorder": 2}
    fastest = one / bandwidths[0][1]
    for n, (level, (_, rate)) in enumerate(zip(("L1", "L2", "L3", "DRAM"), bandwidths)):
        axis.plot([left, one / rate], [left * rate, one], color="#94a3b8", lw=1.2, zorder=1)
        if not named:
            continue
        name = f"{level} {rate:.0f} GB/s"
        if level == "DRAM":
            axis.text(one / rate / 2, one / 2.2, name, ha="left", va="top", **text)
        else:
            # The caches' roofs lie close: their names stand above each other, with a line to a dot on the roof.
            y = one * 1.28 ** (-n - 0.3)
            axis.annotate(
                name, (y / rate, y), xytext=(left * 1.1, y), va="center",
                arrowprops={"arrowstyle": "-", "color": DIM, "lw": 0.5, "shrinkA": 1, "shrinkB": 0}, **text,
            )  # fmt: skip
            axis.plot(y / rate, y, ".", color=DIM, ms=4, zorder=2)
    # A peak begins where the fastest level lets it.
    axis.plot([fastest, right], [one, one], color="#94a3b8" if threads > 1 else INK, lw=1.2, zorder=1)
    if named:
        axis.text(1.1 * fastest, one * 1.04, f"FMA peak, 1 thread: {one:.0f}", va="bottom", **text)
    if threads > 1:
        axis.plot([fastest, right], [all_threads, all_threads], color=INK, lw=1.4, zorder=1)
        if named:
            name = f"FMA peak, {threads} threads: {all_threads:.0f}"
            axis.text(1.1 * fastest, all_threads * 1.04, name, va="bottom", **{**text, "color": INK})


def cpu():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown CPU"
    name, model = re.search(r"model name\s*: (.*)", text), re.search(r"^model\s*: (.*)", text, re.MULTILINE)
    return (name[1] if name else "unknown CPU") + (f" (model {model[1]})" if model else "")


def commit():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench", type=pathlib.Path)
    parser.add_argument("peak", type=pathlib.Path)
    parser.add_argument("output")
    parser.add_argument("--title", default="Recurrent layers under the machine's roofs")
    arguments = parser.parse_args()
    loads = [json.loads(line) for line in arguments.bench.read_text().splitlines()]
    for load in loads:
        if load.get("nonlinearity") == "relu":
            load["cell"] += "-relu"
    limits = [json.loads(line) for line in arguments.peak.read_text().splitlines()]
    threads, isa = loads[0]["threads"], loads[0]["isa"]
    one = statistics.median(limit["gflops_one_thread"] for limit in limits)
    # Of the same turns as the work.
    all_threads = statistics.median(load["peak_gflops"] for load in loads)
    one = all_threads if threads == 1 else one
    bandwidths = [
        (level[0]["bytes"], max(at["gigabytes_per_second"] for at in level))
        for level in zip(*(limit["load"] for limit in limits))
    ]
    cells = [cell for cell in CELLS if any(load["cell"] == cell for load in loads)]
    speeds, places = [load["gflops"] for load in loads], [intensity(load) for load in loads]
    left, right = min(1 / 8, min(places) / 4), max(360, 4 * max(places))
    bottom, top = min(1.5, 0.4 * min(speeds)), 2.1 * max(all_threads, *speeds)

    figure, axes = pyplot.subplots(1, len(cells), figsize=(5.2 * len(cells) + 0.6, 7.2), sharey=True, squeeze=False, dpi=110)
    for axis, cell in zip(axes[0], cells):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlim(left, right)
        axis.set_ylim(bottom, top)
        axis.set_title(CELLS[cell], fontsize=11)
        axis.set_xlabel("FLOP for each byte of weights that must be read")
        axis.xaxis.set_major_formatter(lambda x, _: f"1/{1 / x:.0f}" if x < 1 else f"{x:.0f}")
        axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        axis.grid(color=GRID, lw=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("GFLOP/s")
    figure.tight_layout(rect=(0, 0.045, 1, 0.915))
    for axis, cell in zip(axes[0], cells):
        roofs(axis, left, right, (one, all_threads), threads, bandwidths, named=axis is axes[0][0])
        here = [load for load in loads if load["cell"] == cell]
        for load in here:
            _, marker, color, filled, _ = KINDS[kind(load)]
            axis.plot(
                intensity(load), load["gflops"], marker, ms=6 if marker == "D" else 7, mec=color, mew=1.5,
                mfc=color if filled else "white", zorder=4,
            )  # fmt: skip
        place_labels(axis, here, labels(here))
    handles = [
        Line2D([], [], ls="", marker=marker, mec=color, mew=1.5, mfc=color if filled else "white", ms=7, label=name)
        for which, (name, marker, color, filled, _) in KINDS.items()
        if any(kind(load) == which for load in loads)
    ]
    figure.legend(handles=handles, loc="upper right", ncols=len(handles), frameon=False, bbox_to_anchor=(1, 0.995))
    figure.suptitle(arguments.title, x=0.01, y=0.985, ha="left", fontsize=14, color=INK)
    count = f"{threads} thread{'s' if threads > 1 else ''}"
    about = f"{datetime.date.today().isoformat()}, commit {commit()}, {cpu()}, {isa}, up to {count}; medians"
    figure.text(0.01, 0.925, about, fontsize=9, color=DIM)
    note = (
        "A point's number: hidden units, as many as input features unless said. Weights read: W_hh once a step, W_ih once a run"
        " (each step where a step is a call); training reads W_hh a second time.\n"
        "Bandwidths are one core's loads from "
        + ", ".join(size(count) for count, _ in bandwidths)
        + "; every core has an L1 and an L2 of its own."
    )
    figure.text(0.01, 0.012, note, fontsize=8, color=DIM, linespacing=1.4)
    figure.savefig(arguments.output, dpi=110)
    print(f"written: {arguments.output}")
    for load in loads:
        print(
            f"{load['cell']:<8} {load['mode']:<6} H {load['hidden_sizes'][0]:>5}  B {load['batch']:>4}  {intensity(load):>8.2f} FLOP/B"
            f"  {load['gflops']:>8.1f} GFLOP/s  {load['share_of_peak']:>4.0%} of the FMA peak"
        )


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
