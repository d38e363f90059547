"""The command line as tests call it: in this process, or in one of its own where packages are hidden or faults planted.

done = xpert("select", "notes.txt", "--json", hide=("torch",))
status, out, err = called(monkeypatch, capsys, "select", "missing.txt")
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from xpert_cli.cli import app

ROOT = Path(app.__file__).parents[2]
MARA, OKORO = (str(ROOT / "prompts" / "writers" / name) for name in ("mara.jsonl", "okoro.md"))
EXTRAS = ("torch", "transformers", "peft", "safetensors")
# A fault for `xpert`: models show their style in few words, where a test is not about these; sampling is slow.
FEW_ANSWERS = "from xpert_cli.selection import style_shift as s\ns.ANSWERS, s.ANSWER_TOKENS = 2, 8\n"
_HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hide!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
{fault}
from xpert_cli.cli.entry import main
sys.argv = ["xpert", *{arguments!r}]
main()
"""


def xpert(
    *arguments: str, stdin: str = "", hide: Sequence[str] = (), fault: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without the packages in `hide`, after the statements in `fault`."""
    code = ["-c", _HIDE.format(hide=tuple(hide), fault=fault, arguments=arguments)]
    return subprocess.run(
        [sys.executable, *(code if hide or fault else ["-m", "xpert_cli", *arguments])],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command in this process."""
    monkeypatch.setattr(sys, "argv", ["xpert", *arguments])
    with pytest.raises(SystemExit) as left:
        app.main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def leaves(one: Any, name: str = "") -> dict[str, Any]:
    """Every command by its name, as in "cache list"."""
    below = getattr(one, "commands", None)
    if below is None:
        return {name: one}
    found: dict[str, Any] = {name: one} if name and one.invoke_without_command else {}
    for part, child in below.items():
        found |= leaves(child, f"{name} {part}".strip())
    return found
