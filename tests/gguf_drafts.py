"""GGUF files put together from parts that may be wrong: headers, adapters of the tiny base, bases.

    draft = adapter()
    draft.keys.append(key("general.alignment", 4, struct.pack("<I", 24)))
    path.write_bytes(draft.content())

Bytes are made with struct alone. Not here: damage to a file as a whole (gguf_mutations.py).
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from xpert_cli.gguf.header import MAX_ENTRIES, MAX_HEADER, MAX_LIST

HUGE = (1 << 64) - 1
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}  # value types
SIZES = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    8: (32, 34),
    12: (256, 144),
    24: (1, 1),
    28: (1, 8),
    30: (1, 2),
    39: (32, 17),
}
LAYERS = {"attn_q": (64, 64), "attn_k": (64, 32), "ffn_up": (64, 96), "ffn_down": (96, 64)}  # in, out of the tiny base
DIMENSIONS = (0, 1, 2, 3, 31, 32, 33, 64, 65, 256, 1 << 16, 1 << 31, 1 << 32, 1 << 62, 1 << 63, HUGE)
FLOATS = (float("nan"), float("inf"), float("-inf"), -0.0, -8.0, 1e-45, 3.4e38, 65504.0)

Key = tuple[bytes, bytes]  # name; type and value
Field = tuple[int, str]  # offset in the file, struct code


@dataclass
class Part:
    """A tensor: name, dimensions (the fastest first), type number, data, and how far its offset is off."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    data: bytes
    off: int = 0


@dataclass
class Draft:
    """All that a GGUF file says, to be changed before it is written."""

    keys: list[Key]
    parts: list[Part]
    version: int = 3
    alignment: int = 32
    more: tuple[int, int] = (0, 0)  # tensors and keys claimed beyond those there
    magic: bytes = b"GGUF"
    tail: bytes = field(default=b"", repr=False)

    def content(self) -> bytes:
        counts = [(len(self.parts) + self.more[0]) & HUGE, (len(self.keys) + self.more[1]) & HUGE]
        head = bytearray(self.magic + struct.pack("<IQQ", self.version, *counts))
        head += b"".join(string(name) + value for name, value in self.keys)
        data = bytearray()
        for part in self.parts:
            head += string(part.name) + struct.pack(f"<I{len(part.shape)}Q", len(part.shape), *part.shape)
            head += struct.pack("<IQ", part.kind, (len(data) + part.off) & HUGE)
            data += part.data + bytes(-len(part.data) % self.alignment)
        return bytes(head) + bytes(-len(head) % self.alignment) + bytes(data) + self.tail


Fault = Callable[[Draft, random.Random], None]


class Walk:
    """The numbers of a sound header in order, with their places."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 4
        self.found: list[Field] = []

    def number(self, code: str) -> int:
        self.found.append((self.at, code))
        value: int = struct.unpack_from(f"<{code}", self.content, self.at)[0]
        self.at += struct.calcsize(f"<{code}")
        return value

    def string(self) -> None:
        size = self.number("Q")
        self.at += size

    def value(self) -> None:
        kind, items = self.number("I"), 1
        if kind == 9:
            kind, items = self.number("I"), self.number("Q")
        for _ in range(items):
            if kind == 8:
                self.string()
            else:
                self.number(NUMBERS[kind])


def string(text: bytes) -> bytes:
    """A length and the bytes."""
    return struct.pack("<Q", len(text)) + text


def key(name: str, kind: int, payload: bytes) -> Key:
    """A metadata entry of any type number over any bytes."""
    return name.encode(), struct.pack("<I", kind) + payload


def text(name: str, value: str) -> Key:
    """A metadata entry of text."""
    return key(name, 8, string(value.encode()))


def value(dice: random.Random) -> bytes:
    """A metadata value of any type, seldom one that does not exist, with random contents."""
    kind = (
        dice.choice((*NUMBERS, 8, 8, 9, 9, 9)) if dice.random() < 0.97 else dice.choice((13, 99, 1 << 31, HUGE >> 32))
    )
    if kind != 9:
        return struct.pack("<I", kind) + _item(kind, dice)
    inner = dice.choice((*NUMBERS, 8)) if dice.random() < 0.9 else dice.choice((9, 13, 1 << 31))
    items = dice.randrange(5)
    told = items if dice.random() < 0.9 else dice.choice((0, items + 1, 1 << 32, 1 << 60, 1 << 63, HUGE))
    return struct.pack("<IIQ", 9, inner, told) + b"".join(_item(inner, dice) for _ in range(items))


def _item(kind: int, dice: random.Random) -> bytes:
    if kind in (6, 12) and dice.random() < 0.5:
        return struct.pack(f"<{NUMBERS[kind]}", dice.choice(FLOATS))
    if kind in NUMBERS:
        return dice.randbytes(struct.calcsize(f"<{NUMBERS[kind]}"))
    words = (b"", b"lora", b"adapter", b"llama", "häh\n".encode(), dice.randbytes(dice.randrange(9)))
    data = dice.choice(words)
    return string(data) if dice.random() < 0.97 else struct.pack("<Q", dice.choice(DIMENSIONS)) + data


# -- adapters of the tiny base


def adapter(rank: int = 2, layers: tuple[str, ...] = ("attn_q", "attn_k"), kind: int = 0) -> Draft:
    """A sound adapter of ones and zeros, or whatever bytes its type makes of them."""
    keys = [text("general.architecture", "llama"), text("general.type", "adapter"), text("adapter.type", "lora")]
    keys.append(key("adapter.lora.alpha", 6, struct.pack("<f", 8.0)))
    parts = []
    for name in layers:
        inner, outer = LAYERS[name]
        for half, shape in (("a", (inner, rank)), ("b", (rank, outer))):
            parts.append(Part(f"blk.0.{name}.weight.lora_{half}".encode(), shape, kind, _data(shape, kind)))
    return Draft(keys, parts)


def _data(shape: tuple[int, ...], kind: int) -> bytes:
    """As many bytes as a shape needs, if they are few; ones where the type is F32."""
    elements, size = SIZES.get(kind, (32, 18))
    total = min(math.prod(shape) // elements * size, 1 << 15)
    return struct.pack("<f", 1.0) * (total // 4) if kind == 0 else bytes(total)


def wrong_value(draft: Draft, dice: random.Random) -> None:
    """Any value under one of the adapter's own keys."""
    place = dice.randrange(len(draft.keys))
    draft.keys[place] = draft.keys[place][0], value(dice)


def wrong_alpha(draft: Draft, dice: random.Random) -> None:
    """An alpha that is no positive number, or huge, or of another type."""
    kind = dice.choice((6, 6, 6, 12, 4, 8))
    payload = string(b"8") if kind == 8 else struct.pack(f"<{NUMBERS[kind]}", 8)
    if kind == 6:
        payload = struct.pack("<f", dice.choice(FLOATS))
    draft.keys = [(name, data) for name, data in draft.keys if name != b"adapter.lora.alpha"]
    draft.keys.append(key("adapter.lora.alpha", kind, payload))


def missing_key(draft: Draft, dice: random.Random) -> None:
    """One entry less."""
    if draft.keys:
        draft.keys.pop(dice.randrange(len(draft.keys)))


FOREIGN = (
    "general.name", "general.alignment", "general.file_type", "split.count", "adapter.alora.invocation_tokens",
    "adapter.lora.task_name", "xpert.note", "xpert.coordinates", "xpert.base_fingerprint", "general.type",
)  # fmt: skip


def foreign_key(draft: Draft, dice: random.Random) -> None:
    """An entry more, of any type; it may be there already."""
    draft.keys.insert(dice.randrange(len(draft.keys) + 1), (dice.choice(FOREIGN).encode(), value(dice)))


def wrong_number(draft: Draft, dice: random.Random) -> None:
    """A factor with one value that is not finite, negative or huge."""
    part = dice.choice(draft.parts)
    if part.kind == 0 and len(part.data) >= 4:
        at = dice.randrange(len(part.data) // 4) * 4
        part.data = part.data[:at] + struct.pack("<f", dice.choice(FLOATS)) + part.data[at + 4 :]
    else:
        part.data = dice.randbytes(len(part.data))


def missing_half(draft: Draft, dice: random.Random) -> None:
    """One factor less."""
    if len(draft.parts) > 1:
        draft.parts.pop(dice.randrange(len(draft.parts)))


NAMES = (
    b"", b"n" * 64, b"\xff", b"a\0b", b"blk.0.attn_q.weight", b"blk.0.attn_q.weight.lora_c", b".lora_a",
    b"blk.7.attn_q.weight.lora_a", b"token_embd.weight.lora_a", b"output_norm.weight.lora_a",
    b"blk.0.attn_norm.weight.lora_a", b"blk.0.attn_q.weight.lora_a.lora_b", b"blk.0.attn_k.weight.lora_b",
)  # fmt: skip


def wrong_name(draft: Draft, dice: random.Random) -> None:
    """A factor, or both of a pair, under another name; some of them are there already."""
    if dice.random() < 0.5:
        dice.choice(draft.parts).name = dice.choice(NAMES)
        return
    other = dice.choice((b"blk.7.attn_q", b"token_embd", b"output", b"output_norm", b"blk.1.attn_q", b"blk.0.ffn_up"))
    for part in draft.parts[:2]:
        part.name = other + b".weight." + part.name.rpartition(b".")[2]


def wrong_shape(draft: Draft, dice: random.Random) -> None:
    """Other dimensions, more or fewer of them, with data to match where it is small."""
    part = dice.choice(draft.parts)
    shape = list(part.shape) or [1]
    choice = dice.randrange(6)
    if choice == 0:
        shape = shape[::-1]
    elif choice == 1:
        shape[dice.randrange(len(shape))] = dice.choice(DIMENSIONS)
    elif choice == 2:
        shape += [1] * dice.randint(1, 3)
    elif choice == 3:
        shape = [dice.choice(DIMENSIONS) for _ in range(dice.randrange(6))]
    elif choice == 4:
        shape = shape[:1]
    else:
        shape = [1 << 32, 1 << 32]  # their product is 0 in 64 bits
    part.shape = tuple(shape)
    if dice.random() < 0.7:
        part.data = _data(part.shape, part.kind)


def wrong_rank(draft: Draft, dice: random.Random) -> None:
    """A pair of another rank than the others, or whose factors differ in theirs."""
    rank = dice.choice((1, 3, 1024, 1025))
    for part in draft.parts[: dice.randint(1, 2)]:
        inner, outer = (part.shape or (1,))[0], (part.shape or (1,))[-1]
        part.shape = (inner, rank) if part.name.endswith(b"_a") else (rank, outer)
        part.data = bytes(4 * min(part.shape[0] * part.shape[1], 1 << 17))


def wrong_type(draft: Draft, dice: random.Random) -> None:
    """Factors of another type, with data to match or not."""
    kind = dice.choice((*SIZES, *range(45), 1 << 31))
    for part in draft.parts if dice.random() < 0.5 else [dice.choice(draft.parts)]:
        part.kind = kind
        if dice.random() < 0.9:
            part.data = _data(part.shape, kind)


def wrong_offset(draft: Draft, dice: random.Random) -> None:
    """A factor somewhere else, also where another one is."""
    dice.choice(draft.parts).off = dice.choice((-32, -1, 1, 16, 32, 64, 1 << 32, 1 << 63, -(1 << 62)))


def other_alignment(draft: Draft, dice: random.Random) -> None:
    """An alignment, good or bad, that the layout follows or not."""
    said = dice.choice((0, 1, 2, 4, 8, 16, 24, 32, 64, 4096, 1 << 16, 1 << 17, 1 << 31))
    draft.keys.append(key("general.alignment", 4, struct.pack("<I", said)))
    if 0 < said <= 4096 and dice.random() < 0.8:
        draft.alignment = said


def twice(draft: Draft, dice: random.Random) -> None:
    """A factor or an entry that is there twice."""
    if dice.random() < 0.5 or not draft.keys:
        part = dice.choice(draft.parts)
        draft.parts.append(Part(part.name, part.shape, part.kind, part.data))
    else:
        draft.keys.append(dice.choice(draft.keys))


def wrong_frame(draft: Draft, dice: random.Random) -> None:
    """Another version, magic, count or end."""
    choice = dice.randrange(4)
    if choice == 0:
        draft.version = dice.choice((0, 1, 2, 4, 0x03000000, HUGE >> 32))
    elif choice == 1:
        draft.magic = dice.choice((b"gguf", b"FUGG", b"GGML", b"GGU"))
    elif choice == 2:
        draft.more = dice.choice(((1, 0), (0, 1), (-1, 0), (0, -1), (1 << 60, 0), (0, 1 << 63)))
    else:
        draft.tail = dice.randbytes(dice.randrange(1, 99))


def reordered(draft: Draft, dice: random.Random) -> None:
    """The same in another order: no mistake."""
    dice.shuffle(draft.parts)
    dice.shuffle(draft.keys)


FAULTS: tuple[Fault, ...] = (
    wrong_value, wrong_alpha, missing_key, foreign_key, foreign_key, wrong_number, missing_half, wrong_name,
    wrong_shape, wrong_rank, wrong_type, wrong_offset, other_alignment, twice, wrong_frame, reordered,
)  # fmt: skip


def adapters(dice: random.Random) -> Iterator[bytes]:
    """Adapters of the tiny base with none to three faults."""
    while True:
        layers = tuple(dice.sample(sorted(LAYERS), dice.randint(1, 2)))
        draft = adapter(dice.choice((1, 2, 5)), layers, dice.choice((0, 0, 1, 30)))
        for fault in dice.sample(FAULTS, dice.choice((0, 1, 1, 1, 2, 3))):
            fault(draft, dice)
        yield draft.content()


# -- headers and bases


def headers(dice: random.Random) -> Iterator[bytes]:
    """Headers of random keys and tensors of all types, about half of them with a fault."""
    faults = (foreign_key, wrong_shape, wrong_type, wrong_offset, other_alignment, twice, wrong_frame)
    while True:
        keys = [(f"k.{dice.randrange(40)}".encode(), value(dice)) for _ in range(dice.randrange(6))]
        parts = []
        for at in range(dice.randint(1, 4)):
            kind, outer = dice.choice(tuple(SIZES)), [dice.randint(1, 3) for _ in range(dice.randrange(4))]
            shape = (SIZES[kind][0] * dice.randint(1, 3), *outer)
            parts.append(Part(f"t{at}".encode(), shape, kind, _data(shape, kind)))
        draft = Draft(keys, parts)
        for fault in dice.sample(faults, dice.choice((0, 0, 1, 2))):
            fault(draft, dice)
        yield draft.content()


BASE_KEYS = (
    "general.architecture", "general.type", "general.file_type", "general.alignment", "general.quantization_version",
    "llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length", "split.count",
    "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.dimension_count", "llama.rope.freq_base", "llama.rope.scaling.type", "llama.expert_count",
    "llama.expert_used_count", "llama.rope.scaling.factor", "llama.attention.key_length", "llama.attention.scale",
    "llama.attention.value_length", "llama.attention.layer_norm_epsilon", "llama.attention.causal",
    "llama.vocab_size", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id",
    "tokenizer.chat_template", "llama.expert_group_count", "llama.expert_group_used_count",
    "llama.nextn_predict_layers", "llama.pooling_type",
)  # fmt: skip


def bases(sound: bytes, dice: random.Random) -> Iterator[bytes]:
    """The base with one to three entries more, in front of the others; where there are two of a name, one goes."""
    keys, rest, data = _split(sound)
    while True:
        added = {name.encode(): _entry(name, dice) for name in dice.sample(BASE_KEYS, dice.randint(1, 3))}
        if dice.random() < 0.5:  # a tokenizer that has tokens
            added.setdefault(b"tokenizer.ggml.model", text("", dice.choice(("llama", "gpt2", "bert", "t5")))[1])
            tokens = b"".join(string(str(at).encode()) for at in range(32))
            added.setdefault(b"tokenizer.ggml.tokens", struct.pack("<IIQ", 9, 8, 32) + tokens)
        entries = keys | added
        head = b"GGUF" + struct.pack("<I", 3) + sound[8:16] + struct.pack("<Q", len(entries))
        head += b"".join(string(name) + entry for name, entry in entries.items()) + rest
        yield head + bytes(-len(head) % 32) + data


def _entry(name: str, dice: random.Random) -> bytes:
    """Any value, or an unlikely one of the type that a base's entry of this name has."""
    if dice.random() < 0.3:
        return value(dice)
    if name.endswith(("epsilon", "freq_base", "factor", "scale")):
        return struct.pack("<If", 6, dice.choice(FLOATS))
    if name.endswith(("architecture", "model", "pre", "template", ".type")):
        words = ("", "llama", "qwen2", "gemma3", "mamba", "yarn", "linear", "none", "gpt2", "x")
        return text("", dice.choice(words))[1]
    if name.endswith(("tokens", "merges")):
        return struct.pack("<IIQ", 9, 8, 32) + string(dice.choice((b"", b"a", b"a b", b"\xff"))) * 32
    if name.endswith(("scores", "token_type")):
        items = dice.choice((0, 1, 31, 32))
        return struct.pack("<IIQ", 9, dice.choice((5, 6)), items) + dice.randbytes(4 * items)
    numbers = (0, 1, 2, 3, 8, 16, 63, 64, 127, 513, 1 << 16, (1 << 28) + 2, 1 << 31, HUGE >> 32)
    if name.endswith(("head_count", "head_count_kv", "used_count", "feed_forward_length")) and dice.random() < 0.3:
        return struct.pack(
            "<IIQII", 9, dice.choice((4, 5)), 2, *(dice.choice(numbers) for _ in range(2))
        )  # a layer each
    return struct.pack("<II", 4, dice.choice(numbers))


def _split(sound: bytes) -> tuple[dict[bytes, bytes], bytes, bytes]:
    """A sound file's entries, its tensors' descriptions, and their data."""
    walk, keys = Walk(sound), {}
    walk.number("I")
    tensors, entries = walk.number("Q"), walk.number("Q")
    for _ in range(entries):
        start = walk.at
        walk.string()
        name, start = sound[start + 8 : walk.at], walk.at
        walk.value()
        keys[name] = sound[start : walk.at]
    start = walk.at
    for _ in range(tensors):
        walk.string()
        dimensions = walk.number("I")
        walk.at += 8 * dimensions + 12
    return keys, sound[start : walk.at], sound[walk.at + -walk.at % 32 :]


def oversized() -> Iterator[bytes]:
    """Headers as large as the reader takes, shaped to cost much when they are walked, decoded or compared."""
    size = MAX_HEADER - (1 << 16)
    moon = "🌘".encode() + b"x" * size  # four bytes a character once decoded
    for name in ("general.type", "adapter.type", "general.architecture", "adapter.lora.alpha", "xpert.note", "other"):
        yield _with(key(name, 9, struct.pack("<IQ", 8, size // 8) + bytes(size)))
        yield _with(key(name, 9, struct.pack("<IQ", 0, size) + bytes(size)))
        yield _with(key(name, 9, struct.pack("<IQ", 12, size // 8) + b"\1" * size))
        yield _with(key(name, 9, struct.pack("<IQ", 12, MAX_LIST) + b"\1" * 8 * MAX_LIST))
        yield _with(key(name, 9, struct.pack("<IQ", 8, MAX_LIST) + (string(b"abcdef") * MAX_LIST)))
        yield _with(key(name, 8, string(moon)))
    for entries in (MAX_ENTRIES - 4, 1 << 16):
        yield _with(*(key(f"xpert.{at}", 0, b"\1") for at in range(entries)))
        yield _with(*(key(f"k.{at}", 0, b"\1") for at in range(entries)))
        yield _with(*(key(f"k.{at}", 0, b"\1") for at in range(entries)), pairs=entries // 2)
        yield _with(pairs=entries // 2)


def _with(*entries: Key, pairs: int = 1) -> bytes:
    """A sound adapter but for these entries in place of its own, and for factors of 1 x 1 that no base has."""
    names = {name for name, _ in entries}
    draft = adapter()
    draft.keys = [own for own in draft.keys if own[0] not in names] + list(entries)
    if pairs > 1:
        one = struct.pack("<f", 1.0)
        draft.parts = [Part(f"{at}.lora_{half}".encode(), (1, 1), 0, one) for at in range(pairs) for half in "ab"]
    return draft.content()
