"""GGUF headers, tensors, fingerprints and adapter files; what is crafted or damaged is refused in one line."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from tiny import packaged_base
from tiny_gguf import HIDDEN, adapter, metadata, tensors, write_base

from xpert_cli import gguf
from xpert_cli.errors import BadModel, CacheMismatch, XpertError
from xpert_cli.gguf import encode
from xpert_cli.gguf import header as gguf_header


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def header(keys: list[bytes] = (), infos: list[bytes] = (), data: bytes = b"", *, tensors: int | None = None) -> bytes:  # type: ignore[assignment]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos) if tensors is None else tensors, len(keys))
    head += b"".join(keys) + b"".join(infos)
    return head + bytes(-len(head) % 32) + data


def info(name: str = "t", shape: tuple[int, ...] = (2,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def read(tmp_path: Path, content: bytes) -> gguf.Header:
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    return gguf.read_header(path)


def test_a_header_written_by_hand(tmp_path):
    keys = [text("a.count") + encode("uint32", 7), text("a.words") + encode("[string]", ["ab", "c"])]
    found = read(tmp_path, header(keys, [info("w", (3, 2))], struct.pack("<6f", 1, 2, 3, 4, 5, 6)))
    assert dict(found.metadata) == {"a.count": 7, "a.words": ["ab", "c"]}
    assert [found.metadata.kind(key) for key in ("a.count", "a.words", "no")] == ["uint32", "[string]", ""]
    assert found.metadata.length("a.words") == 2
    assert found.tensors["w"].shape == (2, 3)  # GGUF counts dimensions from the fastest, numpy from the slowest
    assert gguf.tensor(found, "w").tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 255), ("int8", -1), ("uint16", 65535), ("int16", -2), ("uint32", 1 << 31), ("int32", -3),
        ("uint64", 1 << 63), ("int64", -4), ("float32", 0.5), ("float64", 0.1), ("bool", True), ("string", "häh"),
        ("[int32]", [1, -1]), ("[float64]", [0.1, 0.2]), ("[bool]", [True, False]), ("[string]", []),
    ],
)  # fmt: skip
def test_every_metadata_type_comes_back(tmp_path, kind, value):
    found = read(tmp_path, header([text("k") + encode(kind, value)])).metadata
    assert (found["k"], found.kind("k")) == (value, kind)


HUGE = (1 << 64) - 1
DAMAGED = {
    "not a GGUF": b"GGML" + bytes(40),
    "the file is empty": b"",
    "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "too early": b"GGUF" + struct.pack("<I", 3),
    "more than any model": b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0),
    "metadata keys are more": b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE),
    "bytes long": header([struct.pack("<Q", HUGE)]),
    "unknown type 99": header([text("k") + struct.pack("<I", 99)]),
    "unknown type 9": header([text("k") + struct.pack("<IIQ", 9, 9, 1)]),  # an array of arrays
    "ends too early": header([text("k") + struct.pack("<IIQ", 9, 8, 1 << 60)]),
    "header ends too": header([text("k") + struct.pack("<IIQQ", 9, 8, 1, HUGE)]),
    "k is there twice": header([text("k") + encode("bool", True)] * 2),
    "unprintable": header([text("k\n") + encode("bool", True)]),
    "not UTF-8": header([struct.pack("<Q", 1) + b"\xff" + encode("bool", True)]),
    "power of two": header([text("general.alignment") + encode("uint32", 24)]),
    "of type uint32": header([text("general.alignment") + encode("uint64", 32)]),
    "split model": header([text("split.count") + encode("uint16", 2)]),
    "t is there twice": header(infos=[info(), info(offset=32)], data=bytes(64)),
    "5 dimensions": header(infos=[info(shape=(1,) * 5)], data=bytes(32)),
    "0 dimensions": header(infos=[info(shape=())], data=bytes(32)),
    "unknown type 77": header(infos=[info(kind=77)], data=bytes(32)),
    "cannot have the shape (33,) at type Q4_1": header(infos=[info(shape=(33,), kind=3)], data=bytes(64)),
    "cannot have the shape (0,)": header(infos=[info(shape=(0,))]),
    "not where it should be": header(infos=[info(offset=64)], data=bytes(128)),
    "past the end": header(infos=[info(shape=(1 << 62, 1 << 62))], data=bytes(32)),
    "cut off: t": header(infos=[info(shape=(8,))], data=bytes(31)),
    "64 bytes long": header(infos=[info(name="n" * 64)], data=bytes(32)),
}


@pytest.mark.parametrize("reason", DAMAGED)
def test_damaged_headers_are_refused(tmp_path, reason):
    with pytest.raises(BadModel) as caught:
        read(tmp_path, DAMAGED[reason])
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(BadModel):
            gguf.read_header(path)


def test_a_file_cut_at_any_offset_is_refused(tmp_path):
    whole = tmp_path / "adapter.gguf"
    gguf.write_adapter(adapter(rank=1, only=("attn_k",), note="x", coordinates=[1.0, 2.0]), whole)
    content = whole.read_bytes().rstrip(b"\0")
    gguf.read_header(whole)
    for size in range(0, len(content), 1):
        with pytest.raises(BadModel):
            read(tmp_path, content[:size])


def test_flipped_bits_are_read_or_refused(tmp_path):
    whole, base = tmp_path / "adapter.gguf", gguf.read_header(write_base(tmp_path / "base.gguf"))
    gguf.write_adapter(adapter(rank=1, only=("attn_k",), note="x", base_fingerprint=gguf.fingerprint(base)), whole)
    content, dice, refused = whole.read_bytes(), random.Random(0), []
    size = content.rindex(b"lora_b") + 64  # the header: flips in the factors are other factors
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(size)] ^= 1 << dice.randrange(8)
        try:
            gguf.check_adapter(read(tmp_path, bytes(damaged)), base)
        except XpertError as error:
            refused.append(str(error))
    assert 1000 < len(refused) < 3000
    assert not any("\n" in line for line in refused)


def test_the_table_of_types_is_the_gguf_packages():
    import gguf as package

    theirs = {kind.name: sizes for kind, sizes in package.GGML_QUANT_SIZES.items() if kind.name not in ("Q8_1", "Q8_K")}
    assert {name: (elements, size) for name, (_, elements, size) in gguf_header.BLOCKS.items()} == theirs
    assert all(package.GGMLQuantizationType[name] == number for name, (number, _, _) in gguf_header.BLOCKS.items())


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0"])
def test_tensors_of_every_kind_come_back_as_the_gguf_package_has_them(tmp_path, kind):
    from gguf import GGMLQuantizationType, quants

    values = np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64)
    stored = np.asarray(quants.quantize(values, GGMLQuantizationType[kind]))
    gguf.write_model(tmp_path / "t.gguf", {}, {"t": gguf.Planned((2, 64), kind, lambda: stored)})
    found = gguf.tensor(tmp_path / "t.gguf", "t")
    assert found.dtype == np.float32
    assert np.array_equal(found, quants.dequantize(stored, GGMLQuantizationType[kind]))
    with pytest.raises(BadModel, match="no tensor u"):
        gguf.tensor(tmp_path / "t.gguf", "u")


def test_the_gguf_package_reads_what_we_write(tmp_path):
    from gguf import GGUFReader

    reader = GGUFReader(write_base(tmp_path / "base.gguf"))
    assert reader.get_field("llama.block_count").contents() == 2
    assert {t.name: t.data.shape for t in reader.tensors} == {name: data.shape for name, data in tensors().items()}
    assert all(np.array_equal(t.data, tensors()[t.name]) for t in reader.tensors)


def test_base_info(tmp_path):
    found = gguf.base_info(write_base(tmp_path / "base.gguf"))
    assert (found.name, found.architecture, found.layers, found.heads, found.kv_heads) == ("Tiny", "llama", 2, 4, 2)
    assert (found.hidden, found.context, found.vocabulary) == (64, 128, 0)
    with pytest.raises(BadModel, match=r"llama\.block_count"):
        gguf.base_info(write_base(tmp_path / "none.gguf", block_count=0))


def test_the_fingerprint_tells_models_apart_and_not_their_names(tmp_path):
    base = gguf.fingerprint(write_base(tmp_path / "base.gguf"))
    assert gguf.fingerprint(write_base(tmp_path / "longer.gguf", context_length=256)) == base
    assert gguf.fingerprint(write_base(tmp_path / "other.gguf", seed=1)) != base
    assert (
        gguf.fingerprint(write_base(tmp_path / "heads.gguf", **{"attention.head_count": 2, "rope.dimension_count": 32}))
        != base
    )
    words = metadata() | {"tokenizer.ggml.tokens": encode("[string]", ["a"])}
    planned = {name: gguf.Planned(data.shape, "F32", lambda data=data: data) for name, data in tensors().items()}
    gguf.write_model(tmp_path / "words.gguf", words, planned)
    assert gguf.fingerprint(tmp_path / "words.gguf") != base


@pytest.mark.model
@pytest.mark.parametrize("kind", ["Q8_0", "F16"])
def test_the_fingerprint_is_equal_across_quantizations(tmp_path, kind):
    from xpert_cli.models.quantize import quantize

    quantize(packaged_base(), tmp_path / "other.gguf", kind)
    assert gguf.base_info(tmp_path / "other.gguf") == gguf.base_info(packaged_base())


def test_adapters_come_back_exact_at_f32_and_rounded_at_f16(tmp_path):
    written = adapter(
        seed=3, explanation="plain", samples=240, coordinates=[0.1, -2.5], loss=1.5, base_fingerprint="ab"
    )
    for dtype, kind in (("F32", np.float32), ("F16", np.float16)):
        gguf.write_adapter(written, tmp_path / "a.gguf", dtype)
        found = gguf.read_adapter(tmp_path / "a.gguf")
        assert (found.architecture, found.alpha, found.metadata) == ("llama", 8.0, written.metadata)
        for name, pair in written.factors.items():
            for ours, theirs in zip(pair, found.factors[name], strict=True):
                assert np.array_equal(ours.astype(kind), theirs)


def test_factors_too_large_for_f16_are_refused(tmp_path):
    large = adapter()
    next(iter(large.factors.values()))[0][0, 0] = 1e6
    with pytest.raises(BadModel, match="does not fit in F16"):
        gguf.write_adapter(large, tmp_path / "a.gguf")
    assert not list(tmp_path.iterdir())


def raw_adapter(path: Path, changes: dict[str, bytes | None], **shapes: tuple[int, ...]) -> Path:
    """An adapter file of ones on blk.0.attn_q with metadata changed (None: left out) and factors of other shapes."""
    good = {
        "general.architecture": encode("string", "llama"),
        "general.type": encode("string", "adapter"),
        "adapter.type": encode("string", "lora"),
        "adapter.lora.alpha": encode("float32", 8.0),
    }
    keys = {key: value for key, value in (good | changes).items() if value is not None}
    sizes = {"lora_a": (4, HIDDEN), "lora_b": (HIDDEN, 4)} | shapes
    planned = {
        f"blk.0.attn_q.weight.{name}": gguf.Planned(shape, "F32", lambda shape=shape: np.ones(shape, np.float32))
        for name, shape in sizes.items()
    }
    gguf.write_model(path, keys, planned)
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general.type": encode("uint32", 1)}, "this is no adapter"),
        ({"general.type": encode("string", "model")}, "this is no adapter"),
        ({"general.architecture": encode("uint32", 1)}, "general.architecture is of type uint32 instead of string"),
        ({"adapter.type": encode("uint32", 1)}, "adapter.type is not 'lora'"),
        ({"adapter.lora.alpha": encode("uint32", 8)}, "adapter.lora.alpha is of type uint32 instead of float32"),
        ({"adapter.lora.alpha": None}, "adapter.lora.alpha is of type none"),
        ({"adapter.lora.alpha": encode("float32", float("nan"))}, "alpha is nan"),
        ({"adapter.lora.alpha": encode("float32", 0.0)}, "alpha is 0.0"),
        (
            {"adapter.alora.invocation_tokens": encode("[uint32]", [1])},
            "adapter.alora.invocation_tokens is not supported",
        ),
        ({"xpert.words": encode("[string]", ["a"])}, "xpert.words is neither text nor numbers"),
    ],
)
def test_adapters_with_wrong_metadata_are_refused(tmp_path, changes, reason):
    with pytest.raises(BadModel) as caught:
        gguf.read_adapter(raw_adapter(tmp_path / "a.gguf", changes))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"lora_c": (4, 4)}, "is no LoRA factor"),
        ({"lora_b": (HIDDEN, 5)}, "do not fit"),
        ({"lora_b": (2, HIDDEN, 4)}, "do not fit"),
        ({"lora_a": (1025, HIDDEN), "lora_b": (HIDDEN, 1025)}, "has rank 1025, over 1024"),
    ],
)
def test_adapters_with_wrong_factors_are_refused(tmp_path, shapes, reason):
    with pytest.raises(BadModel, match=reason):
        gguf.read_adapter(raw_adapter(tmp_path / "a.gguf", {}, **shapes))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_adapters_with_infinite_factors_are_refused(tmp_path, value):
    path = raw_adapter(tmp_path / "a.gguf", {})
    content = bytearray(path.read_bytes())
    content[-4:] = struct.pack("<f", value)
    path.write_bytes(content)
    with pytest.raises(BadModel, match=r"blk\.0\.attn_q\.weight holds values that are not finite"):
        gguf.read_adapter(path)


def test_an_adapter_fits_its_base(tmp_path):
    base = gguf.read_header(write_base(tmp_path / "base.gguf"))
    gguf.check_adapter(adapter(base_fingerprint=gguf.fingerprint(base)), base)
    gguf.check_adapter(gguf.read_header(raw_adapter(tmp_path / "a.gguf", {})), base)


def test_every_mismatch_is_named_in_one_line(tmp_path):
    base = gguf.read_header(write_base(tmp_path / "base.gguf"))
    wrong = adapter(base_fingerprint="0123456789abcdef", base_name="Lama 1B")
    factors = dict(wrong.factors) | {
        "blk.7.attn_q.weight": wrong.factors["blk.0.attn_q.weight"],
        "blk.0.attn_q.weight": wrong.factors["blk.0.attn_v.weight"],
    }
    with pytest.raises(CacheMismatch) as caught:
        gguf.check_adapter(type(wrong)("llama", 8.0, factors, wrong.metadata), base)
    shapes = "blk.0.attn_q.weight is (32, 64), the base's is (64, 64)"
    for part in ("it is for 'Lama 1B' (fingerprint '0123456789ab')", "blk.7.attn_q.weight", shapes):
        assert part in str(caught.value)
    with pytest.raises(CacheMismatch, match="for a 'qwen2' model; the base is llama"):
        gguf.check_adapter(type(wrong)("qwen2", 8.0, wrong.factors), base)
