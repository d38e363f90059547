"""GGUF files: a strict header (header.py), tensors and adapters (files.py), adapter algebra (adapter.py).

from xpert_cli import gguf
base = gguf.read_header(path)
gguf.check_adapter(gguf.read_adapter(file), base)
"""

from xpert_cli.gguf.files import (
    BaseInfo,
    Planned,
    base_info,
    check_adapter,
    file_head,
    fingerprint,
    opened,
    raw,
    read_adapter,
    tensor,
    write_adapter,
    write_model,
)
from xpert_cli.gguf.header import Header, MetadataView, TensorInfo, encode, read_header

__all__ = [
    "BaseInfo",
    "Header",
    "MetadataView",
    "Planned",
    "TensorInfo",
    "base_info",
    "check_adapter",
    "encode",
    "file_head",
    "fingerprint",
    "opened",
    "raw",
    "read_adapter",
    "read_header",
    "tensor",
    "write_adapter",
    "write_model",
]
