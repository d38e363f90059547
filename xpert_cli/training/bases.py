"""Base models worth using, and those on this machine, with what each takes here: on the disk, to run, to fine-tune.

    for base in worth_using(): print(base.name, base.bytes, base.run_bytes, base.finetune_bytes)

Memory comes from the planner of training and llama.cpp's layout, by the header of the file where it is here, else by
one that is made of the published sizes. Not here: the names (hub/known.py), what a layout is (training/plan.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xpert_cli import gguf, paths, platform, settings
from xpert_cli.cache.catalogue import OpenCache, open_cache
from xpert_cli.errors import BadModel, MissingExtra, XpertError
from xpert_cli.gguf.architectures import ARCHITECTURES
from xpert_cli.gguf.header import BLOCKS
from xpert_cli.hub.files import CATALOGUE
from xpert_cli.hub.kept import Kept, kept_models
from xpert_cli.hub.known import KNOWN, Known
from xpert_cli.hub.sources import EMBEDDED, PACKAGED_BASE, find_base, open_source
from xpert_cli.llama.memory import Layout, context_bytes
from xpert_cli.training.loop import BATCH
from xpert_cli.training.plan import Work, layouts, number_type

CONTEXT = 2048  # tokens of a conversation
LONGEST, RANK = 256, 8  # of the fine-tuning that is estimated
HEAD = 6 << 20  # bytes of a file's header: its tokens


@dataclass(frozen=True)
class Base:
    """One base model on this machine or worth having there.

    Attributes:
        address: where it comes from: a file of a Hub repo; "" for the one that came with xpert.
        bytes: of its file; about, where it is not here.
        run_bytes: to talk with it, with CONTEXT tokens; its file, which is mapped, included.
        finetune_bytes: the leanest layout for messages of LONGEST tokens at rank 8; None where it cannot be said.
        fastest_bytes: the fastest layout.
        here: its file; "" where it would have to be fetched.
        caches: names of the caches that are for it, as far as this machine knows.
    """

    name: str
    address: str
    type: str
    licence: str
    parameters: int
    bytes: int
    run_bytes: int
    finetune_bytes: int | None
    fastest_bytes: int | None
    here: str
    caches: tuple[str, ...]


@dataclass(frozen=True)
class Bases:
    """Base models, what is free on this machine, and what is worth knowing of the figures."""

    models: tuple[Base, ...]
    free_memory: int | None
    notes: tuple[str, ...] = ()


def worth_using() -> Bases:
    """The bases that xpert knows by name."""
    files = {(one.repo.lower(), one.type.lower()): one.path for one in kept_models()}
    return _bases([(one, files.get((one.repo.lower(), one.type.lower()))) for one in KNOWN])


def on_this_machine() -> Bases:
    """The bases that were fetched, and the one that came with xpert."""
    packaged = [(one, None) for one in KNOWN if one.name == PACKAGED_BASE]
    return _bases([*packaged, *((named(one), one.path) for one in kept_models())])


def named(one: Kept) -> Known | Kept:
    """The base that xpert knows by name, where a file is one of them; else the file."""
    mine = one.repo.lower(), one.type.lower()
    return next((other for other in KNOWN if (other.repo.lower(), other.type.lower()) == mine), one)


def _bases(wanted: Sequence[tuple[Known | Kept, Path | None]]) -> Bases:
    try:
        dtype, notes = number_type(), list[str]()
    except MissingExtra as error:
        dtype, notes = "", [f"memory for fine-tuning is not known: {error}"]
    caches = list(_caches())
    rows = [row for one, path in wanted if (row := _base(one, path, dtype, caches)) is not None]
    return Bases(tuple(rows), platform.available_memory(), tuple(notes))


def _base(one: Known | Kept, path: Path | None, dtype: str, caches: list[tuple[str, OpenCache]]) -> Base | None:
    """What one takes; None for the packaged one where it is not installed."""
    if isinstance(one, Known) and one.name == PACKAGED_BASE:
        try:
            path = find_base(PACKAGED_BASE)
        except XpertError:
            return None
    if path is None:
        assert isinstance(one, Known)
        header, mark = header_of(one), ""
    else:
        header, mark = gguf.read_header(path), gguf.fingerprint(path)
    size = path.stat().st_size if path else HEAD + sum(info.bytes for info in header.tensors.values())
    try:
        plans = list(layouts(header, dtype, Work(LONGEST, BATCH, RANK))) if dtype else []
    except BadModel:  # an architecture that is run and not trained
        plans = []
    return Base(
        name=one.name,
        address=one.address,
        type=one.type,
        licence=one.licence,
        parameters=sum(math.prod(info.shape) for info in header.tensors.values()),
        bytes=size,
        run_bytes=platform.resident_memory() + size + context_bytes(header, Layout(CONTEXT)),
        finetune_bytes=min((plan.memory for plan in plans), default=None),
        fastest_bytes=plans[0].memory if plans else None,
        here=str(path) if path else "",
        caches=tuple(name for name, cache in caches if _is_for(cache, one.name, mark)),
    )


def _caches() -> Iterator[tuple[str, OpenCache]]:
    """The embedded cache, the one that the settings name, and those that were fetched; nothing is fetched now."""
    catalogues = (paths.data_dir() / "hub").glob(f"*/*/{CATALOGUE}")
    fetched = {path.parents[1].name.replace("--", "/", 1) for path in catalogues}
    for name in dict.fromkeys([EMBEDDED, settings.default("cache"), *sorted(fetched)]):
        try:
            yield name, open_cache(open_source(name, offline=True))
        except XpertError:
            continue


def _is_for(cache: OpenCache, name: str, fingerprint: str) -> bool:
    """Whether a cache is for a base: by its fingerprint where that is known, else by its name."""
    return cache.base["fingerprint"] == fingerprint if fingerprint else str(cache.base["name"]).lower() == name


def header_of(one: Known) -> gguf.Header:
    """A header with the tensors that a file of these sizes has, in the types of llama.cpp's mix."""
    architecture = ARCHITECTURES[one.architecture]
    queries, pairs = one.heads * one.size, one.groups * one.size
    shapes: dict[str, tuple[int, ...]] = {
        "attn_q": (queries, one.hidden),
        "attn_k": (pairs, one.hidden),
        "attn_v": (pairs, one.hidden),
        "attn_output": (one.hidden, queries),
        "ffn_gate": (one.wide, one.hidden),
        "ffn_up": (one.wide, one.hidden),
        "ffn_down": (one.hidden, one.wide),
        "attn_q_norm": (one.size,),
        "attn_k_norm": (one.size,),
    }
    tensors: dict[str, tuple[int, ...]] = {"token_embd.weight": (one.vocabulary, one.hidden)}
    if not one.tied:
        tensors["output.weight"] = (one.vocabulary, one.hidden)
    for layer in range(one.layers):
        tensors |= {f"blk.{layer}.{n}.weight": shapes.get(n, (one.hidden,)) for n in architecture.blocks.values()}
    keys = {
        "block_count": one.layers,
        "embedding_length": one.hidden,
        "feed_forward_length": one.wide,
        "attention.head_count": one.heads,
        "attention.head_count_kv": one.groups,
        "attention.key_length": one.size,
    }
    encoded = {
        "general.architecture": gguf.encode("string", one.architecture),
        f"{one.architecture}.attention.layer_norm_rms_epsilon": gguf.encode("float32", 1e-6),
        **{f"{one.architecture}.{key}": gguf.encode("uint32", value) for key, value in keys.items()},
    }
    infos = {name: _info(shape, _type_in(one, name, shape)) for name, shape in tensors.items()}
    return gguf.Header(Path(one.name), 3, gguf.MetadataView(Path(one.name), encoded), infos)


def _info(shape: tuple[int, ...], kind: str) -> gguf.TensorInfo:
    _, elements, size = BLOCKS[kind]
    return gguf.TensorInfo(shape, kind, 0, math.prod(shape) // elements * size)


def _type_in(one: Known, name: str, shape: tuple[int, ...]) -> str:
    """The type of a tensor in a file of the base's type: llama.cpp's Q4_K_M has half of some matrices finer."""
    if len(shape) == 1:
        return "F32"
    if one.type != "Q4_K_M":
        return one.type
    wide = shape[1] % 256 == 0
    embedding = name == ("token_embd.weight" if one.tied else "output.weight")
    layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
    eighth = one.layers // 8
    finer = layer < eighth or layer >= 7 * one.layers // 8 or (layer - eighth) % 3 == 2
    if embedding or (finer and name.split(".")[-2] in ("attn_v", "ffn_down")):
        return "Q6_K" if wide else "Q8_0"
    return "Q4_K" if wide else "Q5_0"
