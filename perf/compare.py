"""Runs the contestants in turns and compares medians. Called by perf/compare, which says how, with Elman's
binary in $ELMAN.

Each peer lives in a process of its own (perf/peers/NAME.py, or a binary of perf/crates) that sleeps while another
works; Elman is the binary as a user has it, `elman bench --json`. A turn is `--seconds` of one contestant on one
workload; the turns alternate, and the figure is the median of the turns' medians. The FMA peak is the median of those
that `elman bench` measured in all turns.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CRATES = ["tract", "rten", "candle"]
PEERS = ["torch", "jax", "onnxruntime", "openvino", *CRATES]
NAMES = {
    "torch": "PyTorch", "jax": "JAX", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
    "tract": "tract", "rten": "rten", "candle": "candle", "elman": "Elman",
}  # fmt: skip
COLORS = {
    "elman": "#c2410c", "torch": "#64748b", "jax": "#0e7490", "onnxruntime": "#7c3aed", "openvino": "#65a30d",
    "tract": "#1d4ed8", "rten": "#db2777", "candle": "#eab308",
}  # fmt: skip


def workloads():
    """What `elman bench` runs without a shape, the streams left out."""
    for cell in ("rnn", "gru", "lstm"):
        for mode in ("infer", "train"):
            shapes = [(64, 32, 100)] if mode == "train" else []
            shapes += [(128, 64, 100), (256, 64, 100), (512, 64, 100), (1024, 64, 50)]
            if cell == "rnn":
                shapes.append((1760, 32, 50))
            if mode == "infer":
                shapes += [(128, 1, 100), (256, 1, 100), (512, 1, 100), (1024, 1, 50)]
            for hidden, batch, steps in shapes:
                yield {"cell": cell, "mode": mode, "input": hidden, "hidden": hidden, "batch": batch, "steps": steps}


def label(load):
    return f"{load['cell']} {load['mode']} H {load['hidden']}, B {load['batch']}, T {load['steps']}"


def build(name):
    """The binary of a peer that is a crate, built when it is not up to date."""
    target = HERE / "crates" / "target"
    binary = target / "release" / name
    if not binary.exists():
        print(f"building {NAMES[name]}, once: this takes some minutes", file=sys.stderr)
    command = ["cargo", "build", "--release", "--locked", "--quiet", f"--target-dir={target}"]
    # From its folder: cargo looks for the package's .cargo/config.toml from where it is called.
    built = subprocess.run(
        [*command, f"--features={name}", f"--bin={name}"], cwd=HERE / "crates", capture_output=True, text=True
    )
    if built.returncode != 0:
        errors = [line.strip() for line in built.stderr.splitlines() if line.strip()] or ["cargo said nothing"]
        raise RuntimeError("it did not build: " + " / ".join(errors[:6]))
    return str(binary)


class Peer:
    """A contestant's process: one JSON object in, one out."""

    def __init__(self, name, threads):
        environment = {**os.environ, "PEER_THREADS": str(threads)}
        command = [build(name)] if name in CRATES else [sys.executable, str(HERE / "peers" / f"{name}.py")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.version = self.read()["version"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process has ended")
        return json.loads(line)

    def turn(self, load, seconds):
        self.process.stdin.write(json.dumps({**load, "seconds": seconds}) + "\n")
        self.process.stdin.flush()
        return self.read()


class Elman:
    def __init__(self, threads):
        self.threads = threads
        version = subprocess.run([self.binary(), "--version"], capture_output=True, text=True, check=True)
        self.version = version.stdout.split()[-1]

    def binary(self):
        return os.environ["ELMAN"]

    def turn(self, load, seconds):
        arguments = [f"--{key}={value}" for key, value in load.items()]
        command = [self.binary(), "bench", "--json", f"--threads={self.threads}", f"--seconds={seconds}", *arguments]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(contestants, load, turns, seconds):
    """The median of each contestant's turns, in seconds, and the peak in GFLOP/s."""
    times, peaks = {name: [] for name in contestants}, []
    order = list(contestants)
    for _ in range(turns):
        for name in order:
            if name not in times:
                continue
            result = contestants[name].turn(load, seconds)
            if "median_s" not in result:
                del times[name]
                continue
            times[name].append(result["median_s"])
            if name == "elman":
                peaks.append(result["peak_gflops"])
        order = order[1:] + order[:1]
    return {name: statistics.median(values) for name, values in times.items()}, statistics.median(peaks)


def flop(load):
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[load["cell"]]
    forward = 2 * gates * load["batch"] * load["steps"] * load["hidden"] * (load["input"] + load["hidden"])
    return forward * (3 if load["mode"] == "train" else 1)


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1]
        if line.startswith("model\t"):
            number = line.split(":")[1].strip()
    return re.sub(r"[^a-z0-9]+", "-", f"{model} model {number}".lower()).strip("-")


def commit():
    git = lambda *arguments: subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = "-dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("rev-parse", "--short", "HEAD") + dirty


def markdown(rows, contestants):
    head = ["workload", *(NAMES[name] for name in contestants), "share of peak", "best peer / Elman"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for load, times, peak in rows:
        one_row = load["batch"] == 1
        show = lambda t: f"{t * 1e3:.3f} ms" if one_row else f"{flop(load) / t / 1e9:.0f}"
        cells = [show(times[name]) if name in times else "-" for name in contestants]
        peers = [times[name] for name in times if name != "elman"]
        ratio = f"{min(peers) / times['elman']:.2f}" if peers else "-"
        share = f"{flop(load) / times['elman'] / 1e9 / peak:.0%}"
        lines.append("| " + " | ".join([label(load), *cells, share, ratio]) + " |")
    return "\n".join(lines)


def chart(rows, contestants, path, subtitle):
    import matplotlib
    import matplotlib.patches

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = [(mode, cell) for mode in ("infer", "train") for cell in ("rnn", "gru", "lstm")]
    titles = {"rnn": "Elman RNN", "gru": "GRU", "lstm": "LSTM", "infer": "inference", "train": "training"}
    figure, axes = pyplot.subplots(2, 3, figsize=(13, 7), sharey=True)
    for axis, (mode, cell) in zip(axes.flat, kinds):
        here = [row for row in rows if row[0]["mode"] == mode and row[0]["cell"] == cell and row[0]["batch"] > 1]
        # Only those who take part, so that the others leave no holes.
        present = [name for name in contestants if any(name in times for _, times, _ in here)]
        width = 0.84 / max(len(present), 1)
        for i, name in enumerate(present):
            shares = [flop(load) / times[name] / 1e9 / peak if name in times else 0 for load, times, peak in here]
            places = [j + (i - (len(present) - 1) / 2) * width for j in range(len(here))]
            axis.bar(places, shares, width, color=COLORS[name])
        axis.set_xticks(range(len(here)), [str(load["hidden"]) for load, *_ in here])
        axis.set_title(f"{titles[cell]}, {titles[mode]}", fontsize=11)
        axis.set_ylim(0, 1)
        axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
        axis.grid(axis="y", color="#e2e8f0")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("hidden units = input features")
    for axis in axes[:, 0]:
        axis.set_ylabel("share of the FMA peak")
    handles = [matplotlib.patches.Patch(color=COLORS[name], label=NAMES[name]) for name in contestants]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.925), ncols=len(handles), frameon=False)
    figure.suptitle("Batched recurrent layers on the same machine", x=0.01, ha="left", fontsize=14)
    figure.text(0.01, 0.93, subtitle, fontsize=9, color="#475569")
    figure.tight_layout(rect=(0, 0, 1, 0.9))
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description="Elman and its peers on the same workloads, in turns.")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="of one turn")
    parser.add_argument("--only", default="", help="a regular expression that the workload's label must match")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--record", action="store_true", help="write perf/record/CPU/DATE-COMMIT.csv, .md and .png")
    arguments = parser.parse_args()
    contestants = {"elman": Elman(arguments.threads)}
    for name in filter(None, arguments.peers.split(",")):
        try:
            contestants[name] = Peer(name, arguments.threads)
        except (RuntimeError, OSError, json.JSONDecodeError) as error:
            print(f"left out: {NAMES.get(name, name)} ({error})", file=sys.stderr)
    versions = ", ".join(f"{NAMES[name]} {contestant.version}" for name, contestant in contestants.items())
    loads = [load for load in workloads() if re.search(arguments.only, label(load))]
    if not loads:
        parser.error(f"no workload's label matches --only '{arguments.only}'; one is '{label(next(workloads()))}'")
    rows = []
    for i, load in enumerate(loads):
        print(f"\r{i + 1}/{len(loads)} {label(load):<40}", end="", file=sys.stderr, flush=True)
        rows.append((load, *measure(contestants, load, arguments.turns, arguments.seconds)))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    # One peak for all: now and then a core of a shared machine is gone for a while, for the peak or for the work.
    peak = statistics.median(peak for *_, peak in rows)
    rows = [(load, times, peak) for load, times, _ in rows]
    date = datetime.date.today().isoformat()
    threads = f"{arguments.threads} thread{'s' if arguments.threads > 1 else ''}"
    about = f"{date}, commit {commit()}, {cpu()}, {threads}: {versions}"
    table = markdown(rows, list(contestants))
    text = f"{about}\n\nGFLOP/s; of one row, the time. Medians of {arguments.turns} turns. FMA peak {peak:.0f} GFLOP/s.\n\n{table}"
    print(text)
    if arguments.record:
        folder = HERE / "record" / cpu()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{date}-{commit()}"
        with open(f"{path}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*rows[0][0], "threads", "contestant", "version", "median_s", "gflops", "peak_gflops"])
            for load, times, peak in rows:
                for name, seconds in times.items():
                    speed = flop(load) / seconds / 1e9
                    version = contestants[name].version
                    figures = [f"{seconds:.9f}", f"{speed:.2f}", f"{peak:.2f}"]
                    writer.writerow([*load.values(), arguments.threads, name, version, *figures])
        pathlib.Path(f"{path}.md").write_text(text + "\n")
        chart(rows, list(contestants), f"{path}.png", about)
        print(f"\nwritten: {path}.csv, .md and .png", file=sys.stderr)


if __name__ == "__main__":
    main()
