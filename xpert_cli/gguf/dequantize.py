"""GGUF's quantized blocks to numbers by ggml's own kernels, and back; bfloat16 to float32.

    to_numbers = dequantizer("Q4_1")
    to_numbers(blocks.ctypes.data, out.ctypes.data, out.size)      # addresses; the caller owns both
    blocks = quantized(rows, "Q8_0")                               # (bytes,)
    widen_bfloat16(bits)                                           # numpy has no bfloat16

The kernels are made for weights that are read over and over: a number takes 0.6 ns on one core, and other threads run
meanwhile. Not here: reading a tensor once (gguf/files.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert_cli import platform

_Convert = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class _Traits(ctypes.Structure):
    """What ggml tells of a type, as far as it is needed here."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleaved", ctypes.c_int64),
        ("block_bytes", ctypes.c_size_t),
        ("quantized", ctypes.c_bool),
        ("to_float", _Convert),
    )


def widen_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers whose bfloat16 bits a uint16 array holds, exactly, in the same shape."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def quantized(rows: NDArray[np.float32], type_name: str) -> NDArray[np.uint8]:
    """(bytes,) the rows, whose width is a multiple of the type's block, as ggml quantizes them without further help."""
    with platform.as_linux():
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from llama_cpp._ggml import libggml

    number = GGMLQuantizationType[type_name]
    elements, block = GGML_QUANT_SIZES[number]
    rows = np.ascontiguousarray(rows, np.float32)
    out = np.empty(rows.size // elements * block, np.uint8)
    work = libggml.ggml_quantize_chunk
    work.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    work.restype = ctypes.c_size_t
    work(number.value, rows.ctypes.data, out.ctypes.data, 0, len(rows), rows.shape[1], None)
    return out


@cache
def dequantizer(type_name: str) -> Callable[[int, int, int], None] | None:
    """A type's conversion: (address of blocks, address of float32 numbers, how many); None where ggml has none."""
    with platform.as_linux():
        from gguf import GGMLQuantizationType
        from llama_cpp._ggml import libggml

    get_traits = libggml.ggml_get_type_traits
    get_traits.argtypes, get_traits.restype = [ctypes.c_int], ctypes.POINTER(_Traits)
    traits = get_traits(GGMLQuantizationType[type_name].value).contents
    if (traits.name or b"").decode().lower() != type_name.lower() or not traits.to_float:
        return None  # a type that this llama.cpp does not know, or numbers already
    return traits.to_float  # type: ignore[no-any-return]
