#!/usr/bin/env bash
# Where does the time go? Samples `elman bench`, draws a flame graph and prints the top functions by self time.
#
#   perf/record.sh [arguments of elman bench …]
#
# Without arguments: --cell lstm (256 units, 64 rows, 100 steps, inference). --seconds is 3 unless given.
#
#   perf/record.sh --cell gru --mode train --hidden 128
#   perf/record.sh --cell rnn --hidden 512 --batch 1 --threads 1
#   ELMAN_ISA=avx2 perf/record.sh --cell lstm --batch 1
#
# The flame graph is target/perf/flame-ARGUMENTS.svg (a browser zooms and searches in it), its stacks lie beside it as
# .folded: `perf/.tools/bin/inferno-diff-folded A.folded B.folded | perf/.tools/bin/inferno-flamegraph >diff.svg` compares two.
#
# What is sampled is user time: by cycles where there are hardware counters, by the CPU clock where there are none, as in
# most virtual machines. FREQUENCY=N sets the samples a second and thread. `elman bench` measures the FMA peak in between
# its runs: those samples are told and left out.
#
# Stacks are unwound by DWARF, out of a copy of 32 KiB of stack with each sample. So the binary that is profiled is the one
# that is measured. Frame pointers would need a second build, which is another program: it loses a register, which costs
# one row of 128 units some percent, and a function that ends in a call leaves no frame. 16 KiB do not reach the caller
# of a stream's kernels.
#
# Needs Linux's perf; installs inferno (flame graphs) by cargo into perf/.tools on first use.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=perf/common.sh
. perf/common.sh
answer_help "$@"
need_linux_perf
need_permission

[ $# -gt 0 ] || set -- --cell lstm
has --threads "$@" || set -- "$@" --threads "$(nproc)"
name=$(slug "$@")
has --seconds "$@" || set -- "$@" --seconds 3
# About a thousand samples a second in all, so that the file stays small on many cores; enough of each where one works.
threads=$(value_of --threads "$@")
frequency=${FREQUENCY:-$((997 / (threads > 0 ? threads : 1)))}
[ "$frequency" -ge 99 ] || frequency=${FREQUENCY:-99}

if counted cycles:u; then
  event=cycles:u unit=cycles
else
  event=cpu-clock:u unit=ns
  echo "no hardware counters here (perf does not count 'cycles'): sampling by the CPU clock" >&2
fi

build
tools=perf/.tools/bin
if [ ! -x $tools/inferno-flamegraph ]; then
  echo "installing inferno into perf/.tools, once" >&2
  cargo install inferno --version '^0.12' --locked --quiet --root perf/.tools
fi

data=$made/perf.data svg=$made/flame-$name.svg folded=$made/flame-$name.folded
perf record --quiet --event "$event" --freq "$frequency" --call-graph dwarf,32768 --output "$data" -- \
  "$elman" bench "$@" || exit

# Inlined frames are left out: their names are those of closures, and finding them takes perf long.
perf script --no-inline --input "$data" 2>/dev/null | $tools/inferno-collapse-perf --quiet >"$made/all.folded"
grep -v 'entry::peak' "$made/all.folded" >"$folded" || die "no samples but the FMA peak's: take a longer --seconds"
$tools/inferno-flamegraph --quiet --colors rust --countname "$unit" --title "elman bench $*" --subtitle "$event" \
  "$folded" >"$svg"

weight() { awk '{ sum += $NF } END { printf "%.0f", sum }' "$1"; }
# Self time belongs to the last frame of a stack.
awk -v all="$(weight "$made/all.folded")" '
  { weight = $NF; sub(/ [0-9]+$/, ""); n = split($0, frames, ";"); self[frames[n]] += weight; sum += weight }
  END {
    printf "\n%.0f %% of the samples were the FMA peak and are left out; of the rest, by self time:\n\n", 100 * (1 - sum / all)
    for (name in self) if (self[name] > 0.0005 * sum) printf "%5.1f %%  %s\n", 100 * self[name] / sum, name | "sort -rn | head -n 15"
  }' "$folded"
printf '\nflame graph: %s\n' "$svg"
