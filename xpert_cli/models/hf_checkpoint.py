"""A Hugging Face model folder: its configuration and its safetensors, tensor by tensor.

    checkpoint = open_checkpoint(locate("HuggingFaceTB/SmolLM2-135M-Instruct"))
    checkpoint.tensors["model.norm.weight"].read()

The safetensors format is read directly (a JSON header, then raw bytes) and mapped, so only the tensor at hand is in
memory. Not covered: PyTorch .bin files (they are pickles) and checkpoints that are already quantized.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert_cli.errors import BadInput, BadModel

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind) for name, kind in (("F32", "<f4"), ("F16", "<f2"), ("BF16", "<u2"))
}
_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit
_FILES = ["*.json", "*.safetensors", "tokenizer.model", "*.jinja", "merges.txt", "README.md"]


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies: `kind` is F32, F16 or BF16, `offset` counts from the start of `file`."""

    file: Path
    kind: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> NDArray[Any]:
        """The mapped values in their stored type, of shape `shape`; BF16 as the uint16 that holds its bits."""
        return np.memmap(self.file, DTYPES[self.kind], "r", self.offset, self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A model folder: config.json, and its tensors by Hugging Face name, sorted."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]


def locate(model: str, *, revision: str | None = None, offline: bool = False) -> Path:
    """The local folder of `model`, a folder or a Hub repo id; a repo is downloaded into the Hub's cache first.

    Raises:
        BadInput: neither a folder nor a repo that can be had.
    """
    if Path(model).is_dir():
        return Path(model)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise BadInput(f"{model} is neither a folder, nor a GGUF file, nor a Hub repo. Check the name.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=_FILES, local_files_only=offline))
    except LocalEntryNotFoundError as error:
        raise BadInput(
            f"{model} is not downloaded yet and the Hub cannot be reached. Connect and try again."
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"{model} cannot be fetched from the Hub: {reason} Check the name and your access.") from error


def files(folder: Path) -> list[Path]:
    """All files of a model folder that a model is made of, sorted."""
    return sorted({path for pattern in _FILES for path in folder.glob(pattern)})


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        BadModel: missing, or not a JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadModel(f"{path} is missing. Give a folder that save_pretrained wrote, or a Hub repo.") from error
    except (OSError, ValueError) as error:
        raise BadModel(f"{path} cannot be read: {error}. Download the model again.") from error
    if not isinstance(data, dict):
        raise BadModel(f"{path} is not a JSON object. Download the model again.")
    return data


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the configuration and the headers of all safetensors files of `folder`.

    Raises:
        BadModel: a file is missing, damaged or in another format; names the fix.
    """
    config = read_json(folder / "config.json")
    tensors: dict[str, StoredTensor] = {}
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise BadModel(f"{index} has no weight map. Download the model again.")
        for shard in sorted(set(shards.values())):
            tensors |= _read_header(folder / Path(shard).name)
        if missing := sorted(shards.keys() - tensors.keys()):
            raise BadModel(f"{folder} lacks {len(missing)} tensors, {missing[0]} first. Download the model again.")
    elif (single := folder / "model.safetensors").is_file():
        tensors = _read_header(single)
    elif list(folder.glob("*.bin")):
        raise BadModel(
            f"{folder} holds PyTorch .bin weights. Convert them to safetensors: load the model with transformers "
            "and call save_pretrained(folder, safe_serialization=True)."
        )
    else:
        raise BadModel(f"{folder} holds no model.safetensors. Download the model again.")
    return Checkpoint(folder, config, dict(sorted(tensors.items())))


def _read_header(file: Path) -> dict[str, StoredTensor]:
    try:
        size = file.stat().st_size
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
                raise ValueError("its header does not fit the file")
            header = json.loads(handle.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _stored(file, name, entry, 8 + length, size) for name, entry in entries.items()}
    except FileNotFoundError as error:
        raise BadModel(f"{file} is missing. Download the model again.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadModel(f"{file} is not a whole safetensors file: {error}. Download it again.") from error


def _stored(file: Path, name: str, entry: Mapping[str, Any], start: int, size: int) -> StoredTensor:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if kind not in DTYPES:
        raise BadModel(f"{file}: {name} is stored as {kind}. Use the original checkpoint in F32, F16 or BF16.")
    if not all(isinstance(count, int) and count >= 0 for count in (*shape, begin, end)):
        raise ValueError(f"{name} has an impossible shape")
    if end - begin != math.prod(shape) * DTYPES[kind].itemsize or start + end > size:
        raise ValueError(f"{name} does not fit the file")
    return StoredTensor(file, kind, shape, start + begin)
