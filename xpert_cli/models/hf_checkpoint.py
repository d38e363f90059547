"""A Hugging Face model folder: its configuration and its safetensors, tensor by tensor.

    checkpoint = open_checkpoint(locate("HuggingFaceTB/SmolLM2-135M-Instruct"))
    checkpoint.tensors["model.norm.weight"].read()

Not covered: PyTorch .bin files (they are pickles) and checkpoints that are already quantized. Not here: the format of
the tensors' files (models/safetensors_file.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli.counts import counted
from xpert_cli.errors import BadModel
from xpert_cli.foreign.data import read_object
from xpert_cli.gguf.header import PEFT, folder_in_place
from xpert_cli.hub.sources import find_checkpoint
from xpert_cli.models.safetensors_file import StoredTensor, read_safetensors

_FILES = ["*.json", "*.safetensors", "tokenizer.model", "*.jinja", "merges.txt", "README.md"]


@dataclass(frozen=True)
class Checkpoint:
    """A model folder: config.json, and its tensors by Hugging Face name, sorted."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]


def locate(
    model: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Path:
    """The local folder of `model`: a folder, a Hub repo's name or the address of its page, which is downloaded first.

    Raises:
        BadInput: neither a folder nor a repo that can be had.
    """
    if Path(model).is_dir():
        return Path(model)
    return find_checkpoint(model, _FILES, revision=revision, offline=offline, progress=progress)


def files(folder: Path) -> list[Path]:
    """All files of a model folder that a model is made of, sorted."""
    return sorted({path for pattern in _FILES for path in folder.glob(pattern)})


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        BadModel: missing, or not a JSON object.
    """
    try:
        return read_object(path.read_bytes())
    except FileNotFoundError as error:
        raise BadModel(f"{path} is missing. Give a folder that save_pretrained wrote, or a Hub repo.") from error
    except (OSError, ValueError) as error:
        raise BadModel(f"{path} cannot be read: {error}. Download the model again.") from error


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the configuration and the headers of all safetensors files of `folder`.

    Raises:
        BadModel: a file is missing, damaged or in another format; names the fix.
    """
    if (folder / PEFT).is_file() and not (folder / "config.json").is_file():
        raise BadModel(folder_in_place(folder))
    config = read_json(folder / "config.json")
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():  # transformers too takes it rather than an index, which may be left from before
        tensors = read_safetensors(single)
    elif index.is_file():
        tensors = _read_shards(folder, index)
    elif list(folder.glob("*.bin")):
        raise BadModel(
            f"{folder} holds PyTorch .bin weights. Convert them to safetensors: load the model with transformers "
            "and call save_pretrained(folder, safe_serialization=True)."
        )
    else:
        raise BadModel(f"{folder} holds no model.safetensors. Download the model again.")
    plain = {_plain(name): stored for name, stored in sorted(tensors.items())}
    if len(plain) < len(tensors):
        raise BadModel(f"{folder} holds tensors twice, with and without a wrapper's name. Save the model again.")
    return Checkpoint(folder, config, dict(sorted(plain.items())))


def _read_shards(folder: Path, index: Path) -> dict[str, StoredTensor]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise BadModel(f"{index} has no weight map. Download the model again.")
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(shards.values())):
        tensors |= read_safetensors(folder / Path(shard).name)
    if missing := sorted(shards.keys() - tensors.keys()):
        raise BadModel(
            f"{folder} lacks {counted(len(missing), 'tensors')}, {missing[0]} first. Download the model again."
        )
    return tensors


def _plain(name: str) -> str:
    """A tensor's name without what torch.compile, FSDP and DistributedDataParallel put into it."""
    for wrapper in ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."):
        name = name.replace(wrapper, "")
    return name.removeprefix("module.")
