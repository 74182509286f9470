#!/usr/bin/env bash
# What does the CPU count? Cycles, instructions and misses of `elman bench`, for each token where that makes sense.
#
#   perf/stat.sh [arguments of elman bench …]
#
# Without arguments: --cell lstm --threads 1 (256 units, 64 rows, 100 steps, inference).
#
#   perf/stat.sh --cell rnn --hidden 1024 --batch 1 --steps 2000 --threads 1
#
# Every event is tried first: what this CPU, or the virtual machine around it, does not count is named and left out.
# Without any hardware counter the kernel's own counts remain (CPU time, context switches, page faults); then
# perf/record.sh still samples, by the clock, and perf/callgrind.sh counts instructions.
#
# The counts are the whole process's: of its start, of the FMA peak that `elman bench` measures in between, and of the
# work. The peak is a loop in registers: it adds cycles and instructions, but no misses. The script tells which share of
# the time was the work; long runs (--steps) raise it.
#
# Needs Linux's perf.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=perf/common.sh
. perf/common.sh
answer_help "$@"
need_linux_perf
need_permission
[ $# -gt 0 ] || set -- --cell lstm --threads 1
has --json "$@" || set -- "$@" --json

# Of several names for one thing the first that is known: L2 has none that all vendors share.
counters="
cycles
instructions
L1-dcache-loads
L1-dcache-load-misses
l2_rqsts.miss,l2_cache_req_stat.ls_rd_blk_c,l2_cache_misses_from_dc_misses,l2d_cache_refill
LLC-loads
LLC-load-misses
dTLB-loads
dTLB-load-misses
"
kernel="task-clock context-switches cpu-migrations minor-faults major-faults"
events='' missing=''
for names in $counters; do
  found=''
  for name in ${names//,/ }; do
    if counted "$name:u"; then
      found=$name:u
      break
    fi
  done
  if [ -n "$found" ]; then events+=" $found"; else missing+=" ${names%%,*}"; fi
done

if [ -z "$events" ]; then
  if grep -qw hypervisor /proc/cpuinfo; then
    why="this is a virtual machine, and its host does not pass the CPU's counters on"
  else
    why="the kernel offers none for this CPU"
  fi
  echo "no hardware counters: $why." >&2
  echo "What follows is counted by the kernel. perf/record.sh (samples) and perf/callgrind.sh (instructions) work." >&2
elif [ -n "$missing" ]; then
  echo "not counted here, and left out:$missing" >&2
fi
for name in $kernel; do
  if counted "$name"; then events+=" $name"; fi
done

build
list=$(tr -s ' ' , <<<"${events# }")
begin=$(date +%s%N)
LC_ALL=C perf stat -x, --output "$made/stat.csv" --event "$list" -- "$elman" bench "$@" >"$made/stat.jsonl" || exit
elapsed=$(($(date +%s%N) - begin))
report=$(cat "$made/stat.jsonl")
[ "$(grep -c . <<<"$report")" = 1 ] || die "expected one workload, got a table of them: say --cell, for one"
number() { field "$1" <<<"$report"; }

# value, unit, event, …, share of the time that it was counted in (counters take turns where there are too few).
LC_ALL=C awk -F, -v turns="$(number turns)" -v tokens="$(number tokens)" -v median="$(number median_s)" \
  -v threads="$(number threads)" -v elapsed="$elapsed" '
  function count(name) { return name in value ? value[name] : 0 }
  function ratio(a, b, text) { if (count(a) && count(b)) printf "  %.3f %s\n", value[a] / value[b], text }
  BEGIN { printf "%-34s %18s %16s\n", "event", "count", "a token" }
  /^#/ || NF < 3 { next }
  {
    name = $3; sub(/:u$/, "", name)
    value[name] = $1
    each = name ~ /miss|refill|faults|loads|ls_rd/ ? sprintf("%.3f", $1 / ((turns + 1) * tokens)) : ""
    printf "%-34s %18s %16s%s\n", name ($2 == "" ? "" : " (" $2 ")"), $1, each, ($5 != "" && $5 < 99 ? "  counted " $5 " % of the time" : "")
  }
  END {
    print ""
    ratio("instructions", "cycles", "instructions a cycle, the FMA peak and the start among them")
    ratio("L1-dcache-load-misses", "L1-dcache-loads", "of the loads miss L1")
    ratio("LLC-load-misses", "LLC-loads", "of the loads that reach the last level miss it")
    ratio("dTLB-load-misses", "dTLB-loads", "of the loads miss the TLB")
    printf "  %d runs of %d tokens and one to warm up, %.3f ms each: %.0f %% of %.2f s on up to %d thread(s)\n",
      turns, tokens, 1e3 * median, 1e11 * (turns + 1) * median / elapsed, elapsed / 1e9, threads
  }' "$made/stat.csv"
