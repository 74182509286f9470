"""Finds a kernel's inner loop in the disassembly of `elman` and counts what is in it. Called by perf/asm.sh, which says how."""

import argparse
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIERS = ["avx512", "avx2", "portable"]
SHORT = {"tile": "blocked", "lstm": "lstm_forward", "gru": "gru_forward", "elman": "elman_tanh_forward", "rnn": "elman_tanh_forward"}
# A function's head in the disassembly; a kernel that was not inlined into its entry is a `compiled` inside it.
HEAD = re.compile(r"^[0-9a-f]+ <(.*)>:$")
ENTRY = re.compile(r"^elman::kernel::(\w+)::entry::(\w+)(::compiled)?(?:::h[0-9a-f]{16})?$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*?)\s*$")
# Of these the loop with the most accumulators is taken: a narrow tile's may be unrolled further, and have more FMAs.
TILES = {"blocked", "blocked_short", "k_major"}
# Own instructions beyond which a loop is the whole function, and no inner one.
LONG = 600
PREFIXES = {"rep", "repz", "repnz", "lock", "bnd", "notrack", "data16", "cs", "{evex}", "{vex}"}
COLUMNS = ["FMAs", "loads", "broadcasts", "stores", "spills", "reloads", "other vector", "scalar", "calls"]


def entries():
    """The kernels' names, from the table that they are made by."""
    text = (ROOT / "src/kernel/table.rs").read_text()
    return re.findall(r"^            (\w+)\(.*\) = \w+::\w+(?:\[.*\])?,$", text, re.MULTILINE)


def best_tier():
    asked = os.environ.get("ELMAN_ISA")
    if asked in TIERS:
        return asked
    try:
        flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    if "avx512f" in flags:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= flags or sys.platform == "darwin" and os.uname().machine == "x86_64" else "portable"


class Instruction:
    """One line of a disassembly, x86-64 in Intel's order of operands, or AArch64."""

    def __init__(self, address, text, frame):
        self.address, self.text = address, text
        words = re.sub(r"\s*(#|//).*$", "", text).split(None, 1)
        while len(words) > 1 and words[0] in PREFIXES:
            words = words[1].split(None, 1)
        self.name = words[0]
        operands = words[1] if len(words) > 1 else ""
        self.kind, self.first = self.classify(operands), operands.split(",")[0]
        # Lanes of 32 bits that an FMA has.
        self.lanes = 1
        for register, lanes in (("zmm", 16), ("ymm", 8), ("xmm", 4), (".4s", 4), (".2s", 2)):
            if register in operands and not self.name.endswith("ss"):
                self.lanes = lanes
                break
        self.stack = re.search(r"\[(rsp|sp)\b" + (r"|\[rbp\b" if frame else ""), operands) is not None

    def classify(self, operands):
        name = self.name
        vector = re.search(r"\b[xyz]mm\d|\bv\d+\.|\b[qsd]\d+\b", operands) is not None
        memory = "[" in operands.replace("s[", "").replace(".d[", "") and not name.startswith(("lea", "nop", "prefetch", "prfm"))
        if name.startswith(("call", "bl")) and name not in ("blendvps",):
            return "calls"
        if re.match(r"vf(n?)m(add|sub)|fml[as]|fn?m(add|sub)", name):
            return "FMAs"
        if not vector:
            return "scalar"
        if "broadcast" in name or name in ("ld1r", "dup"):
            return "broadcasts"
        if memory and ("[" in operands.split(",")[0] or re.match(r"st[rpu1]", name)):
            return "stores"
        if memory and re.match(r"v?mov|ld[rpu1]|vmaskmov|vexpand", name):
            return "loads"
        return "other vector"

    def target(self):
        """Where a jump goes."""
        if not re.match(r"j|b(\.|$)|cbn?z|tbn?z", self.name):
            return None
        found = re.search(r"(?:0x)?([0-9a-f]+)\s*<", self.text)
        return int(found[1], 16) if found else None


def disassemble(objdump, binary):
    """{(tier, entry): instructions}; of an entry and what is compiled inside it, the longer one."""
    # GNU's and LLVM's have these options in common.
    command = [objdump, "-d", "-C", "--no-show-raw-insn", "-M", "intel", binary]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    kernels, lines = {}, None
    for line in process.stdout:
        head = HEAD.match(line.rstrip())
        if head:
            entry = ENTRY.match(head[1])
            lines = [] if entry else None
            if entry:
                kernels.setdefault((entry[1], entry[2]), []).append(lines)
        elif lines is not None:
            found = INSTRUCTION.match(line)
            if found:
                lines.append((int(found[1], 16), found[2].replace("\t", " ")))
    errors = process.stderr.read()
    if process.wait() != 0:
        sys.exit(f"error: {' '.join(command)}: {errors.strip()}")
    return {key: decode(max(bodies, key=len)) for key, bodies in kernels.items()}


def decode(lines):
    # Only where rbp is the frame is it the stack.
    frame = any(re.match(r"mov\s+rbp,\s*rsp", text) for _, text in lines[:24])
    return [Instruction(address, text, frame) for address, text in lines]


def count(loop):
    counts = dict.fromkeys(COLUMNS, 0)
    for i in loop:
        counts[i.kind] += 1
        memory = "[" in i.text
        if i.stack and i.kind == "stores":
            counts["spills"] += 1
        elif i.stack and memory and i.kind in ("FMAs", "loads", "other vector"):
            counts["reloads"] += 1
    return counts


def loops(entry, function):
    """Each loop's own instructions, those of loops inside it left out: most FMAs first (of a tile, most accumulators); where
    there are none, most vector arithmetic.
    """
    addresses = {i.address: n for n, i in enumerate(function)}
    ends = {}
    for n, i in enumerate(function):
        target = i.target()
        if target is not None and target <= i.address and target in addresses:
            # A `continue` jumps to the same head as the end does.
            ends[addresses[target]] = n
    spans = list(ends.items())
    found = []
    for begin, end in spans:
        inside = [b for b in spans if b != (begin, end) and begin <= b[0] and b[1] <= end]
        nested = {n for first, last in inside for n in range(first, last + 1)}
        found.append([function[n] for n in range(begin, end + 1) if n not in nested])

    def weight(loop):
        counts = count(loop)
        accumulators = len({i.first for i in loop if i.kind == "FMAs"}) if entry in TILES else 0
        figures = (accumulators, counts["FMAs"], counts["other vector"], counts["loads"])
        return (len(loop) > LONG, *(-figure for figure in figures), loop[0].address)

    return sorted(filter(None, found), key=weight)


def embedded(loop):
    """FMAs and others that take an operand from memory, and how many of those broadcast it."""
    memory = [i for i in loop if i.kind in ("FMAs", "other vector") and "[" in i.text and "s[" not in i.text]
    return len(memory), sum("{1to" in i.text or " BCST " in i.text for i in memory)


def show(function, loop):
    places = {i.address: n for n, i in enumerate(function)}
    before = places[loop[0].address] - 1
    marks = {"FMAs": "fma", "loads": "load", "broadcasts": "broadcast", "stores": "store", "calls": "call"}
    for i in loop:
        skipped, before = places[i.address] - before - 1, places[i.address]
        if skipped:
            print(f"{'':10}  … {skipped} instructions of loops inside")
        mark = marks.get(i.kind, "")
        if i.stack and i.kind in ("stores", "loads"):
            mark = "spill" if i.kind == "stores" else "reload"
        print(f"  {i.address:8x}  {mark:<10} {re.sub(r' +', ' ', i.text)}")


def summary(loop):
    counts = count(loop)
    text = ", ".join(f"{counts[name]} {name}" for name in COLUMNS)
    memory, broadcasts = embedded(loop)
    flop = sum(2 * i.lanes for i in loop if i.kind == "FMAs")
    print(f"{len(loop)} instructions: {text}")
    print(f"{memory} of the FMAs and others take an operand from memory, {broadcasts} of them broadcast it")
    if counts["FMAs"]:
        reads = memory + counts["loads"] + counts["broadcasts"]
        each = f", {counts['FMAs'] / reads:.1f} FMAs for each read of memory" if reads else ""
        print(f"{flop} FLOP a turn, {counts['FMAs'] / len(loop):.0%} of the instructions are FMAs{each}")


def listing(kernels):
    print("perf/asm.sh KERNEL [--isa TIER] prints a kernel's inner loop; of that, a turn:\n")
    print(f"{'kernel':<18} {'tier':<9} {'instructions':>12} {'loops':>6} {'FMAs':>6} {'of':>6}")
    for (tier, entry), function in sorted(kernels.items(), key=lambda item: (item[0][1], TIERS.index(item[0][0]))):
        found = loops(entry, function)
        best = found[0] if found else []
        fmas = count(best)["FMAs"]
        print(f"{entry:<18} {tier:<9} {len(function):>12} {len(found):>6} {fmas:>6} {len(best):>6}")


def main():
    parser = argparse.ArgumentParser(prog="perf/asm.sh", add_help=False)
    parser.add_argument("kernel", nargs="?", metavar="KERNEL")
    parser.add_argument("--isa", metavar="TIER")
    parser.add_argument("--loop", type=int, default=1, metavar="N")
    parser.add_argument("--loops", action="store_true")
    for hidden in ("--objdump", "--binary"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = entries()
    entry = SHORT.get(arguments.kernel, arguments.kernel)
    if arguments.isa and arguments.isa not in TIERS:
        parser.error(f"--isa: expected avx512, avx2 or portable, got '{arguments.isa}'")
    if entry is not None and entry not in names:
        short = ", ".join(f"{a} ({b})" for a, b in SHORT.items())
        parser.error(f"KERNEL: expected one of {', '.join(names)}, or short {short}; got '{arguments.kernel}'")
    if arguments.check:
        return
    kernels = disassemble(arguments.objdump, arguments.binary)
    if not kernels:
        sys.exit(f"error: {arguments.binary}: no function elman::kernel::TIER::entry::…; was it stripped of its symbols?")
    if entry is None:
        listing(kernels)
        return
    tier = arguments.isa or best_tier()
    if (tier, entry) not in kernels:
        sys.exit(f"error: {entry}: this build has no such kernel of the tier {tier}")
    found = loops(entry, kernels[tier, entry])
    print(f"elman::kernel::{tier}::entry::{entry}: {len(kernels[tier, entry])} instructions, {len(found)} loops")
    if arguments.loops:
        print(f"\n{'N':>3} {'at':>9} {'size':>5} " + " ".join(f"{name:>{max(6, len(name))}}" for name in COLUMNS))
        for n, loop in enumerate(found):
            cells = " ".join(f"{value:>{max(6, len(name))}}" for name, value in count(loop).items())
            print(f"{n + 1:>3} {loop[0].address:>9x} {len(loop):>5} {cells}")
        return
    if not 1 <= arguments.loop <= len(found):
        sys.exit(f"error: --loop: expected a number from 1 to {len(found)}, got {arguments.loop}")
    loop = found[arguments.loop - 1]
    print(f"loop {arguments.loop}, --loops lists them all\n")
    show(kernels[tier, entry], loop)
    print()
    summary(loop)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
