"""GGUF files: a strict header (header.py), tensors and adapters (files.py), files opened once (open_files.py),
adapter algebra (adapter.py).

from xpert_cli import gguf
base = gguf.BaseModel.open(path)
gguf.check_adapter(gguf.AdapterFile.open(file), base)
"""

from xpert_cli.gguf.files import (
    MAX_RANK,
    BaseInfo,
    Planned,
    architecture_of,
    base_info,
    called,
    file_head,
    fingerprint,
    layer_count,
    opened,
    raw,
    read_adapter,
    require_model,
    tensor,
    write_adapter,
    write_model,
)
from xpert_cli.gguf.header import Header, MetadataView, TensorInfo, encode, folder_in_place, read_header
from xpert_cli.gguf.open_files import AdapterFile, BaseModel, WeightedAdapter, check_adapter, combined

__all__ = [
    "MAX_RANK",
    "AdapterFile",
    "BaseInfo",
    "BaseModel",
    "Header",
    "MetadataView",
    "Planned",
    "TensorInfo",
    "WeightedAdapter",
    "architecture_of",
    "base_info",
    "called",
    "check_adapter",
    "combined",
    "encode",
    "file_head",
    "fingerprint",
    "folder_in_place",
    "layer_count",
    "opened",
    "raw",
    "read_adapter",
    "read_header",
    "require_model",
    "tensor",
    "write_adapter",
    "write_model",
]
