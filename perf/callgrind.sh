#!/usr/bin/env bash
# How many instructions is it? Counts those of one run of a workload under valgrind, exactly and without noise.
#
#   perf/callgrind.sh [arguments of elman bench …]
#
# Without arguments: --cell lstm --hidden 64 --batch 1 --steps 20. One thread.
#
#   perf/callgrind.sh --cell gru --hidden 128 --batch 8 --steps 10
#   perf/callgrind.sh --cell rnn --mode stream --hidden 32 --steps 1000 --isa portable
#
# Valgrind knows no AVX-512: what is counted is the AVX2 tier (or, with --isa portable, the portable one). It interprets
# FMAs slowly: keep the workload small; the FMA peak that `elman bench` measures in between takes most of a minute.
#
# The profile is cut wherever a run of the workload begins, and what is printed is one piece, the last whole run. It is warm:
# the first one allocates. A turn of the peak in the same piece is taken out, which is one function; what is left besides the
# run are some hundred instructions that read the clock.
#
# The profile stays in target/perf/callgrind-ARGUMENTS.out, for callgrind_annotate or KCachegrind.
#
# Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=perf/common.sh
. perf/common.sh
answer_help "$@"
threads=$(value_of --threads "$@")
[ "${threads:-1}" = 1 ] || wrong "--threads: expected 1, since valgrind runs one thread at a time and a run is collected on one; got $threads"
isa=$(value_of --isa "$@")
[ "${isa:-${ELMAN_ISA:-avx2}}" != avx512 ] || wrong "avx512: expected avx2 or portable, valgrind knows no AVX-512"
need valgrind "apt-get install valgrind, dnf install valgrind, pacman -S valgrind, or https://valgrind.org"
[ $# -gt 0 ] || set -- --cell lstm --hidden 64 --batch 1 --steps 20
name=$(slug "$@")
has --threads "$@" || set -- "$@" --threads 1
has --seconds "$@" || set -- "$@" --seconds 0
has --json "$@" || set -- "$@" --json

build
# One run of the workload, and one whose steps are timed one by one, in cli/src/measure/timed.rs and stream.rs.
run='elman_cli::measure::*Work*::run*'
timed='elman_cli::measure::*Work*::time_*'
out=$made/callgrind-$name.out
rm -f "$out" "$out".*
valgrind --tool=callgrind --callgrind-out-file="$out" --dump-before="$run" --dump-before="$timed" \
  --compress-strings=no --compress-pos=no "$elman" bench "$@" >"$made/callgrind.json" 2>"$made/callgrind.log" || {
  status=$?
  # Its own words are behind `==PID==`; the rest is what `elman bench` has to say.
  grep -v '^==' "$made/callgrind.log" >&2 || cat "$made/callgrind.log" >&2
  exit $status
}
report=$(cat "$made/callgrind.json")
[ "$(grep -c . <<<"$report")" = 1 ] || die "expected one workload, got a table of them: say --cell, for one"

# The pieces are numbered in order; the first is what comes before any run. The end of the process has no number.
n=1
while [ -e "$out.$n" ]; do n=$((n + 1)); done
runs=$((n - 2))
[ "$runs" -ge 1 ] || die "valgrind saw no call of $run: it has been inlined or renamed; give its new name in $script"
mv "$out.$((n - 1))" "$out"
rm -f "$out".[0-9]*

number() { field "$1" <<<"$report"; }
awk -v tokens="$(number tokens)" -v steps="$(number steps)" -v isa="$(number isa)" -v runs="$runs" \
  -v flop="$(awk "BEGIN { print $(number gflops) * 1e9 * $(number median_s) }")" '
  /^fn=/ { name = substr($0, 4) }
  # The next line is what a call cost, which is not the function'\''s own.
  /^calls=/ { getline; next }
  name ~ /::entry::peak/ { next }
  /^[0-9+*-]/ { self[name] += $2; sum += $2 }
  END {
    printf "%s, one warm run (the last of %d whole ones): %d instructions\n", isa, runs, sum
    printf "  %14.1f a step\n  %14.1f a token\n", sum / steps, sum / tokens
    printf "  %14.2f for each 8 multiply-adds that the work needs, an AVX2 register'\''s\n\n", sum / (flop / 16)
    for (name in self) if (self[name] > 0.0005 * sum)
      printf "%5.1f %% %14.1f a step  %s\n", 100 * self[name] / sum, self[name] / steps, name | "sort -rn | head -n 15"
  }' "$out"
printf '\nprofile: %s\n' "$out"
