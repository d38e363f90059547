"""How a run is laid out on this machine: number type, threads, tokens side by side, and the memory that it will take.

    plan = plan_for(header, Work(longest=256, batch=4, rank=8), limit=None)
    plan.memory                                   # bytes, the estimate of the process's peak

The estimate is the sum of what is kept: the process as it is with torch loaded, the base, the factors with their
gradient, moments and best copy, a pack's activations, the logits of a chunk, and the kernels that oneDNN compiles.
Not here: what is computed (training/decoder.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xpert_cli import gguf, platform
from xpert_cli.errors import BadInput, BadUsage, MissingExtra
from xpert_cli.training.loop import PACK
from xpert_cli.training.packing import GRAINS, TOGETHER
from xpert_cli.training.shape import Shape

if TYPE_CHECKING:
    import torch

    from xpert_cli.gguf import BaseModel
    from xpert_cli.training.decoder import Decoder

PACKS = (PACK, 256)  # tokens side by side: more is faster, and keeps more activations
_KERNELS = 18 << 20  # bytes for each number of rows that is met in bfloat16: compiled kernels, and holes in the heap
_BUFFERS = 80 << 20  # bytes that float32 products and the heap take instead, whatever is met


@dataclass(frozen=True)
class Work:
    """What a layout is made for.

    `longest`: tokens of the longest sample; `batch`: samples a step; `rank`: of the adapter; `layers`: those that are
    trained, None for all.
    """

    longest: int
    batch: int
    rank: int
    layers: int | None = None

    def tokens(self, most: int) -> int:
        """Tokens of a step that are side by side where so many may be."""
        return max(self.longest, min(most, self.batch * self.longest))


@dataclass(frozen=True)
class Plan:
    """A layout that fits.

    `recompute`: layers that keep only the inputs of their halves, and work out the rest again; `packed`: their weights
    stay in the file, and are expanded where they are used; `packed_head`: so do the embedding and the output matrix;
    `together`: tokens for which they are expanded once in training.
    """

    dtype: str
    threads: int
    pack: int
    recompute: int
    memory: int
    packed: bool = False
    packed_head: bool = False
    together: int = 0

    @property
    def identity(self) -> list[Any]:
        """What results depend on to the bit; short for the layout that is made where memory does not matter."""
        layout = [self.pack, self.recompute, self.packed, self.packed_head, self.together]
        return [self.dtype, self.threads, *(layout if layout != [PACK, 0, False, False, 0] else [])]

    def open(self, base: BaseModel) -> Decoder:
        """The decoder of a base in this layout."""
        from xpert_cli.training.decoder import open_decoder

        return open_decoder(
            base,
            self.dtype,
            recompute=self.recompute,
            packed=self.packed,
            packed_head=self.packed_head,
            together=self.together,
            threads=self.threads,
        )


def require() -> None:
    """Import what training needs.

    Raises:
        MissingExtra: torch is not installed.
    """
    platform.prepare_libraries()
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("fine-tuning", "finetune") from error


def require_limit(memory: int | None) -> None:
    """Refuse a limit that nothing can keep.

    Raises:
        BadUsage: it is not more than 0 bytes.
    """
    if memory is not None and memory <= 0:
        raise BadUsage("--memory must be more than 0. Write 900M or 2G, or leave it out.")


def plan_for(header: gguf.Header, work: Work, limit: int | None) -> Plan:
    """The fastest layout that fits, with the number of threads that is fastest here; as `fitting`."""
    plan = fitting(header, work, limit)
    return replace(plan, threads=_threads(plan.dtype))


def fitting(header: gguf.Header, work: Work, limit: int | None) -> Plan:
    """The fastest layout whose estimate stays within `limit` bytes; None: what the machine has free.

    Raises:
        BadInput: the leanest layout takes more than `limit`.
        MissingExtra: torch is not installed.
    """
    free = platform.available_memory()
    allowed = limit or (platform.resident_memory() + int(0.9 * free) if free else None)
    return within(layouts(header, number_type(), work), allowed, work, "--memory allows" if limit else "is free")


def within(plans: Iterable[Plan], allowed: int | None, work: Work, bound: str) -> Plan:
    """The first of the plans that takes at most `allowed` bytes.

    Raises:
        BadInput: none does; says that it is more than `bound`.
    """
    for plan in plans:
        if allowed is None or plan.memory <= allowed:
            return plan
    raise BadInput(
        f"fine-tuning this base with messages of {work.longest} tokens takes {plan.memory >> 20} MB, "
        f"more than {bound}. Give a smaller --max-tokens, a smaller base, or more --memory."
    )


def layouts(header: gguf.Header, dtype: str, work: Work, *, resident: int | None = None) -> Iterator[Plan]:
    """All layouts, the fastest first and the leanest last.

    `resident` is what the process holds before, where it is not this one.

    Of a step of 1,024 tokens, to expand the weights once takes some 10 % of it, and to work all layers out twice 25 %.
    So where memory is short, all layers are worked out twice before every 256 tokens expand the weights anew; both
    together are the leanest.
    """
    shape = Shape.of(header)
    large, small = (max(work.longest, pack) for pack in PACKS)
    every, before = shape.layers, platform.resident_memory() if resident is None else resident
    arms = [
        (large, 0, False, False, 0),
        (small, 0, False, False, 0),
        (large, 0, True, False, 0),
        (large, 0, True, True, 0),
    ]
    arms += [(pack, every, True, True, TOGETHER) for pack in (large, small)] + [(small, every, True, True, 0)]
    for pack, recompute, packed, packed_head, together in dict.fromkeys(arms):
        plan = Plan(dtype, 1, pack, recompute, 0, packed, packed_head, together)
        yield replace(plan, memory=before + estimate(header, shape, work, plan))


def number_type() -> str:
    """The type that this processor computes fastest with.

    Raises:
        MissingExtra: torch is not installed.
    """
    require()
    return "bfloat16" if _bfloat16_pays() else "float32"


def estimate(header: gguf.Header, shape: Shape, work: Work, plan: Plan) -> int:
    """Bytes that a process with torch loaded will take at its peak in a layout, beside what it holds already.

    Of packed layers, at most one's gate, up and down are expanded at a time; of a packed head, a block of rows.
    """
    from xpert_cli.gguf.dequantize import dequantizer
    from xpert_cli.training.operations import EXACT, SCORED
    from xpert_cli.training.packed_head import BLOCK, ROWS

    width, rank = 2 if plan.dtype == "bfloat16" else 4, work.rank
    pack, together = work.tokens(plan.pack), work.tokens(max(plan.pack, plan.together))
    fixed = shape.layers - (work.layers or shape.layers)
    matrices = {name: info.shape for name, info in header.tensors.items() if len(info.shape) == 2}
    outer = {"token_embd.weight", "output.weight"} & matrices.keys() if plan.packed and plan.packed_head else set()
    outer = {name for name in outer if dequantizer(header.tensors[name].type)}
    inner = [n for n in matrices if plan.packed and n.startswith("blk.") and header.tensors[n].type != "F32"]
    base = width * sum(math.prod(sizes) for name, sizes in matrices.items() if name not in inner and name not in outer)
    base += width * max((3 * math.prod(matrices[name]) for name in inner), default=0)
    factors = rank * sum(sum(sizes) for name, sizes in matrices.items() if name.startswith("blk."))
    unchanged = factors * fixed // shape.layers
    layers = shape.layers - max(plan.recompute, fixed) + (1 if plan.recompute else 0)
    streams = together * max(0, plan.recompute - fixed) * 2 * shape.hidden
    passing = 4 * 2 * shape.wide + 8 * shape.hidden  # inputs and gradients of the layer at work
    vocabulary = header.tensors["token_embd.weight"].shape[0]
    logits = vocabulary * (SCORED * width + EXACT * 4)
    if outer:  # a block's rows, its logits, their shares and these in float32; rows of the embedding
        logits = BLOCK * (shape.hidden * width + min(pack, ROWS) * (2 * width + 4)) + 2 * together * shape.hidden * 4
    return (
        base
        + (factors - unchanged) * (5 * 4 + 4 + width)
        + unchanged * (4 + width)
        + width * (pack * (layers * shape.kept_numbers + passing) + streams)
        + logits
        + (_KERNELS * -(-pack // GRAINS["bfloat16"]) if width == 2 else _BUFFERS)
    )


def _bfloat16_pays() -> bool:
    """Whether this processor multiplies bf16 at least as fast as fp32; it also halves the memory."""
    import torch

    return _seconds(torch.bfloat16, 1) <= 1.1 * _seconds(torch.float32, 1)


def _threads(dtype: str) -> int:
    """The number of threads that multiplies fastest: of all cores worth one, and of half of them."""
    import torch

    cores = platform.cores()
    kind: Any = getattr(torch, dtype)
    return min(sorted({cores, max(1, cores // 2)}, reverse=True), key=lambda count: _seconds(kind, count))


def _seconds(dtype: torch.dtype, threads: int) -> float:
    """The best of five times that a matrix product of a usual size takes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rows, matrix = torch.ones(256, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
    times = []
    for _ in range(6):
        began = time.perf_counter()
        rows @ matrix
        times.append(time.perf_counter() - began)
    torch.set_num_threads(before)
    return min(times[1:])
