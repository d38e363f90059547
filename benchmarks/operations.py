"""How many floating-point operations a training step needs, whoever carries it out.

    needed(gguf.read_header(base), passes, rank=8)

Not here: how many our steps carry out, and how fast (finetune.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xpert_cli import gguf
from xpert_cli.llama.model import Sample
from xpert_cli.training.packing import Pack
from xpert_cli.training.shape import Shape


def needed(header: gguf.Header, passes: Sequence[Sequence[Sample]], rank: int) -> int:
    """Floating-point operations that training on `passes`, samples that run side by side, needs.

    A product of (m, k) and (k, n) is 2 m k n. Frozen matrices: output and gradient of the input, 4 a parameter and
    token, half of that in the first layer's q, k, v, which no factor lies below. LoRA: the output and the gradients of
    input and factors, 6 a parameter and token. Attention: scores and mixed values, and two gradients of each, 12 an
    element of a head and pair of tokens that see each other. The head: the output at scored positions, 2; its gradient,
    of which most is left out, is not counted. Tokens that all samples of a pass begin with count once.
    """
    shape = Shape.of(header)
    packed = [Pack.of(samples) for samples in passes]
    tokens = sum(pack.spans[-1][1] for pack in packed)
    total = 0
    for name, info in header.tensors.items():
        if name.startswith("blk.") and len(info.shape) == 2:
            out, width = info.shape
            total += (4 * out * width + 6 * rank * (out + width)) * tokens
            if name.startswith(("blk.0.attn_q.", "blk.0.attn_k.", "blk.0.attn_v.")):
                total -= (2 * out * width + 2 * rank * width) * tokens
    own = [pack.positions[start:end] for pack in packed for start, end in pack.spans]
    for layer in range(shape.layers):
        window = shape.window if shape.is_local(layer) and shape.window else math.inf
        pairs = sum(int(np.minimum(positions + 1, window).sum()) for positions in own)
        total += 12 * shape.heads * shape.size * pairs
    scored = sum(len(pack.targets) for pack in packed)
    return total + 2 * math.prod(header.tensors["token_embd.weight"].shape) * scored
