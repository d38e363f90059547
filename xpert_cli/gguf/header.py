"""The header of a GGUF file: metadata and the places of tensors, every byte checked in bounded time and memory.

    header = read_header(path)
    header.metadata["llama.block_count"], header.tensors["output_norm.weight"].shape

The gguf package's reader can be made to hang by a crafted file, and llama.cpp aborts on some; both see a file only
after it went through here. Not here: tensors' data and adapters (gguf/files.py). Not supported: version 1, big-endian
files, models split over several files.
"""

from __future__ import annotations

import mmap
import shlex
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from xpert_cli.errors import BadModel

MAX_HEADER = 32 << 20  # bytes; Gemma's 262,144 tokens take 8 MiB
MAX_ENTRIES = 1 << 12  # tensors, and metadata keys; 126 layers have some 1,100 (llama.cpp compares each with all)
MAX_LIST = 1 << 20  # values of a list; Gemma has 515,000 merges
MAX_LAYERS = 512  # llama.cpp refuses longer lists of one value a layer
MAX_NAME = 63  # bytes; llama.cpp refuses longer tensor names
ALIGNMENT = 32  # bytes, unless general.alignment says more; llama.cpp maps no model of less

_AGAIN = "Download it again, or convert the original model: xpert convert FOLDER|OWNER/NAME"
PEFT = "adapter_config.json"  # what makes a folder an adapter of Hugging Face's format

# GGUF value types by number: name, struct code
_VALUES = {
    0: ("uint8", "B"), 1: ("int8", "b"), 2: ("uint16", "H"), 3: ("int16", "h"),
    4: ("uint32", "I"), 5: ("int32", "i"), 6: ("float32", "f"), 7: ("bool", "?"),
    8: ("string", ""), 10: ("uint64", "Q"), 11: ("int64", "q"), 12: ("float64", "d"),
}  # fmt: skip
_NUMBERS = {name: number for number, (name, _) in _VALUES.items()}
_STRING, _ARRAY = 8, 9

# ggml tensor types by number: name, elements of a block, bytes of a block
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
# What llama.cpp aborts on instead of refusing it: least and most of a number, by its key after the architecture.
# Heads times their size must stay right in 32 bits.
_LIMITS = {
    "block_count": (1, MAX_LAYERS), "expert_count": (0, 512),
    "attention.layer_norm_rms_epsilon": (0, 1), "attention.layer_norm_epsilon": (0, 1),
    "attention.head_count": (0, 65535), "attention.head_count_kv": (0, 65535),
    "attention.key_length": (0, 65535), "attention.value_length": (0, 65535),
}  # fmt: skip
_NUMERIC = ("uint32", "float32", "[uint32]", "[int32]", "[bool]")
_ALIKE = (
    "llama",
    "qwen2",
    "qwen3",
    "smollm3",
    "granite",
    "olmo2",
    "gemma3",
)  # it takes their layers to have the same heads
_BYTE = 6  # the type of a token that stands for a byte
_ROPES = (b"none", b"linear", b"yarn", b"longrope")
_NO_WEIGHTS = ("I8", "I16", "I32", "I64", "F64")  # it crashes where one of these is multiplied
BLOCKS = {name: (number, elements, size) for number, (name, elements, size) in TYPES.items()}


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor is: shape (rows first), ggml type name, offset in the file and size in bytes."""

    shape: tuple[int, ...]
    type: str
    offset: int
    bytes: int


class MetadataView(Mapping[str, Any]):
    """A header's metadata, decoded when asked for: numbers, booleans, strings, lists of them.

    A model's token list alone is some 50,000 strings, and most callers want none of them.
    """

    def __init__(self, path: Path, encoded: Mapping[str, bytes]) -> None:
        self._path, self.encoded = path, encoded

    def __getitem__(self, key: str) -> Any:
        data = self.encoded[key]
        try:
            return _decoded(data)
        except UnicodeDecodeError:
            raise BadModel(f"{self._path}: metadata {key} is not UTF-8. {_AGAIN}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.encoded)

    def __len__(self) -> int:
        return len(self.encoded)

    def kind(self, key: str) -> str:
        """The GGUF type of a value, as in "uint32" or "[string]"; "" for a key that is not there."""
        data = self.encoded.get(key)
        if data is None:
            return ""
        number = struct.unpack_from("<I", data)[0]
        return f"[{_VALUES[data[4]][0]}]" if number == _ARRAY else _VALUES[number][0]

    def length(self, key: str) -> int:
        """How many values a list has; 0 for a key that is not there or no list."""
        return struct.unpack_from("<Q", self.encoded[key], 8)[0] if self.kind(key).startswith("[") else 0

    def largest(self, key: str, default: int = 0) -> int:
        """A number of 32 bits, or the largest of one a layer, without a sign as llama.cpp reads it; 0 for all else."""
        if key not in self.encoded:
            return default
        kind = self.kind(key)
        by_layer = kind in ("[uint32]", "[int32]", "[bool]") and self.length(key) <= MAX_LAYERS
        values = self[key] if by_layer else [self[key]] if kind == "uint32" else []
        return max((value & 0xFFFFFFFF for value in values), default=0)

    def texts(self, key: str) -> list[bytes]:
        """A list of strings, not decoded."""
        return list(_texts(self.encoded[key], 16, self.length(key)))


@dataclass(frozen=True)
class Header:
    """All of a GGUF file but its tensors' data, checked."""

    path: Path
    version: int
    metadata: MetadataView
    tensors: Mapping[str, TensorInfo]


def read_header(path: Path) -> Header:
    """Parse and check a GGUF header: counts, lengths, types, names, and that every tensor lies inside the file.

    Raises:
        BadModel: the file is missing, or is no GGUF file llama.cpp could read.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise BadModel(f"{path}: the file is empty. {_AGAIN}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Parser(path, data).header()
    except OSError as error:
        missing = f"{path}: {error.strerror}. Give the path of a GGUF file."
        raise BadModel(folder_in_place(path) if path.is_dir() else missing) from error


def folder_in_place(folder: Path) -> str:
    """What to say of a folder that was given for a GGUF file, and the command that makes one of it."""
    named = shlex.quote(str(folder))
    if (folder / PEFT).is_file() or any(folder.glob(f"checkpoint-*/{PEFT}")):
        what = f"{folder} is a folder with a PEFT adapter, and no GGUF file. Put it into its base model, and run that"
        return f"{what}: xpert merge --adapter {named} --base BASE.gguf --out model.gguf"
    if (folder / "config.json").is_file():
        return f"{folder} is a folder with a model of Hugging Face's. Make a GGUF file of it: xpert convert {named}"
    return f"{folder} is a folder. Give the GGUF file in it."


class _Parser:
    """One pass over a header; every read is checked against the end before it happens."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0
        self.end = min(len(data), MAX_HEADER)

    def fail(self, what: str) -> BadModel:
        return BadModel(f"{self.path}: {what}. {_AGAIN}")

    def skip(self, size: int) -> int:
        """Move over `size` bytes; where they start."""
        start = self.at
        if size > self.end - start:
            raise self.fail("the header ends too early" if self.end < MAX_HEADER else "the header is too large")
        self.at = start + size
        return start

    def number(self, code: str) -> int:
        size = struct.calcsize(f"<{code}")
        value: int = struct.unpack_from(f"<{code}", self.data, self.skip(size))[0]
        return value

    def count(self, what: str) -> int:
        value = self.number("Q")
        if value > MAX_ENTRIES:
            raise self.fail(f"{value} {what} are more than any model has")
        return value

    def name(self, what: str, limit: int) -> str:
        size = self.number("Q")
        if not 0 < size <= limit:
            raise self.fail(f"a {what} is {size} bytes long; 1 to {limit} are allowed")
        start = self.skip(size)
        try:
            text = self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise self.fail(f"a {what} is not UTF-8") from None
        if not text.isprintable():
            raise self.fail(f"a {what} has unprintable characters")
        return text

    def header(self) -> Header:
        if self.data[:4] != b"GGUF":
            raise self.fail("this is not a GGUF file")
        self.skip(4)
        version = self.number("I")
        if version not in (2, 3):
            raise self.fail(f"GGUF version {version} is not supported (2 and 3 are)")
        tensors, keys = self.count("tensors"), self.count("metadata keys")
        metadata = self.metadata(keys)
        if "split.count" in metadata and metadata["split.count"] != 1:
            raise self.fail("one part of a split model; join the parts with llama-gguf-split --merge")
        for key in metadata:
            self.check(key, metadata)
            self.check_experts(key, metadata)
        self.check_heads(metadata)
        return Header(self.path, version, metadata, self.tensors(tensors, self.alignment(metadata)))

    def check(self, key: str, metadata: MetadataView) -> None:
        """Refuse a number or word of a model that llama.cpp would abort on; what it refuses itself is left to it."""
        architecture, _, name = key.partition(".")
        kind = metadata.kind(key)
        if name in _LIMITS and kind in _NUMERIC and metadata.length(key) <= MAX_LAYERS:
            least, most = _LIMITS[name]
            values = metadata[key] if kind.startswith("[") else [metadata[key]]
            if odd := [value for value in values if not least <= value <= most]:
                raise self.fail(f"metadata {key} is {odd[0]}; {least} to {most} are allowed")
            if architecture in _ALIKE and len(set(values)) > 1:
                raise self.fail(f"metadata {key} differs between layers, which no {architecture} model's does")
        if name == "nextn_predict_layers" and metadata.largest(key) > metadata.largest(f"{architecture}.block_count"):
            raise self.fail(f"metadata {key} is {metadata.largest(key)}, more than there are layers")
        if name == "rope.scaling.type" and kind == "string" and metadata.encoded[key][12:] not in _ROPES:
            raise self.fail(f"metadata {key} is unknown")
        wordpiece = metadata.encoded.get("tokenizer.ggml.model") == encode("string", "bert")
        if name == "ggml.token_type" and kind == "[int32]" and wordpiece and _BYTE in metadata[key]:
            raise self.fail(f"metadata {key} tells of byte tokens, which no WordPiece vocabulary has")

    def check_experts(self, key: str, metadata: MetadataView) -> None:
        """Refuse experts whose numbers llama.cpp would abort on: how many there are, are used, and in which groups."""
        architecture, _, name = key.partition(".")
        if name not in ("expert_count", "expert_used_count", "expert_group_count", "expert_group_used_count"):
            return
        experts, used, groups, chosen = (
            metadata.largest(f"{architecture}.expert_{which}count") for which in ("", "used_", "group_", "group_used_")
        )
        if not bool(experts) <= used <= experts:
            raise self.fail(f"the model uses {used} of {experts} experts")
        if groups >= max(experts, 1) or (groups > 1 and (experts % groups or not 0 < chosen < groups)):
            raise self.fail(f"the model uses {chosen} of {groups} groups of {experts} experts")

    def check_heads(self, metadata: MetadataView) -> None:
        """Refuse heads of several sizes where llama.cpp asserts that queries, keys, values and rotations have one."""
        named = metadata.encoded.get("general.architecture")  # not decoded: it may be large
        architecture = next((name for name in _ALIKE if named == encode("string", name)), "")
        heads = metadata.largest(f"{architecture}.attention.head_count")
        if not heads:
            return
        size = metadata.largest(f"{architecture}.embedding_length") // heads
        key, value = (metadata.largest(f"{architecture}.attention.{of}_length", size) for of in ("key", "value"))
        rotated = metadata.largest(f"{architecture}.rope.dimension_count", key)
        sliding = (  # what layers with a window have
            metadata.largest(f"{architecture}.{of}_swa", key)
            for of in ("attention.key_length", "attention.value_length", "rope.dimension_count")
        )
        if len({key, value, rotated, *sliding}) > 1:
            raise self.fail(
                f"heads of {key} for keys, {value} for values and {rotated} for positions, or those of layers with a "
                "sliding window, do not go together"
            )
        if metadata.largest(f"{architecture}.attention.sliding_window_pattern") == 1:
            raise self.fail("every layer of a pattern for sliding windows is without one")

    def alignment(self, metadata: MetadataView) -> int:
        if "general.alignment" not in metadata:
            return ALIGNMENT
        value = metadata["general.alignment"]
        if metadata.kind("general.alignment") != "uint32" or not ALIGNMENT <= value <= 1 << 16 or value & (value - 1):
            raise self.fail(f"general.alignment is not a power of two from {ALIGNMENT} on, of type uint32")
        return int(value)

    def metadata(self, count: int) -> MetadataView:
        encoded: dict[str, bytes] = {}
        for _ in range(count):
            key = self.name("metadata key", 1 << 10)
            if key in encoded:
                raise self.fail(f"metadata key {key} is there twice")
            start = self.at
            self.value(key)
            encoded[key] = self.data[start : self.at]
        return MetadataView(self.path, encoded)

    def value(self, key: str) -> None:
        """Move over one value; arrays of arrays do not exist in GGUF files that llama.cpp reads."""
        kind, items = self.number("I"), 1
        if kind == _ARRAY:
            kind, items = self.number("I"), self.number("Q")
        if kind not in _VALUES:
            raise self.fail(f"metadata {key} has the unknown type {kind}")
        self.skip(items * (8 if kind == _STRING else struct.calcsize(f"<{_VALUES[kind][1]}")))
        if items > MAX_LIST:
            raise self.fail(f"metadata {key} lists {items} values, over {MAX_LIST}")
        if kind != _STRING:
            return
        # The lengths alone fit; walk over the texts.
        data, at, end, unpack = self.data, self.at - 8 * items, self.end, struct.Struct("<Q").unpack_from
        for _ in range(items):
            if end - at < 8:
                raise self.fail("the header ends too early")
            at += 8 + unpack(data, at)[0]
        self.at = at
        self.skip(0)

    def tensors(self, count: int, alignment: int) -> dict[str, TensorInfo]:
        entries: dict[str, tuple[tuple[int, ...], str, int, int]] = {}
        expected = 0
        for _ in range(count):
            name = self.name("tensor name", MAX_NAME)
            if name in entries:
                raise self.fail(f"tensor {name} is there twice")
            dimensions = self.number("I")
            if not 1 <= dimensions <= 4:
                raise self.fail(f"tensor {name} has {dimensions} dimensions; 1 to 4 are allowed")
            shape = tuple(self.number("Q") for _ in range(dimensions))[::-1]
            number, offset = self.number("I"), self.number("Q")
            if number not in TYPES:
                raise self.fail(f"tensor {name} has the unknown type {number}")
            kind, elements, size = TYPES[number]
            if min(shape) < 1 or shape[-1] % elements:
                raise self.fail(f"tensor {name} cannot have the shape {shape} at type {kind}")
            if kind in _NO_WEIGHTS and name.endswith(".weight"):
                raise self.fail(f"tensor {name} is of type {kind}, which no weight has")
            if offset != expected:
                raise self.fail(f"tensor {name} is not where it should be")
            length = prod(shape) // elements * size
            if length > len(self.data):
                raise self.fail(f"tensor {name} reaches past the end of the file")
            entries[name] = shape, kind, offset, length
            expected += padded(length, alignment)
        start = padded(self.at, alignment)
        tensors = {
            name: TensorInfo(shape, kind, start + offset, length)
            for name, (shape, kind, offset, length) in entries.items()
        }
        if past := [name for name, info in tensors.items() if info.offset + info.bytes > len(self.data)]:
            raise self.fail(f"the file is cut off: {past[0]} reaches past its end")
        return tensors


def padded(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return -(-size // alignment) * alignment


def _decoded(data: bytes) -> Any:
    """A checked metadata value, from its type number on."""
    kind, start, count = struct.unpack_from("<I", data)[0], 4, 1
    if is_array := kind == _ARRAY:
        kind, count = struct.unpack_from("<IQ", data, 4)
        start = 16
    if kind != _STRING:
        values = list(struct.unpack_from(f"<{count}{_VALUES[kind][1]}", data, start))
    else:
        values = [text.decode() for text in _texts(data, start, count)]
    return values if is_array else values[0]


def _texts(data: bytes, at: int, count: int) -> Iterator[bytes]:
    """Checked strings, one after another from a place on."""
    unpack = struct.Struct("<Q").unpack_from
    for _ in range(count):
        start = at + 8
        at = start + unpack(data, at)[0]
        yield data[start:at]


def encode(kind: str, value: Any) -> bytes:
    """A metadata value in GGUF's bytes; `kind` as MetadataView.kind says it, "uint32" or "[string]"."""
    if kind.startswith("["):
        inner = kind[1:-1]
        head = struct.pack("<IIQ", _ARRAY, _NUMBERS[inner], len(value))
        return head + b"".join(encode(inner, item)[4:] for item in value)
    number = _NUMBERS[kind]
    if number == _STRING:
        text = value.encode()
        return struct.pack("<IQ", number, len(text)) + bytes(text)
    return struct.pack(f"<I{_VALUES[number][1]}", number, value)
