#!/usr/bin/env bash
# What does a kernel's inner loop look like? Its disassembly, and what is in it: FMAs, loads, stores, broadcasts, spills.
#
#   perf/asm.sh                                      lists the kernels of every tier
#   perf/asm.sh KERNEL [--isa TIER] [--loop N]       prints its inner loop (or the N-th of its loops)
#   perf/asm.sh KERNEL [--isa TIER] --loops          lists its loops
#
# KERNEL is an entry of src/kernel/README.md, or short for one: tile (blocked), lstm, gru and elman (their forward).
# TIER is avx512, avx2 or portable; unless given, ELMAN_ISA or this machine's best. All of x86's tiers are in every build
# for x86-64, so any of them can be read on any such machine.
#
#   perf/asm.sh tile
#   perf/asm.sh lstm --isa avx2
#
# A loop is what lies between a backward branch and its target, loops inside it left out. A spill is a vector register
# stored to the stack inside the loop, a reload one loaded from there. The inner loop is the one with the most FMAs; of a
# tile, with the most accumulators; where the tier has no FMA (portable, unless the build is for a target that has), with the
# most vector arithmetic.
#
# Needs Python 3 and objdump or llvm-objdump (OBJDUMP=… takes another one).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=perf/common.sh
. perf/common.sh
answer_help "$@"
need python3 "apt-get install python3, or https://www.python.org"
if [ -z "${OBJDUMP-}" ]; then
  sysroot=$(rustc --print sysroot 2>/dev/null || true)
  for OBJDUMP in objdump llvm-objdump "$sysroot"/lib/rustlib/*/bin/llvm-objdump ''; do
    if command -v "$OBJDUMP" >/dev/null; then break; fi
  done
fi
[ -n "$OBJDUMP" ] || die "objdump: not found. apt-get install binutils, or: rustup component add llvm-tools"
need "$OBJDUMP" "OBJDUMP names it: expected objdump or llvm-objdump"
# Wrong words are told before anything is built.
python3 perf/asm.py --check "$@"
build
exec python3 perf/asm.py --objdump "$OBJDUMP" --binary "$elman" "$@"
