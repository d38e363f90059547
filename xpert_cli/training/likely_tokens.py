"""Which tokens a gradient by the output matrix is made of: those that are likely enough to count.

    columns, places, real = likely_tokens(likeliest, targets, torch.bfloat16)
    logits = logits if columns is None else logits[:, columns]

Tokens less likely than half the number type's precision, squared, at every position at hand are left out, as in Wijmans
et al. 2025 (Cut Your Losses). Not here: the gradient (training/operations.py, training/packed_head.py).
"""

from __future__ import annotations

import torch
from torch import Tensor


def likely_tokens(likeliest: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor | None, Tensor, int]:
    """The likely ones of a matrix's tokens, in one of few sizes: halved so often that all of them still fit.

    Args:
        likeliest: (tokens,) the highest probability of each; that of the targets becomes 1.
        targets: tokens that count whatever their probability.

    Returns:
        The numbers of the tokens, None for all; where the targets are among them; and how many are no padding.
    """
    likeliest[targets] = 1
    (tokens,) = torch.nonzero(likeliest > (torch.finfo(dtype).eps / 2) ** 2, as_tuple=True)
    size, real = len(likeliest), len(tokens)
    if (share := size // max(1, real)) <= 1:
        return None, targets, size
    padded = torch.nn.functional.pad(tokens, (0, size // (1 << share.bit_length() - 1) - real))
    return padded, torch.searchsorted(tokens, targets), real
