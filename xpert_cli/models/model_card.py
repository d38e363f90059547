"""What a GGUF file says of its model to people: name, author, licence, base model, from the folder's model card.

    note = add_general(writer, folder, config, name="SmolLM2-135M-Instruct", file_type=1)

A card never stops a conversion: front matter that is damaged, very long or made to explode is left out, with a note.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpert_cli.foreign.data import read_json

MAX_CARD = 1 << 15  # bytes of front matter
MAX_TEXT = 1000  # characters of one value
MAX_ITEMS = 100  # of a list
_SAMPLING = {"top_k": int, "top_p": float, "min_p": float, "temperature": float}  # of generation_config.json


def add_general(
    writer: Any, folder: Path, config: Mapping[str, Any], name: str | None, file_type: int | None
) -> str | None:
    """Write the `general.*` keys into a gguf.GGUFWriter.

    Args:
        config: the parsed config.json.
        name: the model's name; None derives it from the card and the folder.
        file_type: llama.cpp's number for the type of the matrices; None leaves it out.

    Returns:
        What was left out of the card and why, as a sentence; None if nothing was.
    """
    from gguf import GGML_QUANT_VERSION, GGUFType, Metadata, size_label

    total, shared, expert, experts = writer.get_total_parameter_count()
    card, note = read_card(folder)
    origin = config.get("_name_or_path")
    settings = {"_name_or_path": origin} if isinstance(origin, str) and len(origin) <= MAX_TEXT else {}
    metadata = Metadata.apply_metadata_heuristic(Metadata(), card, settings, folder, total)
    for key, value in _sampling(folder).items():
        setattr(metadata, f"sampling_{'temp' if key == 'temperature' else key}", value)
    metadata.name = _plain(name or metadata.name or folder.name) or "model"
    metadata.size_label = metadata.size_label or size_label(total, shared, expert, experts)
    writer.add_type(GGUFType.MODEL)
    metadata.set_gguf_meta_model(writer)
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    return note


def read_card(folder: Path) -> tuple[dict[str, Any], str | None]:
    """The front matter of a folder's README.md, texts and lists of texts only; and a note if it cannot be read."""
    try:
        with (folder / "README.md").open("rb") as file:
            text = file.read(MAX_CARD).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        return {}, None
    if not text.startswith("---\n"):
        return {}, None
    front, end, _ = text[4:].partition("\n---")
    try:
        if not end:
            raise ValueError(f"it does not end within {MAX_CARD >> 10} kB")
        content = _parsed(front)
        if not isinstance(content, dict):
            raise ValueError("it is no mapping")
    except (ValueError, RecursionError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:120]
        return {}, f"The front matter of README.md was left out: {ascii(reason)[1:-1]}."
    values = ((key, _texts(value)) for key, value in content.items() if isinstance(key, str))
    return {key: value for key, value in values if value}, None


def _parsed(front: str) -> Any:
    """YAML without aliases, by which a few bytes can become gigabytes.

    Raises:
        ValueError: it is no such YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has aliases")
            return super().compose_node(parent, index)

    try:
        return yaml.load(front, Loader)
    except (yaml.YAMLError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(str(error)) from error


def _texts(value: Any) -> str | list[str] | None:
    """A value as GGUF has it: a text, or a list of texts; None for all else."""
    if isinstance(value, list):
        return [text for item in value[:MAX_ITEMS] if isinstance(text := _texts(item), str)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return _plain(value) if isinstance(value, str) and len(value) <= MAX_TEXT else None


def _plain(text: str) -> str:
    """A text in one line of printable characters that UTF-8 has."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(filter(str.isprintable, text))


def _sampling(folder: Path) -> dict[str, int | float]:
    """How generation_config.json would have answers drawn, as far as it makes sense."""
    try:
        config = read_json((folder / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    kinds = _SAMPLING.items() if isinstance(config, dict) else ()
    return {
        key: kind(config[key])
        for key, kind in kinds
        if type(config.get(key)) in (int, kind) and math.isfinite(config[key]) and 0 <= config[key] < 1 << 31
    }
