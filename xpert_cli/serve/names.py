"""Model names, and the adapters that they stand for.

    names = Names(base, cache)
    names.adapters("cache:terse=0.6+cache:warm=0.4")     # two adapters, weighted

| name                | model                                                          |
|---------------------|----------------------------------------------------------------|
| base                | the base model alone                                           |
| me                  | the newest finished run that was trained on this base          |
| run:NAME            | a finished run                                                 |
| cache:ID            | an adapter of the cache that is on this machine                |
| A=0.6+B=0.4         | several of them at weights                                     |
| an alias            | what it stands for (aliases.py)                                |

Not here: how names are shown (serve/app.py), how an adapter is tried (cache/screening.py).
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xpert_cli import aliases
from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.opening import adapter_path, is_file_name, mixture
from xpert_cli.cache.screening import admitted
from xpert_cli.errors import BadInput, XpertError
from xpert_cli.foreign.numbers import number
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter, called
from xpert_cli.llama.slots import AdapterSet
from xpert_cli.paths import identity
from xpert_cli.runs import NEWEST, Run, finished_runs
from xpert_cli.serve.api import ApiError

BASE, ME = "base", "me"
MOST_PARTS = 8  # adapters in a mixture
MOST_WEIGHT = 4.0  # of an adapter; at more than two or three a model writes noise


@dataclass(frozen=True)
class Known:
    """A name that can be asked for; `file` is its adapter, None for the base and for aliases."""

    name: str
    created: int
    file: Path | None
    what: str


class Names:
    """The models of a server: one base, the user's runs on it, and a cache's adapters.

    Args:
        cache: None where there is none for this base.
    """

    def __init__(self, base: BaseModel, cache: OpenCache | None) -> None:
        self.base, self.cache, self.fingerprint, self.base_name = base, cache, base.fingerprint, called(base.info.name)
        self._created = int(base.path.stat().st_mtime)
        self._lock = threading.Lock()
        self._admitted: dict[tuple[str, int, int], AdapterFile] = {}
        self._scales: dict[str, float] | None = None  # what POST /lora-adapters set, by name

    def runs(self) -> list[Run]:
        """The finished runs on this base, the newest first."""
        return [run for run in finished_runs() if run.fingerprint == self.fingerprint]

    def known(self) -> list[Known]:
        """All names but mixtures: `me`, the base, runs, the cache's adapters that are on this machine."""
        runs = self.runs()
        names = [Known(BASE, self._created, None, self.base_name)]
        if runs:
            names.insert(0, Known(ME, int(runs[0].written), runs[0].adapter, f"the newest run, {runs[0].name}"))
        names += [Known(f"run:{run.name}", int(run.written), run.adapter, f"a run of {run.when}") for run in runs]
        if self.cache is not None:
            for entry in self.cache.at_hand():
                if (path := self.cache.here(entry)) is not None:
                    names.append(Known(f"cache:{entry.id}", int(path.stat().st_mtime), path, entry.explanation))
        for alias, meaning in aliases.all_aliases().items():
            with suppress(ApiError):  # it stands for something of another base, or for a base
                self._parts(alias)
                names.append(Known(alias, self._created, None, f"stands for {meaning}"))
        return names

    def files(self) -> list[tuple[str, Path, float]]:
        """What /lora-adapters lists: name, file and scale in the default model, numbered by their place."""
        named = {one.name: one.file for one in self.known() if one.file is not None and one.name != ME}
        scales = self._default_scales()
        return [(name, path, scales.get(name, 0.0)) for name, path in named.items()]

    def set_default(self, scales: tuple[tuple[int, float], ...]) -> None:
        """Make adapters, by their numbers in `files`, at scales the default model; those not named have scale 0.

        Raises:
            ApiError: there is no such number.
        """
        self._scales = {name: weight for name, weight in self._numbered(scales) if weight}

    def numbered(self, scales: tuple[tuple[int, float], ...]) -> AdapterSet:
        """The adapters of a request's `lora`.

        Raises:
            ApiError: there is no such number, or an adapter cannot be used.
        """
        return tuple(WeightedAdapter(self._file(name), weight) for name, weight in self._numbered(scales) if weight)

    def adapters(self, model: str) -> AdapterSet:
        """The adapters of a model's name; "" is the default model.

        Raises:
            ApiError: there is no such model, or an adapter cannot be used.
        """
        if model in ("", "default"):
            parts = tuple(self._default_scales().items())
        elif model in (BASE, self.base_name, self.base.path.stem):
            return ()
        else:
            parts = self._parts(model)
        return tuple(WeightedAdapter(self._file(name), weight) for name, weight in parts if weight)

    def _default_scales(self) -> dict[str, float]:
        if self._scales is not None:
            return self._scales
        runs = self.runs()
        return {f"run:{runs[0].name}": 1.0} if runs else {}

    def _numbered(self, scales: tuple[tuple[int, float], ...]) -> list[tuple[str, float]]:
        files = self.files()
        for at, weight in scales:
            if not 0 <= at < len(files):
                raise ApiError(400, f"There is no adapter {at}. GET /lora-adapters lists them.", param="id")
            if abs(weight) > MOST_WEIGHT:
                raise ApiError(400, f"A scale must lie between -{MOST_WEIGHT:g} and {MOST_WEIGHT:g}.", param="scale")
        return [(files[at][0], weight) for at, weight in scales]

    def _parts(self, model: str) -> tuple[tuple[str, float], ...]:
        """Names and weights of a mixture, or of one model at weight 1."""
        if self._path(model) is not None:
            return ((model, 1.0),)
        parts: list[tuple[str, float]] = []
        for part in model.split("+"):
            name, sign, tail = part.strip().rpartition("=")
            weight = _weight(tail) if sign else 1.0
            for meaning, share in self._meant(name if sign else part.strip()):
                scale = weight * share
                if math.isnan(scale) or abs(scale) > MOST_WEIGHT or (meaning != BASE and self._path(meaning) is None):
                    raise self._unknown(model)
                if meaning != BASE:
                    parts.append((meaning, scale))
        if len(parts) > MOST_PARTS:
            raise ApiError(400, f"A mixture has at most {MOST_PARTS} adapters.", param="model")
        return tuple(parts)

    def _meant(self, name: str) -> list[tuple[str, float]]:
        """What a part of a mixture stands for: itself, or what an alias does, in the server's own words for it."""
        meaning = aliases.target(name)
        if meaning is None:
            return [(name, 1.0)]
        try:
            parts = mixture(meaning)
        except BadInput as error:  # config.ini was edited by hand
            raise ApiError(400, f"{name} cannot be used: {error}", param="model") from error
        return [(self._own(part), weight) for part, weight in parts]

    def _named_files(self) -> set[str]:
        """The files that aliases stand for."""
        files: set[str] = set()
        for meaning in aliases.all_aliases().values():
            with suppress(BadInput):
                files.update(part for part, _ in mixture(meaning) if is_file_name(part))
        return files

    def _own(self, name: str) -> str:
        """What the command line calls an adapter, with `run:`, `cache:` or `file:` before it, or `me`."""
        if name in NEWEST:
            return ME
        if is_file_name(name):
            return f"file:{name}"
        if ":" in name:
            return name
        return f"run:{name}" if self._path(f"run:{name}") is not None else f"cache:{name}"

    def _unknown(self, model: str) -> ApiError:
        message = (
            f"The model {model[:120]!r} does not exist here. GET /v1/models lists what does; "
            "a mixture is written run:NAME=0.6+cache:ID=0.4."
        )
        return ApiError(404, message, code="model_not_found", param="model")

    def _path(self, name: str) -> Path | None:
        """The file that a name stands for, None if there is none."""
        kind, _, rest = name.partition(":")
        if name in NEWEST or kind == "run":
            runs = self.runs()
            return next((run.adapter for run in runs if name in NEWEST or rest in (run.name, run.folder.name)), None)
        if kind == "file":  # that the user gave an alias to; no client opens another
            return adapter_path(rest) if rest in self._named_files() and Path(rest).exists() else None
        if kind != "cache" or self.cache is None:
            return None
        return self.cache.here(self.cache.entry(rest)) if self.cache.has(rest) else None

    def _file(self, name: str) -> AdapterFile:
        """The adapter of a name, checked and tried once before llama.cpp loads it here."""
        path = self._path(name)
        if path is None:
            raise self._unknown(name)
        try:
            with self._lock:  # one trial at a time
                key = identity(path)
                if key not in self._admitted:
                    if name.startswith("cache:") and self.cache is not None:
                        adapter = self.cache.open_adapter(name.removeprefix("cache:"))  # which verifies it
                    else:
                        adapter = AdapterFile.open(path)
                    self._admitted[key] = admitted(adapter, self.base)
                return self._admitted[key]
        except (XpertError, OSError) as error:
            raise ApiError(400, f"{name} cannot be used: {error}", param="model") from error


def _weight(text: str) -> float:
    try:
        return number(text, -MOST_WEIGHT, MOST_WEIGHT)
    except ValueError:
        return math.nan
