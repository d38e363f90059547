"""What --help shows beside the docstrings: two examples for each command, and plain names for the kinds of values.

    command(app)(prog_name="xpert")

docs/cli.md is made of the same (scripts/cli_reference.py). Not here: what the commands do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import typer
from rich.text import Text

from xpert_cli.cli.output import Screen

_VALUES = {"NUMBER": "NUMBER", "int": "NUMBER", "integer": "NUMBER", "float": "NUMBER", "Path": "FILE", "path": "FILE"}
EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("xpert demo", "xpert demo --json"),
    "convert": (
        "xpert convert Qwen/Qwen3-0.6B -o qwen3.gguf",
        "xpert convert ~/models/my-llama --type Q8_0",
    ),
    "import": (
        "xpert import WhatsApp.zip --author 'Anna Berg'",
        "xpert import result.json mail.mbox --author anna --since 2025-01-01 -o mine.jsonl",
    ),
    "summarize": ("xpert summarize messages.jsonl", "xpert summarize notes/ --as-prompt > me.txt"),
    "select": ("xpert select messages.jsonl --check", "xpert select chat.txt --author Anna --plot me.html"),
    "finetune": (
        "xpert finetune messages.jsonl",
        "xpert finetune today/*.md --from last --minutes 10",
    ),
    "run": (
        "xpert run 'Write to my landlord about the heating.' --adapter last",
        "xpert run - --adapter elementary-concise-plain=0.6 --seed 3 < question.txt",
    ),
    "chat": ("xpert chat", "xpert chat --adapter mara --system 'Answer in one sentence.' --keep"),
    "serve": ("xpert serve", "xpert serve --host 0.0.0.0 --port 8000 --api-key s3cret"),
    "eval": ("xpert eval held-out.jsonl --adapter last", "xpert eval held-out.jsonl --merged me.gguf --json"),
    "merge": (
        "xpert merge --adapter terse.gguf=0.7 --adapter warm.gguf=0.3 -o both.gguf",
        "xpert merge --adapter last --base base.gguf -o me.gguf",
    ),
    "disk": ("xpert disk", "xpert disk --prune"),
    "doctor": ("xpert doctor", "xpert doctor --report"),
    "runs": ("xpert runs", "xpert runs --json"),
    "runs list": ("xpert runs list", "xpert runs list --json"),
    "runs show": ("xpert runs show last", "xpert runs show mara --json"),
    "runs rename": ("xpert runs rename last mara", "xpert runs rename 20261128-1145 work"),
    "runs rm": ("xpert runs rm mara", "xpert runs rm 20261128-114500-ab12cd34 --yes"),
    "runs export": ("xpert runs export last gguf -o me.gguf", "xpert runs export mara ollama -o mara"),
    "models": ("xpert models", "xpert models --json"),
    "models list": ("xpert models list", "xpert models list --json"),
    "models pull": ("xpert models pull qwen3-0.6b", "xpert models pull owner/name:Q4_K_M"),
    "models rm": ("xpert models rm qwen3-0.6b", "xpert models rm owner/name:model.gguf --yes"),
    "config": ("xpert config", "xpert config --json"),
    "config list": ("xpert config list", "xpert config list --json"),
    "config get": ("xpert config get base", 'xpert run Hello --base "$(xpert config get base)"'),
    "config set": (
        "xpert config set base ~/models/qwen3-0.6b.gguf",
        "xpert config set cache anna/styles",
    ),
    "aliases": ("xpert aliases", "xpert aliases --json"),
    "aliases list": ("xpert aliases list", "xpert aliases list --json"),
    "aliases set": (
        "xpert aliases set plain elementary-concise-plain",
        "xpert aliases set mix elementary-concise-plain=0.6+last=0.4",
    ),
    "aliases rm": ("xpert aliases rm plain", "xpert aliases rm mix --json"),
    "cache": ("xpert cache", "xpert cache --json"),
    "cache build": (
        "xpert cache build runs/mara runs/okoro -o my-cache",
        "xpert cache build adapters/*.gguf --base qwen3.gguf -o my-cache",
    ),
    "cache train": (
        "xpert cache train writers/ -o my-cache",
        "xpert cache train messages.jsonl --author-column user -o my-cache --communities text --no-people",
    ),
    "cache add": (
        "xpert cache add runs/zoe --cache my-cache",
        "xpert cache add runs/zoe --cache anna/styles",
    ),
    "cache index": ("xpert cache index my-cache", "xpert cache build runs/* -o my-cache --index"),
    "cache verify": ("xpert cache verify", "xpert cache verify --cache anna/styles"),
    "cache list": ("xpert cache list", "xpert cache list --cache anna/styles --json"),
    "cache words": ("xpert cache words my-cache", "xpert cache words my-cache --summarizer qwen3.gguf"),
    "cache publish": (
        "xpert cache publish my-cache anna/styles",
        "xpert cache publish my-cache anna/styles --key ~/.config/xpert/signing.key --public",
        "xpert cache publish my-cache anna/people --least 20",
    ),
    "cache key": ("xpert cache key", "xpert cache key --json"),
    "cache trust": (
        "xpert cache trust anna/styles RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
        "xpert cache list --cache anna/styles",
    ),
}


def command(app: typer.Typer) -> Any:
    """The whole command line, as typer's public `get_command` makes it, with examples and plain names."""
    whole = typer.main.get_command(app)
    _complete(whole, "")
    return whole


def _complete(one: Any, name: str) -> None:
    """Examples at the end, a name for each kind of value in place of typer's, and the same in what is below."""
    if lines := EXAMPLES.get(name):
        one.epilog = "\n\n".join(["Examples:", *lines])
        one.format_help = partial(_help, one, one.format_help)
    for param in one.params:
        if param.metavar is None and param.param_type_name == "option":
            param.metavar = " " if param.is_flag else _VALUES.get(_kind(param), "VALUE")
    one.get_help_option = partial(_help_option, one.get_help_option)
    for below, part in getattr(one, "commands", {}).items():
        _complete(part, f"{name} {below}".strip())


def _help_option(usual: Callable[[Any], Any], ctx: Any) -> Any:
    """--help itself, which takes no value: Typer would show <bool>."""
    option = usual(ctx)
    if option is not None:
        option.metavar = " "
    return option


def _help(one: Any, usual: Callable[[Any, Any], None], ctx: Any, formatter: Any) -> None:
    """Typer's help, then the examples, each on a line that is not broken: it could not be copied."""
    epilog, one.epilog = one.epilog, None
    try:
        usual(ctx, formatter)
    finally:
        one.epilog = epilog
    head, *lines = epilog.split("\n\n")
    Screen().print(Text("\n".join([f" {head}", *(f"   {line}" for line in lines)])), soft_wrap=True)


def _kind(param: Any) -> str:
    """The kind of an option's value: typer 0.28 names it in `type`, later ones keep what was annotated."""
    named = str(getattr(getattr(param, "type", None), "name", "")).removesuffix(" range")
    annotated = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    return named or str(getattr(annotated, "__name__", ""))
