"""A Hugging Face folder, a Hub repo or a GGUF file -> one quantized GGUF file.

    convert("HuggingFaceTB/SmolLM2-135M-Instruct", None, "Q4_K_M").out     # SmolLM2-135M-Instruct-Q4_K_M.gguf

What xpert does not convert itself goes to llama.cpp's `convert_hf_to_gguf.py`, if that is on PATH and the caller lets
it: for some models it runs Python code that comes with the model. Not covered: vision towers, importance matrices,
files split in parts.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from xpert_cli.errors import BadModel
from xpert_cli.gguf import read_header
from xpert_cli.gguf.vocabulary import check_vocabulary
from xpert_cli.hub.names import on_hub
from xpert_cli.models.hf_checkpoint import files, locate
from xpert_cli.models.hf_model import FloatType, write_gguf
from xpert_cli.models.hf_tokenizer import Unsupported
from xpert_cli.models.quantize import FLOATS, quantization_type, quantize, quantized_already
from xpert_cli.paths import identity, require_new, require_place, require_unread, share, whole
from xpert_cli.resume import middle

Progress = Callable[[str, float], None]
Permission = Callable[[str], bool]
_CONVERTER = "convert_hf_to_gguf.py"


@dataclass(frozen=True)
class Converted:
    """A converted model.

    `fallback` names the tensors that got another type than the mix intends, because their rows do not fit it;
    `requantized` says that the source was quantized already, so that quality was lost twice; `notes` what else there is
    to know, in sentences.
    """

    out: str
    architecture: str
    type: str
    bytes: int
    tensors: int
    fallback: dict[str, str]
    requantized: bool
    seconds: float
    notes: tuple[str, ...] = ()


def convert(
    model: str,
    out: Path | None,
    type_name: str = "Q4_K_M",
    *,
    revision: str | None = None,
    offline: bool = False,
    overwrite: bool = True,
    permission: Permission = lambda what: False,
    progress: Progress = lambda message, fraction: None,
) -> Converted:
    """Convert `model` to one GGUF file.

    Args:
        model: a Hugging Face folder, a Hub repo id or a GGUF file.
        out: the file to write; by default `<model>-<type>.gguf` in the current folder.
        type_name: a quantization type by llama.cpp's name, or F32, F16, BF16.
        revision: branch, tag or commit of a Hub repo.
        offline: take a Hub repo from the local cache only.
        overwrite: write to a file that is there already.
        permission: asked before llama.cpp's converter is run, with a sentence that says what it may do.
        progress: told what is done and its fraction, 0 to 1.

    Raises:
        BadInput: no such model, no such type, or the file is there already.
        BadModel: the model is damaged or of a kind that cannot be converted.
        CannotWrite: `out` cannot be written.
    """
    started = time.monotonic()
    kind = quantization_type(type_name)
    is_gguf = Path(model).is_file()
    repo = None if is_gguf or Path(model).is_dir() else on_hub(model)
    called = Path(repo.repo).name if repo else Path(model).stem if is_gguf else Path(model).resolve().name
    target = out or Path(f"{called}-{kind}.gguf")
    if is_gguf:
        require_unread(target, [Path(model)])
    require_place(target)
    if not overwrite:
        require_new(target)
    fallback: dict[str, str] = {}
    requantized = False
    notes: tuple[str, ...] = ()
    to_gguf = partial(_to_gguf, permission=permission, progress=progress)
    if is_gguf:
        requantized = quantized_already(Path(model))
        check_vocabulary(read_header(Path(model)))  # what no command could use is not made
        fallback = quantize(Path(model), target, kind, progress=lambda f: progress("quantizing", f))
    else:
        progress("fetching", 0.0)
        folder = locate(model, revision=revision, offline=offline, progress=progress)
        name = called if repo else None
        if kind in FLOATS:
            notes = to_gguf(folder, target, kind, name)
        else:
            with middle(target, *map(identity, files(folder))) as unquantized:
                if not unquantized.exists():
                    notes = to_gguf(folder, unquantized, None, name)
                fallback = quantize(unquantized, target, kind, progress=lambda f: progress("quantizing", f))
    header = read_header(target)
    if all(path.stat().st_mode & 0o044 for path in ([Path(model)] if is_gguf else files(folder))):
        share(target)  # what was made of private files, such as a merged model, stays private
    return Converted(
        out=str(target),
        architecture=str(header.metadata["general.architecture"]),
        type=kind,
        bytes=target.stat().st_size,
        tensors=len(header.tensors),
        fallback=fallback,
        requantized=requantized,
        seconds=time.monotonic() - started,
        notes=notes,
    )


def _to_gguf(
    folder: Path, out: Path, kind: str | None, name: str | None, *, permission: Permission, progress: Progress
) -> tuple[str, ...]:
    """Write the unquantized file; what there is to know about it."""
    try:
        float_type = cast("FloatType | None", kind)
        written = write_gguf(folder, out, float_type, name=name, progress=lambda f: progress("converting", f))
    except Unsupported as reason:
        _with_llama_cpp(folder, out, kind or "auto", reason, permission, progress)
        return ()
    return (written.note,) if written.note else ()


def run_converter(command: Sequence[str | Path], failed: str, fix: str) -> None:
    """Run one of llama.cpp's own converters.

    Raises:
        BadModel: it refused; the message is `failed`, the last line that it said, and `fix`.
    """
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise BadModel(f"{failed}: {ascii(last)[1:-1]}. {fix}")


def _with_llama_cpp(
    folder: Path, out: Path, kind: str, reason: Unsupported, permission: Permission, progress: Progress
) -> None:
    """Let llama.cpp's own converter do it, where it is installed and allowed."""
    if (program := shutil.which(_CONVERTER)) is None:
        raise BadModel(
            f"{reason} Put llama.cpp's {_CONVERTER} on PATH and xpert can use it, or choose another model."
        ) from reason
    if not permission(f"{reason} {program} may be able to. For some models it runs Python code from {folder}."):
        raise BadModel(
            f"{reason} {program} may be able to, and for some models it runs Python code from {folder}. "
            "If you trust both, say so with --llama-converter."
        ) from reason
    progress(f"converting with {_CONVERTER}", 0.0)
    with whole(out, "--out") as part:
        command = [program, str(folder), "--outfile", str(part), "--outtype", kind.lower()]
        run_converter(command, f"{program} cannot convert {folder}", "Choose another model.")
        read_header(part)  # what is not sound never gets the name of the output
