#!/bin/sh
# What is published, tried as strangers get it: the sdist and the wheel built, each installed alone into an empty
# environment with the core's own dependencies and nothing else, and used; then the server with its extra.
#
#   sh scripts/package.sh          # after setup.sh; fetches packages, and takes llama.cpp as pip compiled it before
#
# Everything is made below a temporary folder and removed at the end.
set -eu
. "$(dirname -- "$0")/setup.sh"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
model=$("$python" -c 'from xpert_cli.hub.sources import find_base; print(find_base("smollm2-135m-instruct"))')
unset PYTHONPATH

build() {
    (cd "$root" && "$python" -m build --no-isolation --outdir "$place/dist" . >"$place/log" 2>&1) || {
        cat "$place/log" >&2
        return 1
    }
}

# The core alone: what it must not bring, and what it does without an extra.
core() {
    if "$bin/python" -m pip list --format=freeze | grep -iE '^(torch|transformers|scipy|scikit-learn|openai|starlette)='; then
        fail "the core brings this, and should not."
    fi
    "$bin/xpert" --version && "$bin/xpert" --help >"$place/help" && grep -q finetune "$place/help" &&
        "$bin/xpert" select "$place/mara.jsonl" --json >"$place/chosen" &&
        "$bin/python" -c 'import json, sys; print("selected", json.load(open(sys.argv[1]))["selected"][0]["adapter"])' \
            "$place/chosen" &&
        "$bin/xpert" run "Hello!" --base "$model" --max-tokens 4 --quiet >"$place/answer" && [ -s "$place/answer" ]
}

serve() {
    "$bin/xpert" serve --base "$model" --port 0 --json >"$place/address" 2>"$place/log" &
    server=$!
    "$bin/python" - "$place/address" <<'EOF' || { cat "$place/log" >&2; kill "$server"; return 1; }
import json, sys, time, urllib.request

for _ in range(300):
    if line := open(sys.argv[1]).readline():
        break
    time.sleep(0.1)
api = json.loads(line)["api"]
body = {"model": "cache:expert-concise-plain", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
request = urllib.request.Request(f"{api}/chat/completions", json.dumps(body).encode())
told = json.load(urllib.request.urlopen(request, timeout=60))
print("served", told["usage"]["completion_tokens"], "tokens of", told["model"])
assert b"<script>" in urllib.request.urlopen(api.removesuffix("/v1"), timeout=60).read()
EOF
    kill "$server"
    wait "$server" || true
}

step "building the sdist and the wheel from it" build || fail "it cannot be built, see above."
cp "$root/prompts/writers/mara.jsonl" "$place"
export HF_HUB_OFFLINE=1 XPERT_HOME="$place/data" XDG_CONFIG_HOME="$place/config"
cd "$place"
for file in dist/*.tar.gz dist/*.whl; do
    rm -rf env
    "$python" -m venv env
    bin=$place/env/bin
    step "installing ${file##*/} alone" "$bin/python" -m pip install -q \
        -c "$root/constraints.txt" "$file" || fail "it cannot be installed, see above."
    step "the core of ${file##*/}" core || fail "the core does not work, see above."
done
step "installing the server" "$bin/python" -m pip install -q -c "$root/constraints.txt" \
    "$(ls "$place"/dist/*.whl)[serve]" || fail "the server cannot be installed, see above."
step "the server" serve || fail "the server does not work, see above."
