"""Measures single steps of streams in turns. Called by perf/latency, which says how, with Elman's binary in $ELMAN."""

import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

from compare import commit, cpu

HERE = pathlib.Path(__file__).resolve().parent
CELLS = ("lstm", "gru", "rnn")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
NAMES = {"rnn": "Elman RNN", "gru": "GRU", "lstm": "LSTM"}
# How a small layer is called: the column, and the options.
WAYS = {"step": [], "block": ["--block=64"], "fed back": ["--feedback"], "AVX2": ["--isa=avx2"]}


class Workload:
    def __init__(self, label, cell, hidden, options):
        self.label, self.cell, self.hidden, self.options = label, cell, hidden, options
        self.turns = []

    def command(self, seconds):
        command = [os.environ["ELMAN"], "bench", "--mode=stream", "--json", f"--cell={self.cell}"]
        return [*command, f"--hidden={self.hidden}", *self.options, *seconds]

    def least(self):
        return min(turn["step_min_ns"] for turn in self.turns)

    def median(self, key):
        return statistics.median(turn[key] for turn in self.turns)

    def figures(self):
        keys = [key for key in self.turns[0] if key.endswith("_ns") and key != "step_min_ns"]
        return {"step_min_ns": self.least(), **{key: self.median(key) for key in keys}}


def small():
    """1 feature and a head of 1 output, by the way each is called."""
    for cell in CELLS:
        for hidden in (8, 16, 24, 32, 40, 64):
            yield cell, hidden, f"{cell} {hidden}", []
    yield "lstm", 16, "lstm 16, 2 layers", ["--layers=2"]


def big():
    """As many features as units, no head: cell, units, and the least cache that holds their weights."""
    return [("rnn", 256, 256 << 10), ("lstm", 128, 256 << 10), ("rnn", 1024, 8 << 20)]


def rows():
    shapes = [("lstm", 16), ("lstm", 32), ("lstm", 64), ("gru", 8), ("gru", 16)]
    return [(cell, hidden, count) for cell, hidden in shapes for count in (4, 8)]


def workloads():
    ends = {"step": "", "block": ", blocks of 64", "fed back": ", fed back", "AVX2": ", AVX2"}
    for cell, hidden, label, options in small():
        for way, more in WAYS.items():
            yield Workload(label + ends[way], cell, hidden, options + more)
    for cell, hidden, _ in big():
        for label, more in ((f"{cell} {hidden} to {hidden}", []), (f"{cell} {hidden} to {hidden}, a helper", ["--helpers=1"])):
            yield Workload(label, cell, hidden, [f"--input={hidden}", "--head=0", *more])
    for cell, hidden, count in rows():
        yield Workload(f"{cell} {hidden}, {count} rows", cell, hidden, [f"--rows={count}"])


def call(command):
    """What a command prints as JSON; nothing where it takes itself to be called wrongly."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        return None
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(loads, turns, seconds):
    """Turns of all; gives those that took part, and the machine's limits, one of each round."""
    machine, known = [], list(loads)
    for turn in range(turns):
        limits = call([os.environ["ELMAN"], "peak", "--json", "--threads=1"])
        machine.append({load["bytes"]: load["gigabytes_per_second"] for load in limits["load"]})
        for i, load in enumerate(list(known)):
            print(f"\rround {turn + 1}/{turns} {i + 1}/{len(known)} {load.label:<30}", end="", file=sys.stderr, flush=True)
            result = call(load.command(seconds))
            if result is None:
                known.remove(load)
                print(f"\rleft out: {load.label}" + " " * 30, file=sys.stderr)
                continue
            load.turns.append({**result, "bandwidths": machine[-1]})
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return known


def table(head, lines):
    rule = "|" + "---|" * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, *lines)).replace(" |\n", f" |\n{rule}\n", 1)


def small_table(by_label):
    lines = []
    for cell, hidden, label, options in small():
        ends = ("", ", blocks of 64", ", fed back", ", AVX2")
        step, *others = (by_label.get(label + end) for end in ends)
        if step is None:
            continue
        ns = lambda value: f"{value:.1f}" if value < 1e4 else f"{value / 1e3:.0f} µs"
        spread = [ns(step.median(f"step_{at}_ns")) for at in ("p50", "p99", "p999", "max")]
        others = [ns(load.least()) if load else "-" for load in others]
        name = f"{NAMES[cell]} {hidden}" + (", 2 layers" if options else "")
        share = f"{step.median('share_of_peak'):.0%}"
        lines.append([name, ns(step.least()), ns(step.median("step_ns")), *spread, *others, share])
    head = ["1 → H, head of 1", "least", "median", "p50", "p99", "p99.9", "max", "in blocks of 64", "fed back", "on AVX2", "of the peak"]
    return table(head, lines) if lines else ""


def big_table(by_label):
    lines = []
    for cell, hidden, level in big():
        load = by_label.get(f"{cell} {hidden} to {hidden}")
        if load is None:
            continue
        weights = 4 * GATES[cell] * hidden * 2 * hidden
        bandwidth = statistics.median(turn["bandwidths"][level] for turn in load.turns)
        lines.append([f"{NAMES[cell]} {hidden}", f"{weights / 2**20:.1f} MiB", f"{bandwidth:.0f} GB/s"])
        for load in (load, by_label.get(f"{cell} {hidden} to {hidden}, a helper")):
            if load is None:
                lines[-1] += ["-"] * 3
                continue
            # A GB/s is a byte a nanosecond.
            ratios = [turn["step_min_ns"] / (weights / turn["bandwidths"][level]) for turn in load.turns]
            figures = (load.least() / 1e3, load.median("step_ns") / 1e3, statistics.median(ratios))
            lines[-1] += [f"{figure:.2f}" for figure in figures]
    ways = [["least, µs", "median, µs", "least, of the time to load them"], ["with a helper: least", "median", "of that time"]]
    head = ["I = H, no head", "weights", "bandwidth there", *ways[0], *ways[1]]
    return table(head, lines) if lines else ""


def rows_table(by_label):
    lines = []
    for cell, hidden, count in rows():
        load, one = by_label.get(f"{cell} {hidden}, {count} rows"), by_label.get(f"{cell} {hidden}")
        if load is None:
            continue
        each = load.least() / count
        lines.append([f"{NAMES[cell]} {hidden}", str(count), f"{each:.1f}", f"{each / one.least():.2f}" if one else "-"])
    return table(["1 → H, head of 1", "rows", "least, a row", "of one stream"], lines) if lines else ""


def main():
    parser = argparse.ArgumentParser(description="Single steps of streams, in turns.")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="of one turn")
    parser.add_argument("--only", default="", help="a regular expression that a workload's label must match")
    parser.add_argument("--record", action="store_true", help="write perf/record/CPU/DATE-COMMIT-latency.json and .md")
    arguments = parser.parse_args()
    if arguments.turns < 1:
        parser.error(f"--turns: expected at least 1, got {arguments.turns}")
    loads = [load for load in workloads() if re.search(arguments.only, load.label)]
    if not loads:
        parser.error(f"no workload's label matches --only '{arguments.only}'; one is '{next(workloads()).label}'")
    seconds = [] if arguments.seconds is None else [f"--seconds={arguments.seconds}"]
    measured = measure(loads, arguments.turns, seconds)
    if not measured:
        sys.exit("error: this elman knows none of the workloads")
    by_label = {load.label: load for load in measured}
    peak = statistics.median(load.median("peak_gflops") for load in measured)
    date, isa = datetime.date.today().isoformat(), measured[0].turns[0]["isa"]
    about = f"{date}, commit {commit()}, {cpu()}, 1 thread, {isa}; FMA peak {peak:.0f} GFLOP/s"
    how = f"ns a step unless said; the least and the median of {arguments.turns} turns; p50 to max are of steps timed one by one."
    tables = filter(None, (make(by_label) for make in (small_table, big_table, rows_table)))
    text = "\n\n".join([about, how, *tables])
    print(text)
    if arguments.record:
        folder = HERE / "record" / cpu()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{date}-{commit()}-latency"
        record = {"date": date, "commit": commit(), "cpu": cpu(), "isa": isa, "peak_gflops": peak}
        record["turns"] = arguments.turns
        record["workloads"] = {load.label: load.figures() for load in measured}
        pathlib.Path(f"{path}.json").write_text(json.dumps(record, indent=1) + "\n")
        pathlib.Path(f"{path}.md").write_text(text + "\n")
        print(f"\nwritten: {path}.json and .md", file=sys.stderr)


if __name__ == "__main__":
    main()
