"""What leaves the house: the sdist, the wheel built from it, that wheel at work elsewhere, and the setup script.

The wheel is installed into an environment that borrows the packages of this one but not its editable checkout: a
path named in a .pth file is added to sys.path without reading the .pth files found there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from xpert_cli import __version__

ROOT = Path(__file__).resolve().parent.parent
LETTER = "Hey hey! So I tried the tiny oven, and guess what? It sings! Bring cake, bring Bo, bring your silliest hat."


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the sdist, so that what the sdist lacks the wheel lacks too."""
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, cwd=ROOT)
    (sdist,) = dist.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    run(*pip, "--wheel-dir", dist, sdist, cwd=dist)
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel installed and the checkout out of reach."""
    root = tmp_path_factory.mktemp("elsewhere") / "env"
    try:
        venv.create(root, with_pip=False)
    except PermissionError:
        pytest.skip("an environment has symbolic links, which cannot be made here")
    python = root / "bin" / "python"
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-deps", "--no-index", wheel)
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site,) = root.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text("\n".join(sorted(borrowed)), encoding="utf-8")
    return python.parent


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has set nothing and is offline; the home is `tmp_path`."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XPERT", "XDG", "HF"))}
    return keep | {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}


def test_the_wheel_holds_the_data_and_no_more_than_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"xpert_cli/{name}" for name in ("defaults.ini", "py.typed", "serve/page.html")}
    for folder in ("adapters", "prompts"):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        assert files, f"{folder}/ is empty"
        expected |= {f"xpert_cli/{path.relative_to(ROOT).as_posix()}" for path in files}
    assert expected - names == set()
    assert {name.split("/")[0] for name in names} == {"xpert_cli", f"xpert_cli-{__version__}.dist-info"}


def test_constraints_pin_what_setup_installs_and_agree_with_the_ranges(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read(f"xpert_cli-{__version__}.dist-info/METADATA")
    wanted = [Requirement(line) for line in message_from_bytes(metadata).get_all("Requires-Dist") or []]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {
        pin.name.lower(): pin.specifier for line in lines if (text := line.split("#")[0]) and (pin := Requirement(text))
    }
    missing, outside = [], []
    for need in wanted:
        if need.marker and not any(
            need.marker.evaluate({"extra": extra}) for extra in ("demo", "finetune", "serve", "dev")
        ):
            continue
        if need.name.lower() not in pins:
            missing.append(need.name)
        elif not need.specifier.contains(str(pins[need.name.lower()]).removeprefix("==")):
            outside.append(need.name)
    assert (missing, outside) == ([], [])
    core = {need.name for need in wanted if need.marker is None}
    assert core.isdisjoint({"torch", "transformers", "peft", "safetensors", "sentence-transformers"})


def test_the_wheel_at_work_elsewhere(elsewhere: Path, bare: dict[str, str], tmp_path: Path) -> None:
    where = run(elsewhere / "python", "-c", "import xpert_cli; print(xpert_cli.__file__)", cwd=tmp_path, env=bare)
    assert Path(where).is_relative_to(elsewhere.parent)
    assert __version__ in run(elsewhere / "xpert", "--version", cwd=tmp_path, env=bare)
    assert json.loads(run(elsewhere / "xpert", "doctor", "--json", cwd=tmp_path, env=bare))["checks"]


@pytest.mark.model
def test_the_wheel_selects_from_its_own_cache(elsewhere: Path, bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("\n\n".join([LETTER] * 4), encoding="utf-8")
    out = run(elsewhere / "xpert", "select", "letter.txt", "--offline", "--json", cwd=tmp_path, env=bare)
    ranked = {entry["adapter"] for entry in json.loads(out)["ranking"]}
    assert ranked == {path.stem for path in (ROOT / "adapters" / "adapters").glob("*.gguf")}
    assert ranked


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout, and as its only Python a script that notes how it is called and copies itself for `-m venv DIR`."""
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    fake = tools / "python3"
    fake.write_text(
        f'#!/bin/sh\necho "$*" >>"{tmp_path}/calls"\n'
        '[ "$1 $2" != "-m venv" ] || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/xpert"; }\n',
        encoding="utf-8",
    )
    fake.chmod(0o755)
    for name in ("sh", "cat", "cksum", "cp", "date", "dirname", "mkdir"):
        (tools / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} "$@"\n', encoding="utf-8")
        (tools / name).chmod(0o755)
    return root


def setup(checkout: Path, script: str = "setup.sh", *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit status, calls of Python, standard error of one run of a script, from outside the checkout."""
    calls = checkout.parent / "calls"
    calls.write_text("", encoding="utf-8")
    command = ["sh", str(checkout / "scripts" / script), *arguments]
    env = {"PATH": str(checkout.parent / "tools")} | settings
    done = subprocess.run(command, cwd=checkout.parent, env=env, capture_output=True, text=True, check=False)
    return done.returncode, calls.read_text("utf-8"), done.stderr


def test_setup_installs_once_and_again_when_the_pins_change(checkout: Path) -> None:
    status, calls, talk = setup(checkout)
    assert status == 0
    assert f"-m venv {checkout}/.venv" in calls
    assert "install -qq -c constraints.txt -e .[demo,finetune,serve,publish,dev]" in calls
    assert "done in" in talk
    assert setup(checkout) == (0, "", "")
    with (checkout / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write("# another day\n")
    status, calls, talk = setup(checkout, XPERT_NO_TORCH="1")
    assert "venv" not in calls
    assert "install -qq -c constraints.txt -e .[demo,serve,publish,dev]" in calls


def test_demo_passes_its_arguments_on(checkout: Path) -> None:
    setup(checkout)
    assert setup(checkout, "demo.sh", "--seed", "3") == (0, "demo --seed 3\n", "")


def test_setup_says_what_is_missing(checkout: Path) -> None:
    python = checkout.parent / "tools" / "python3"
    working = python.read_text("utf-8")
    python.write_text('#!/bin/sh\ncase "$2" in *version*) exit 1 ;; esac\n', encoding="utf-8")
    assert "no Python 3.10 or newer found" in setup(checkout)[2]
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\n', encoding="utf-8")
    assert "lacks the venv module" in setup(checkout)[2]
    python.write_text(working + 'case "$2" in *llama_cpp*) exit 1 ;; esac\n', encoding="utf-8")
    status, calls, talk = setup(checkout)
    assert (status, "install" in calls) == (1, False)
    assert "no C++ compiler that works was found" in talk
    assert f"\n  {checkout}/.venv/bin/python -m pip install FILE.whl\n" in talk
    broken = checkout.parent / "tools" / "c++"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    assert "no C++ compiler that works was found" in setup(checkout)[2]
    python.write_text(working + 'case "$*" in *constraints.txt*) exit 1 ;; esac\n', encoding="utf-8")
    shutil.copy(python, checkout / ".venv" / "bin" / "python")
    status, _, talk = setup(checkout)
    assert (status, (checkout / ".venv" / "xpert-stamp").exists()) == (1, False)
    assert "XPERT_NO_TORCH=1 sh" in talk
