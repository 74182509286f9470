#!/usr/bin/env bash
# How far from the machine's limits is each workload, and from which? Draws a roofline chart.
#
#   perf/roofline.sh [arguments of elman bench …]      measures with `elman bench` and `elman peak`, then draws
#   perf/roofline.sh --redraw                          draws again what was measured last
#
# Without arguments: the table of `elman bench`, some minutes. --output FILE.png, --title TEXT go to the chart.
#
#   perf/roofline.sh --seconds 0.5
#   perf/roofline.sh --cell gru --hidden 384 --batch 8 --output gru.png
#
# The chart is target/perf/roofline.png unless --output says otherwise; what was measured lies beside it as
# roofline-bench.jsonl and roofline-peak.json.
#
# Across: arithmetic intensity, FLOP for each byte of weights that a run must read, a weight being 4 bytes. h_t needs
# h_(t-1), so W_hh is read once a step, by all rows of the batch together; W_ih once a run, since the inputs of all steps are
# known; one step a call reads both each step. Training reads W_hh a second time in the backward pass, and above the first
# layer W_ih (the gradient of a first layer's input is not computed). FLOP are those of `elman bench`, 2·G·H·(I + H) a token,
# three times that in training. What flows besides, x, y and the gates kept for training, is not counted.
# Up: GFLOP/s. Roofs: the FMA peak, and intensity times the bandwidth at which one core loads from each level of memory.
#
# Needs Python 3 with matplotlib: $PYTHON, or perf/.venv of perf/compare, or python3, whichever has it first; otherwise
# it is installed into perf/.tools/venv, some 150 MB. (Not into perf/.venv, which perf/compare would then take for
# complete.)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=perf/common.sh
. perf/common.sh
answer_help "$@"

redraw='' output='' title=''
count=$#
while [ "$count" -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  case $argument in
    --redraw) redraw=yes ;;
    --output=*) output=${argument#*=} ;;
    --title=*) title=${argument#*=} ;;
    --output | --title)
      [ "$count" -gt 0 ] || wrong "$argument: expected a value after it"
      if [ "$argument" = --output ]; then output=$1; else title=$1; fi
      shift
      count=$((count - 1))
      ;;
    --json) ;;
    # The others are those of `elman bench`, in their order.
    *) set -- "$@" "$argument" ;;
  esac
done
bench=$made/roofline-bench.jsonl peak=$made/roofline-peak.json
if [ -n "$redraw" ]; then
  [ $# = 0 ] || wrong "--redraw: expected no arguments of elman bench with it, got $*"
  if [ ! -s "$bench" ] || [ ! -s "$peak" ]; then
    die "--redraw: nothing has been measured yet; run it without --redraw first"
  fi
fi
output=${output:-$made/roofline.png}
case $output in *.png | *.svg | *.pdf) ;; *) wrong "--output: expected a file that ends in .png, .svg or .pdf, got $output" ;; esac

has_matplotlib() { command -v "$1" >/dev/null && "$1" -c 'import matplotlib' 2>/dev/null; }
if [ -n "${PYTHON-}" ]; then
  has_matplotlib "$PYTHON" || die "PYTHON=$PYTHON: cannot import matplotlib; '$PYTHON -m pip install matplotlib' installs it"
  python=$PYTHON
else
  for python in perf/.venv/bin/python python3 perf/.tools/venv/bin/python ''; do
    if [ -n "$python" ] && has_matplotlib "$python"; then break; fi
  done
  if [ -z "$python" ]; then
    need python3 "apt-get install python3 python3-venv, or https://www.python.org"
    echo "installing matplotlib into perf/.tools/venv, once" >&2
    python3 -m venv perf/.tools/venv || die "python3 cannot make an environment; apt-get install python3-venv, or set PYTHON to one that has matplotlib"
    python=perf/.tools/venv/bin/python
    "$python" -m pip install --quiet matplotlib
  fi
fi

if [ -z "$redraw" ]; then
  build
  # The peak before and after: now and then a core of a shared machine is gone for a while.
  options=''
  if has --isa "$@"; then options="--isa=$(value_of --isa "$@")"; fi
  if has --threads "$@"; then options="$options --threads=$(value_of --threads "$@")"; fi
  # shellcheck disable=SC2086
  "$elman" peak --json $options >"$peak.new"
  "$elman" bench --json "$@" >"$bench.new"
  # shellcheck disable=SC2086
  "$elman" peak --json $options >>"$peak.new"
  mv "$peak.new" "$peak"
  mv "$bench.new" "$bench"
fi
exec "$python" perf/roofline.py "$bench" "$peak" "$output" ${title:+--title "$title"}
