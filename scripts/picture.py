"""What an xpert command prints, as an SVG for the README.

python scripts/picture.py docs/select.svg select prompts/writers/mara.jsonl --top 3
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 92


def main() -> None:
    target, arguments = Path(sys.argv[1]), sys.argv[2:]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-m", "xpert_cli", *arguments]
    printed = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ).stdout
    target.parent.mkdir(parents=True, exist_ok=True)
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(f"[green]$[/] xpert {' '.join(arguments)}\n", highlight=False)
        console.print(Text.from_ansi(printed))
        console.save_svg(str(target), title="xpert")


if __name__ == "__main__":
    main()
