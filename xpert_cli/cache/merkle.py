"""Digests of many records in one: a hash tree, by which each record can be checked alone.

    levels = tree([b"one", b"two", b"three"])
    root_of(b"two", 1, proof(levels, 1)) == levels[-1][0]        # True: 64 bytes prove it

Leaves and inner nodes are hashed with different first bytes, so that none can pass for the other (RFC 6962, section
2.1); places up to the next power of two are zeros. Not here: where roots are kept (cache/cells.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

SIZE = 32  # bytes of a digest
_LEAF, _NODE = b"\0", b"\1"


def depth(count: int) -> int:
    """Digests in a proof of one of so many records."""
    return max(0, count - 1).bit_length()


def tree(records: Sequence[bytes]) -> list[list[bytes]]:
    """The digests of records, those of pairs, and so on to the root, which is alone in the last list."""
    level = [sha256(_LEAF + record).digest() for record in records]
    level += [bytes(SIZE)] * ((1 << depth(len(records))) - len(level))
    levels = [level]
    while len(level) > 1:
        level = [sha256(_NODE + level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)]
        levels.append(level)
    return levels


def proof(levels: Sequence[Sequence[bytes]], row: int) -> bytes:
    """What leads from a record to the root: the digest beside it at each level, lowest first."""
    return b"".join(level[(row >> height) ^ 1] for height, level in enumerate(levels[:-1]))


def root_of(record: bytes, row: int, proof: bytes) -> bytes:
    """The root of the tree that has a record at `row`, by a proof."""
    digest = sha256(_LEAF + record).digest()
    for height in range(len(proof) // SIZE):
        sibling = proof[height * SIZE : (height + 1) * SIZE]
        digest = sha256(_NODE + (sibling + digest if row >> height & 1 else digest + sibling)).digest()
    return digest
