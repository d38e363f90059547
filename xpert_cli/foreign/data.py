"""Data from elsewhere, within bounds: JSON, and arrays in npz files.

    told = read_json(path.read_bytes(), most_bytes=1 << 20)      # a ValueError says what is wrong, in a few words
    arrays = read_arrays(path, most_bytes=1 << 26)               # sizes are looked at before anything is expanded

Not here: GGUF files (gguf/header.py), what a person wrote (corpus/).
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert_cli.foreign.text import one_line

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_BYTES = 64 << 20  # of a JSON text
MOST_VALUES = 2_000_000  # of a JSON text: an empty list takes 64 bytes of memory for 3 in the file
MOST_DEPTH = 64
MOST_ARRAYS = 64
Shapes = Mapping[str, tuple[int, ...]]

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(
    data: bytes | str, *, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES, most_depth: int = MOST_DEPTH
) -> Any:
    """What a JSON text from elsewhere holds, in memory in proportion to `most_values`.

    Raises:
        ValueError: no JSON, larger, deeper or of more values than allowed, NaN or a number that overflows, or text that
            is no Unicode. The message is one short line.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > most_bytes:
        raise ValueError(f"it has {len(raw)} bytes, and {most_bytes} are allowed")
    if sum(map(raw.count, (b",", b"[", b"{", b":"))) > most_values:
        raise ValueError(f"it holds more than {most_values} values")
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_no_number, parse_float=_number, parse_int=_whole)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {most_depth} levels") from error
    require_shallow(value, most_depth, unicode=_SURROGATE.search(raw) is not None)
    return value


def require_shallow(value: Any, most_depth: int = MOST_DEPTH, *, unicode: bool = False) -> None:
    """Refuse what is nested so deeply that a function which calls itself could not go through it.

    Args:
        unicode: refuse text that cannot be written as UTF-8, too.

    Raises:
        ValueError: it is nested deeper, or holds such text.
    """
    level, depth = [value], 0
    while level:
        if depth > most_depth:
            raise ValueError(f"it is nested deeper than {most_depth} levels")
        if unicode:
            for one in level:
                _require_unicode(one)
        level = [item for one in level if isinstance(one, (dict, list)) for item in _inside(one, unicode)]
        depth += 1


def read_object(data: bytes | str, **bounds: int) -> dict[str, Any]:
    """`read_json` of a text that has to hold an object.

    Raises:
        ValueError: it is something else, or as `read_json` says.
    """
    value = read_json(data, **bounds)
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def read_arrays(path: Path, *, most_bytes: int, shapes: Shapes | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file, by name; its sizes are looked at before anything is expanded.

    Args:
        most_bytes: of all arrays together.
        shapes: of the arrays that have to be there; they are refused before they are expanded.

    Raises:
        ValueError: damaged, too large, pickles, or arrays of other shapes; one short line.
    """
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if len(entries) > MOST_ARRAYS:
                raise ValueError(f"it holds {len(entries)} arrays")
            if (size := sum(entry.file_size for entry in entries)) > most_bytes:
                raise ValueError(f"it expands to {size} bytes, and {most_bytes} are allowed")
            arrays = {}
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                arrays[name] = _array(file, entry, (shapes or {}).get(name))
    except ValueError:
        raise
    except Exception as error:  # a damaged archive fails in many ways, down to Python's tokenizer
        raise ValueError(one_line(str(error)) or type(error).__name__) from error
    if wrong := sorted(set(shapes or ()) - set(arrays)):
        raise ValueError(f"it does not fit: {', '.join(wrong)} missing")
    return arrays


def _array(file: zipfile.ZipFile, entry: zipfile.ZipInfo, shape: tuple[int, ...] | None) -> npt.NDArray[Any]:
    """One array, its head checked against its size and the wanted shape before the rest is expanded."""
    import numpy as np  # here, so that reading JSON needs no numpy

    with file.open(entry) as stream:
        head = BytesIO(stream.read(min(entry.file_size, 4096)))
        version = np.lib.format.read_magic(head)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{entry.filename} is of an unknown version")
        stored, fortran, dtype = read(head)
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds pickles")
        if dtype.names or dtype.itemsize * math.prod(stored) != entry.file_size - head.tell():
            raise ValueError(f"{entry.filename} has not the size that it says")
        if shape is not None and stored != shape:
            raise ValueError(f"{entry.filename.removesuffix('.npy')} does not fit: {stored} and not {shape}")
        data = head.read() + stream.read()
    return np.frombuffer(data, dtype).reshape(stored, order="F" if fortran else "C")


def _inside(one: dict[str, Any] | list[Any], keys: bool) -> list[Any]:
    if isinstance(one, list):
        return one
    return [*one, *one.values()] if keys else list(one.values())


def _require_unicode(one: object) -> None:
    if isinstance(one, str):
        try:
            one.encode()
        except UnicodeEncodeError as error:
            raise ValueError("it holds half a character (a lone surrogate)") from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number of ordinary size")
    return value


def _whole(text: str) -> int:
    if len(text) > 40:  # transformers writes 10 ** 30 for "no limit" into tokenizer_config.json
        raise ValueError(f"{text[:20]}… is no number of ordinary size")
    return int(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
