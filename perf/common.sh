# What the scripts beside this file have in common; they source it.
# shellcheck shell=bash

script=perf/${0##*/}

# Answers --help, wherever it stands: the comment at the head of a script is its help.
answer_help() {
  if has --help "$@" || has -h "$@"; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script"
    exit
  fi
}

# The script could not do what it was asked to.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# It was called wrongly.
wrong() {
  printf "error: %s ('%s --help' tells more)\n" "$*" "$script" >&2
  exit 2
}

# need TOOL HOW: ends where a tool is missing, and says how to get it.
need() { command -v "$1" >/dev/null || die "$1: not found. $2"; }

need_linux_perf() {
  need perf "It is Linux's profiler: apt-get install linux-perf (Debian), linux-tools-generic (Ubuntu), dnf install perf (Fedora), pacman -S perf (Arch)"
}

# Whether an option is among the arguments: has --seconds "$@".
has() {
  local option=$1 argument
  shift
  for argument in "$@"; do
    case $argument in "$option" | "$option"=*) return 0 ;; esac
  done
  return 1
}

# The value of an option among the arguments, or nothing.
value_of() {
  local option=$1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$option") printf '%s' "${2-}" && return ;;
      "$option"=*) printf '%s' "${1#*=}" && return ;;
    esac
    shift
  done
}

# A field of one line of JSON that is a number or a word.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# A file name out of arguments: `--cell gru --hidden 64` is `cell-gru-hidden-64`.
slug() { printf '%s' "$*" | tr -cs 'A-Za-z0-9._\n' '-' | sed 's/^-*//; s/-*$//'; }

# Whether perf counts an event here. It may be known and still not be there, in a virtual machine for one.
counted() {
  LC_ALL=C perf stat -x, -e "$1" -- true 2>&1 >/dev/null | grep -q '^[0-9]'
}

# Ends where perf may not even look at a clock.
need_permission() {
  local reason
  reason=$(LC_ALL=C perf stat -x, -e cpu-clock:u -- true 2>&1 >/dev/null) && return
  printf '%s\n' "$reason" >&2
  die "perf may not measure here. kernel.perf_event_paranoid is $(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo unknown); \
'sudo sysctl kernel.perf_event_paranoid=2' allows a user's own programs. In a container, the system call perf_event_open must be allowed, too"
}

# Where cargo builds: CARGO_TARGET_DIR, or what its settings say.
target=${CARGO_TARGET_DIR-}
if [ -z "$target" ]; then
  target=$(cargo metadata --format-version 1 --no-deps --offline 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p' || true)
  target=${target:-target}
fi
# Files that are made: git ignores the folder.
made=$target/perf
# shellcheck disable=SC2034
elman=$target/release/elman

build() {
  need cargo "It comes with Rust: https://rustup.rs"
  mkdir -p "$made"
  cargo build --release --quiet -p elman-cli
}

# find_python MODULE…: makes `python` one that has these: $PYTHON, or that of perf/.venv, where they are installed.
find_python() {
  local module modules=''
  for module in "$@"; do modules+=${modules:+, }$module; done
  python=${PYTHON:-perf/.venv/bin/python}
  if [ -n "${PYTHON-}" ]; then
    need "$python" "PYTHON names it: expected a Python 3"
    "$python" -c "import $modules" 2>/dev/null || die "PYTHON=$python: cannot import $modules"
    return
  fi
  if [ ! -x "$python" ]; then
    need python3 "apt-get install python3 python3-venv, or https://www.python.org"
    python3 -m venv perf/.venv
  fi
  # Another script may have made the environment with less in it.
  if ! "$python" -c "import $modules" 2>/dev/null; then
    echo "installing $modules into perf/.venv, once" >&2
    "$python" -m pip install --quiet "$@"
  fi
}
