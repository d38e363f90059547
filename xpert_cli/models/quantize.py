"""Quantizing a GGUF file with llama.cpp.

    quantize(Path("smollm2-F16.gguf"), Path("smollm2-Q4_K_M.gguf"), "Q4_K_M")

Types are llama.cpp's: Q4_K_M, Q8_0, F16 ... Those that need an importance matrix are refused by llama.cpp, for none is
made here. A quantized source is dequantized first, which costs quality: `quantized_already` tells.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpert_cli import platform
from xpert_cli.errors import BadInput, BadModel, BadUsage, CannotWrite, TimeIsUp
from xpert_cli.gguf import BaseModel, read_header, require_model
from xpert_cli.llama import model as llama
from xpert_cli.paths import scratch, whole

FLOATS = ("F32", "F16", "BF16")
SLOW = {"Q4_1", "Q5_1"}
_UNOFFERED = {"GUESSED", "NVFP4"}  # no target of llama_model_quantize
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}  # as llama.cpp's own tool has them
_FALLBACK = re.compile(r"warning: (\S+) +- ncols [^\n]*-> falling back to +(\S+)")
_POSITION = re.compile(r"\[ *(\d+)/ *(\d+)\]")
_FAILURE = re.compile(r"failed to quantize: ([^\n]*)")


def quantization_types() -> dict[str, int]:
    """The types a model can be quantized to, by llama.cpp's name, with its number for them."""
    pattern = re.compile(r"LLAMA_FTYPE_(?:MOSTLY_|ALL_)?(\w+)")
    matches = {match[1]: number for name, number in vars(llama.library()).items() if (match := pattern.fullmatch(name))}
    types = {name: number for name, number in matches.items() if name not in _UNOFFERED}
    return types | {alias: types[name] for alias, name in _ALIASES.items()}


def quantization_type(name: str) -> str:
    """The name of a quantization type as llama.cpp spells it.

    Raises:
        BadUsage: there is none of that name.
    """
    if (upper := name.upper()) not in (types := quantization_types()):
        raise BadUsage(f"{name} is no quantization type. Choose one of {', '.join(sorted(types))}.")
    return upper


def quantized_already(source: Path) -> bool:
    """True if a tensor of the GGUF file `source` is quantized; quantizing it again loses more.

    Raises:
        BadModel: not a sound GGUF file, or an adapter.
    """
    header = read_header(source)
    if header.metadata.get("general.type") == "adapter":
        raise BadModel(
            f"{source} is an adapter, not a model. Put it into its base model with: "
            f"xpert merge --adapter {shlex.quote(str(source))} --base BASE.gguf --out model.gguf"
        )
    require_model(header)
    return any(info.type not in FLOATS for info in header.tensors.values())


def quantize(
    source: Path,
    target: Path,
    type_name: str,
    *,
    threads: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, str]:
    """Quantize the GGUF model `source` into `target`.

    Args:
        type_name: one of `quantization_types()`.
        threads: cores to use; the fast ones by default.
        progress: told the fraction done, from another thread.

    Returns:
        By name, the tensors whose rows do not fit the type that this mix intends, and the type each got instead.

    Raises:
        BadInput: an unknown type, or one that needs an importance matrix.
        BadModel: `source` is not a sound model, or llama.cpp refuses it.
        CannotWrite: the folder cannot be written, or the disk is full.
    """
    type_name = quantization_type(type_name)
    quantized_already(source)
    lib = llama.library()
    params = lib.llama_model_quantize_default_params()
    params.ftype = quantization_types()[type_name]
    params.nthread = threads or platform.cores()
    params.allow_requantize = True
    with whole(target, "--out") as part:
        failed, log = _call(lib, os.fsencode(source), os.fsencode(part), params, progress)
        if failed:
            raise _reason(log, source, target, type_name)
        read_header(part)  # what is not sound never gets the name of the output
    return _silent_fallback(target, type_name) | {name: kind.upper() for name, kind in _FALLBACK.findall(log)}


@contextmanager
def for_many_texts(source: BaseModel | Path) -> Iterator[BaseModel]:
    """The model, or a Q8_0 copy of it for the moment where llama.cpp is slow at several texts at once.

    Types of SLOW have no kernels there that take several rows together: 16 answers of the packaged base came at 173
    tokens/s, those of its copy at 344. Q8_0 holds what 4 or 5 bits hold to within 0.4 % of a block's largest number.

    Raises:
        BadModel: the model is not sound.
        CannotWrite: there is no room for the copy.
    """
    model = BaseModel.open(source)
    kinds = {info.type for name, info in model.header.tensors.items() if name.startswith("blk.")}
    if not kinds & SLOW:
        yield model
        return
    with scratch() as folder:
        copy = folder / model.path.name
        quantize(model.path, copy, "Q8_0")
        yield BaseModel.open(copy)


def _silent_fallback(target: Path, type_name: str) -> dict[str, str]:
    """The output matrix, where llama.cpp made it Q8_0 because its rows did not fit: of that the log says nothing."""
    tensors = read_header(target).tensors
    output = "output.weight" if "output.weight" in tensors else "token_embd.weight"
    unasked = type_name not in ("Q8_0", "MXFP4_MOE") and output in tensors and tensors[output].type == "Q8_0"
    return {output: "Q8_0"} if unasked else {}


def _call(lib: Any, source: bytes, target: bytes, params: Any, progress: Callable[[float], None]) -> tuple[bool, str]:
    """Whether llama.cpp failed, and its log.

    It works in a thread of its own: while it ran in this one, Ctrl-C would be raised inside the log callback, and lost.
    """
    log: list[str] = []
    failed: list[bool] = []

    def listen(level: int, text: bytes, _: Any) -> None:
        log.append(text.decode("utf-8", "replace"))
        if position := _POSITION.match(log[-1]):
            with contextlib.suppress(TimeIsUp):  # llama.cpp cannot be stopped: it will end soon
                progress(int(position[1]) / int(position[2]))

    def work() -> None:
        callback = lib.llama_log_callback(listen)
        lib.llama_log_set(callback, ctypes.c_void_p(0))
        try:
            failed.append(lib.llama_model_quantize(source, target, ctypes.byref(params)) != 0)
        finally:
            lib.llama_log_set(llama.library.silencer, ctypes.c_void_p(0))  # type: ignore[attr-defined]

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    return failed != [False], "".join(log)


def _reason(log: str, source: Path, target: Path, type_name: str) -> BadInput | BadModel | CannotWrite:
    failure = _FAILURE.search(log)
    reason = failure[1] if failure else "llama.cpp gave no reason"
    if "imatrix" in reason or "importance matrix" in reason:
        return BadInput(
            f"{type_name} needs an importance matrix, which xpert does not make. Choose a larger type, such as Q3_K_M."
        )
    if "iostream" in reason or "ios_base" in reason:
        return CannotWrite(f"cannot write {target}: {reason}. Free some space or choose another place with --out.")
    return BadModel(
        f"{source}: llama.cpp cannot quantize this model to {type_name}: {reason}. Choose another type or model."
    )
