"""How well other summarizers than the base describe: fewer probes and users, since a large one reads slowly.

    records = compared(reader, level, [Path("qwen2.5-1.5b.gguf")])

Not here: the paper's two-answer question (algorithm1.py), adapters compared at the source, which asks no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _candidates import STYLES, Level, Reader, say
from _choosing import confusion, directions, users

from xpert_cli.cache.build import build_space
from xpert_cli.style.space import Readings, measured

PROBES, POOL = 20, 30  # answers of an adapter, and test rows of a style, that are asked about
USERS, SAMPLES = 10, 20


def compared(reader: Reader, level: Level, summarizers: Sequence[Path]) -> list[dict[str, Any]]:
    """Who is ranked first by answers, with the base as summarizer and with others: by all axes, by described ones."""
    bench, said = reader.bench, reader.answers(level)
    draws = users(USERS, SAMPLES, POOL)
    records = []
    for path in (bench.base, *summarizers):
        say(f"asking {path.stem}")
        asked = Reader(bench, reader.out, path)
        axes, basis = asked.axes
        counted = measured(axes)
        answers = [Readings(asked.readings("answers", some[:PROBES])) for some in said]
        space, adapters, _ = build_space(axes, basis, answers, [None] * len(STYLES))
        tests = [[m.response for m in bench.rows(f"{style}_test")[:POOL]] for style in STYLES]
        pools = [asked.readings("test", some) for some in tests]
        found = np.array([[Readings(pools[style][rows]).mean for rows in some] for style, some in enumerate(draws)])
        for kind, keep in (("all", np.ones_like(counted)), ("described", ~counted)):
            part = space.only(keep)
            shifts = part.shift(found[..., keep], writing=True)
            counts = confusion(directions(shifts, adapters[:, keep], part))
            records.append(
                {
                    "level": level.similarity,
                    "summarizer": path.stem,
                    "megabytes": round(path.stat().st_size / 1e6),
                    "axes": kind,
                    "counts": counts.astype(int).tolist(),
                }
            )
    return records
