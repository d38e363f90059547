"""Every test has a home of its own, no Hub, no colour and a width of 100 columns."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tiny import packaged_base

from xpert_cli import platform

platform.prepare_libraries()  # before any test loads a library that uses OpenMP

# Programs that tests start are ended by these, also where a background job or nohup switched them off for this one.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# Both are read before these fixtures run: by the Hub's client when imported, and by fixtures of the whole session.
os.environ["HF_HUB_OFFLINE"] = "1"
for setting in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_PROGRESS_BARS"):  # as xpert_cli/hub/sources.py sets them
    os.environ[setting] = "1"
os.environ.setdefault("XPERT_TEST_CACHE", str(Path.home() / ".cache" / "xpert-tests"))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, which is where everything of the user's is looked for."""
    folder = tmp_path_factory.mktemp("home")
    for name, below in {"HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".data", "HF_HOME": ".hf"}.items():
        monkeypatch.setenv(name, str(folder / below))
    for name in ("XPERT_HOME", "XPERT_DEBUG", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    return folder


@pytest.fixture(scope="session")
def base() -> Path:
    """The packaged base model's GGUF file; skips where it is not installed."""
    return packaged_base()


@pytest.fixture
def few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `command.FEW_ANSWERS` is for a process of its own, in this one."""
    from xpert_cli.selection import style_shift

    monkeypatch.setattr(style_shift, "ANSWERS", 2)
    monkeypatch.setattr(style_shift, "ANSWER_TOKENS", 8)


@pytest.fixture
def links(tmp_path: Path) -> None:
    """Skips where links cannot be made, as on a phone's shared storage."""
    try:
        (tmp_path / "link").symlink_to(tmp_path)
    except OSError:
        pytest.skip("no links can be made here")
    (tmp_path / "link").unlink()
