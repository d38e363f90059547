"""What a run decides by measuring, such as threads and number type, decided once and repeated by the same call.

    layout = decided("layout", identity, measure)      # measure() the first time, the same answer afterwards

Timings differ with what else the machine does, and another layout sums in another order: without this, one call made
twice could give two adapters. Only digests and numbers are kept, in the data folder. Not here: the state of a run
(training/checkpoints.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress

from xpert_cli import paths
from xpert_cli.errors import CannotWrite

Json = Mapping[str, object]


def decided(kind: str, identity: Json, decide: Callable[[], Json], usable: Callable[[Json], bool]) -> Json:
    """The decision that was made for this identity before, or a new one, which is kept.

    Args:
        identity: all that the decision follows from, but for what the machine is doing at the moment.
        usable: whether an earlier decision can be repeated now.
    """
    name = hashlib.sha256(json.dumps([kind, identity], sort_keys=True).encode()).hexdigest()
    path = paths.data_dir() / "decisions" / f"{kind}-{name[:32]}.json"
    with suppress(OSError, ValueError):
        earlier = json.loads(path.read_text("utf-8"))
        if isinstance(earlier, dict) and usable(earlier):
            return earlier
    decision = decide()
    with suppress(CannotWrite), paths.whole(path) as part:  # it will be measured again, that is all
        part.write_text(json.dumps(decision), "utf-8")
    return decision
