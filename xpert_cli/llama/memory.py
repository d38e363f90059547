"""How much memory a model takes in llama.cpp, and the context, batch and sequences that fit in what is free.

    fitted(header, Layout(context=2048), least=512)     # Layout(context=1024, batch=128, note="... free: ...")

What was measured of llama.cpp and agrees within a fifth: keys and values of a token in 16 bits, a batch's rows in 32.
Not here: a model that is worked on layer by layer (llama/layers.py), training (training/plan.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from xpert_cli import gguf, platform
from xpert_cli.gguf.header import Header

MARGIN = 64 << 20  # bytes of free memory left to Python, the vocabulary and other programs
BATCH, SMALL_BATCH = 512, 128  # tokens worked on at once; the smaller costs little speed
_CACHED = ("attn_k.weight", "attn_v.weight", "attn_qkv.weight")  # their rows are what is kept of a token


@dataclass(frozen=True)
class Layout:
    """What a model is opened with.

    Attributes:
        context: tokens that fit in all sequences together.
        sequences: texts that can be worked on at once.
        batch: tokens worked on at once.
        outputs: positions a batch may return.
        note: what was chosen smaller than wanted and why, for people; empty where nothing was.
    """

    context: int
    sequences: int = 1
    batch: int = BATCH
    outputs: int = 1
    note: str = ""


def context_bytes(source: Path | Header, layout: Layout) -> int:
    """Bytes that a context takes besides the weights: keys and values, one batch's rows, and logits with their copy."""
    rows = {name: info.shape[0] for name, info in gguf.opened(source).tensors.items()}
    vocabulary, hidden = gguf.opened(source).tensors["token_embd.weight"].shape
    cached = sum(count for name, count in rows.items() if name.endswith(_CACHED))
    wide = max((count for name, count in rows.items() if name.endswith("ffn_up.weight")), default=4 * hidden)
    return 2 * cached * layout.context + 4 * (6 * hidden + 3 * wide) * layout.batch + 8 * vocabulary * layout.outputs


def room_for_copies(path: Path) -> bool:
    """Whether free memory holds a model's file, a copy of its weights, and as much again for other programs.

    llama.cpp copies Q4_K and some other types into the order that its kernels read fastest: 600 MB for a 1.5B model.
    """
    free = platform.available_memory()
    return free is None or free > 3 * path.stat().st_size


def fitted(source: Path | Header, wanted: Layout, *, least: int, shared: bool = False) -> Layout:
    """The largest layout not above `wanted` that fits in the free memory beside the weights, or the smallest there is.

    First the batch gets smaller, then, by halves, the number of sequences that each have their own part of the context;
    where there is one, or all share the context, the context itself.

    Args:
        least: tokens of context to go down to.
    """
    free = platform.available_memory()
    if free is None:
        return wanted
    header = gguf.opened(source)
    room = free - MARGIN - (weights := header.path.stat().st_size)
    chosen = wanted
    while context_bytes(header, chosen) > room and (smaller := _smaller(chosen, least, shared)):
        chosen = smaller
    return replace(chosen, note=_note(wanted, chosen, weights, free))


def _smaller(layout: Layout, least: int, shared: bool) -> Layout | None:
    """The next smaller layout; None below the smallest."""
    if layout.batch > SMALL_BATCH:
        return replace(layout, batch=SMALL_BATCH, outputs=min(layout.outputs, SMALL_BATCH))
    if layout.sequences > 1 and not shared:
        fewer = layout.sequences // 2
        context, outputs = layout.context // layout.sequences * fewer, min(layout.outputs, fewer)
        return replace(layout, context=context, sequences=fewer, outputs=outputs)
    if layout.context > least:
        return replace(layout, context=max(least, layout.context // 2))
    return None


def _note(wanted: Layout, chosen: Layout, weights: int, free: int) -> str:
    parts = []
    if chosen.sequences < wanted.sequences:
        parts.append(f"{chosen.sequences:,} answers at once in place of {wanted.sequences:,}")
    elif chosen.context < wanted.context:
        parts.append(f"{chosen.context:,} tokens of context in place of {wanted.context:,}")
    if weights > free:
        parts.append(
            f"the model's {weights / 1e6:,.0f} MB are read from storage again and again, which is slow; "
            "xpert convert makes a smaller one"
        )
    return f"{free / 1e6:,.0f} MB of memory are free: {'; '.join(parts)}" if parts else ""
