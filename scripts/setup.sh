#!/bin/sh
# The virtual environment that demo.sh and test.sh share: finds Python, makes .venv, installs what constraints.txt pins.
#
#   sh scripts/setup.sh                      # on its own, from any folder
#   PYTHON=python3.13 sh scripts/demo.sh     # with this Python instead of the first one found
#   XPERT_NO_TORCH=1 sh scripts/demo.sh      # without fine-tuning: PyTorch is gigabytes on some systems
#
# Writes inside .venv only. An existing .venv is used as it is, and a second run finds the stamp and installs nothing.
# Not for Termux, where PyTorch and numpy come from pkg: `xpert doctor` and the README say how.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

step() {  # step WHAT COMMAND...: announce, run, say the time it took
    what=$1
    shift
    say "$what ..."
    began=$(date +%s)
    "$@" || return
    say "$what: done in $(($(date +%s) - began)) s"
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            "$candidate" -c 'import ensurepip, venv' 2>/dev/null ||
                fail "$candidate lacks the venv module. Install it (Debian, Ubuntu: apt install python3-venv)."
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.10 or newer found. Install one, or name it: PYTHON=/path/to/python3 sh $0"
}

make_venv() {
    found=$(find_python) || exit 1
    step "making .venv with $found" "$found" -m venv "$root/.venv" ||
        fail "cannot make .venv. Delete $root/.venv and try again."
}

need_compiler() {
    "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("llama_cpp") is None)' && return
    for compiler in ${CXX:-c++ g++ clang++}; do
        printf '#include <vector>\nint main() {}\n' |
            "$compiler" -x c++ -o "$root/.venv/xpert-compiles" - 2>/dev/null && return
    done
    say "error: no C++ compiler that works was found, and llama.cpp is compiled. Install one, then run this again:"
    say "  Debian, Ubuntu: apt install g++        macOS: xcode-select --install        Fedora: dnf install gcc-c++"
    say "Without one, take what its authors compiled, if they did for your Python: download the wheel of the version that"
    say "constraints.txt names from https://github.com/abetlen/llama-cpp-python/releases, install it, then run this again:"
    say "  $python -m pip install FILE.whl"
    exit 1
}

install() (
    cd "$root" &&
        "$python" -m pip install -qq --upgrade pip &&
        "$python" -m pip install -qq -c constraints.txt -e ".[$extras]"
)

extras=demo,finetune,serve,publish,dev
[ -z "${XPERT_NO_TORCH:-}" ] || extras=demo,serve,publish,dev
stamp="$root $extras $(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
if [ "$(cat "$root/.venv/xpert-stamp" 2>/dev/null)" != "$stamp" ]; then
    [ -x "$python" ] || make_venv
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "the Python in .venv is older than 3.10. Delete $root/.venv and try again."
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null ||
        fail "the Python in .venv has no pip. Delete $root/.venv and try again."
    need_compiler
    step "installing xpert[$extras] (several minutes the first time: llama.cpp is compiled)" install ||
        fail "installation failed, see above. Where PyTorch is what cannot be installed: XPERT_NO_TORCH=1 sh $0"
    printf '%s\n' "$stamp" >"$root/.venv/xpert-stamp"
fi
