#!/usr/bin/env bash
# How much faster than PyTorch does `elman sine` train? The two take turns; medians of both and their ratio.
#
#   perf/sine.sh [TURNS]      (default 7)
#
# Needs Python 3 with torch and numpy: PYTHON=... names one that has them, otherwise an environment is made in perf/.venv
# on first use, some 6 GB.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=perf/common.sh
. perf/common.sh
answer_help "$@"
turns=${1:-7}
case $turns in '' | 0* | *[!0-9]*) wrong "TURNS: expected a whole number of at least 1, got $turns" ;; esac
[ $# -le 1 ] || wrong "expected TURNS and nothing else, got $*"
find_python numpy torch
build
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for turn in $(seq "$turns"); do
  "$elman" sine --json --seed "$turn" --plot "$scratch/sine.png" >>"$scratch/ours"
  "$python" perf/sine_pytorch.py --iterations 1000 --threads 1 >>"$scratch/torch"
done
"$python" - "$scratch/ours" "$scratch/torch" <<'PY'
import json
import statistics
import sys

ours, torch = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
speed = lambda runs: statistics.median(run["iterations_per_second"] for run in runs)
seconds = statistics.median(run["seconds"] for run in ours)
print(f"elman   {speed(ours):>10,.0f} iterations/s ({ours[0]['isa']}, 1 thread): {seconds:.4f} s for 10,000")
print(f"PyTorch {speed(torch):>10,.0f} iterations/s ({torch[0]['torch']}, 1 thread)")
print(f"ratio   {speed(ours) / speed(torch):>10,.0f}")
PY
