"""Bad GGUF files without end, from a sound one: cut, overwritten, flipped, spliced, or put together wrongly.

    for content in islice(KINDS["flipped"].inputs(Sound(adapter, base), random.Random(0)), 1000):
        path.write_bytes(content)

Bytes are made with struct alone, so that a mistake in xpert's own writer hides nothing. What can be listed comes first
(every offset, every field at every extreme), then random combinations. Not here: reading them (gguf_examined.py) and
files put together from parts (gguf_drafts.py).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import gguf_drafts
from gguf_drafts import HUGE, Field, Walk, oversized, string

WHOLE = [0, 1, 2, 3, 8, 9, 13, 31, 33, 64, 255, 1 << 15, 1 << 16, (1 << 16) + 1, 1 << 30]
EXTREMES = {
    "Q": [*WHOLE, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 58, 1 << 61, (1 << 63) - 1, 1 << 63, HUGE],
    "I": [*WHOLE, *range(4, 45), (1 << 31) - 1, 1 << 31, (1 << 32) - 1],
    "f": [0.0, -0.0, 1e-45, -1.0, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan")],
}  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """What the bad files are made from: an adapter file and its base, both as xpert accepts them."""

    adapter: bytes
    base: bytes


@dataclass(frozen=True)
class Kind:
    """A kind of bad file: its endless inputs, and what they are read as, "adapter", "base" or "header"."""

    target: str
    inputs: Callable[[Sound, random.Random], Iterator[bytes]]


def fields(content: bytes) -> tuple[list[Field], int]:
    """Every count, length, type, dimension, offset and value in a sound file's header, and where the header ends."""
    walk = Walk(content)
    walk.number("I")
    tensors, keys = walk.number("Q"), walk.number("Q")
    for _ in range(keys):
        walk.string()
        walk.value()
    for _ in range(tensors):
        walk.string()
        for _ in range(walk.number("I")):
            walk.number("Q")
        walk.number("I")
        walk.number("Q")
    return walk.found, walk.at


def written(content: bytes, field: Field, value: float) -> bytes:
    """`content` with another value in one field."""
    at, code = field
    return content[:at] + struct.pack(f"<{code}", value) + content[at + struct.calcsize(f"<{code}") :]


def extremes(content: bytes, field: Field) -> list[float]:
    """Values to try in a field: the extremes of its type, and what lies beside its own value and the file's size."""
    at, code = field
    if code not in "IQ":
        return EXTREMES["f"] if code in "fd" else [0, 1]
    own = struct.unpack_from(f"<{code}", content, at)[0]
    near = [own - 1, own + 1, own * 2, len(content), len(content) - at]
    return [*EXTREMES[code], *(value for value in near if 0 <= value < 1 << 8 * struct.calcsize(code))]


def truncated(content: bytes, dice: random.Random) -> Iterator[bytes]:
    """Cut at every offset, then a damaged file cut at a random one."""
    yield from (content[:size] for size in range(len(content)))
    for damaged in at_extremes(content, dice):
        yield damaged[: dice.randrange(len(damaged))]


def at_extremes(content: bytes, dice: random.Random) -> Iterator[bytes]:
    """Each field at each extreme, then two to four fields at once."""
    places, _ = fields(content)
    yield from (written(content, place, value) for place in places for value in extremes(content, place))
    while True:
        damaged = content
        for place in dice.sample(places, dice.randint(2, 4)):
            damaged = written(damaged, place, dice.choice(extremes(content, place)))
        yield damaged


def flipped(content: bytes, dice: random.Random) -> Iterator[bytes]:
    """Every bit of the header on its own, then one to eight bits, some of them in the data."""
    _, end = fields(content)
    for bit in dice.sample(range(8 * end), 8 * end):
        yield _flip(content, [bit])
    while True:
        size = end if dice.random() < 0.8 else len(content)
        yield _flip(content, [dice.randrange(8 * size) for _ in range(dice.randint(1, 8))])


def _flip(content: bytes, bits: list[int]) -> bytes:
    damaged = bytearray(content)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def spliced(content: bytes, dice: random.Random) -> Iterator[bytes]:
    """Stretches taken out, doubled, moved, zeroed or replaced by noise."""
    _, end = fields(content)
    for _ in count():
        a, b = sorted(dice.randrange(end) for _ in range(2))
        b = min(b, a + (1 << dice.randrange(8)))
        to = dice.randrange(end)
        taken = content[a:b]
        yield dice.choice(
            (
                content[:a] + content[b:],
                content[:to] + taken + content[to:],
                (content[:a] + content[b:])[:to] + taken + (content[:a] + content[b:])[to:],
                content[:a] + bytes(b - a) + content[b:],
                content[:a] + dice.randbytes(b - a) + content[b:],
            )
        )


KINDS = {
    "truncated adapter": Kind("adapter", lambda sound, dice: truncated(sound.adapter, dice)),
    "adapter, fields at extremes": Kind("adapter", lambda sound, dice: at_extremes(sound.adapter, dice)),
    "adapter, flipped bits": Kind("adapter", lambda sound, dice: flipped(sound.adapter, dice)),
    "adapter, spliced": Kind("adapter", lambda sound, dice: spliced(sound.adapter, dice)),
    "generated adapter": Kind("adapter", lambda sound, dice: gguf_drafts.adapters(dice)),
    "generated header": Kind("header", lambda sound, dice: gguf_drafts.headers(dice)),
    "header of megabytes": Kind("adapter", lambda sound, dice: oversized()),
    "base, fields at extremes": Kind("base", lambda sound, dice: at_extremes(sound.base, dice)),
    "base, flipped bits": Kind("base", lambda sound, dice: flipped(sound.base, dice)),
    "generated base": Kind("base", lambda sound, dice: gguf_drafts.bases(sound.base, dice)),
}

ENDLESS_ARRAY = (  # 49 bytes; the gguf package's reader does not come back from it
    b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string(b"a") + struct.pack("<IIQ", 9, 8, 1 << 60)
)
