"""Which of many writers' names are one person: those under which the same was written.

    who = persons({"anna": keys(["Hi!", ...]), "anna-2": keys(["hi!", ...]), "ben": ...})
    who["anna-2"]                                # "anna"

A community of ten people promises that ten people wrote it, so a person who is there under ten names is to count once.
Of 348 writers of a public corpus of chats (24 turns or more), the two most alike share 19 % of the one's different
messages. Not here: what a community is (cache/groups.py), what several names' files are (corpus/writers.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

SHARE = 0.5  # of a name's different messages that another's have to hold


def keys(texts: Iterable[str]) -> frozenset[int]:
    """A digest of each different text, whose case and spacing do not count."""
    plain = (" ".join(text.casefold().split()).encode("utf-8", "surrogatepass") for text in texts)
    return frozenset(int.from_bytes(hashlib.sha256(one).digest()[:8], "big") for one in plain)


def persons(written: Mapping[str, frozenset[int]]) -> dict[str, str]:
    """For each name the name that its person is counted under, which is its own for most.

    Names with more messages come first, and then in the order of the alphabet. One is another person unless at least
    SHARE of its messages are those of one person before it. Two who only share messages with a third stay two.

    Args:
        written: what `keys` says of all that was written under each name.
    """
    having: dict[int, list[str]] = {}  # the people who wrote a message
    same: dict[str, str] = {}
    for name in sorted(written, key=lambda name: (-len(written[name]), name)):
        own = written[name]
        enough = max(1, math.ceil(SHARE * len(own)))
        # whoever has enough of them has one of any len - enough + 1, of which the rarest lead to the fewest people
        rarest = sorted(own, key=lambda key: (len(having.get(key, ())), key))[: len(own) - enough + 1]
        near = {other for key in rarest for other in having.get(key, ())}
        shared = {other: len(own & written[other]) for other in near}
        nearest = min(shared, key=lambda other: (-shared[other], other), default=name)
        same[name] = nearest if shared.get(nearest, 0) >= enough else name
        if same[name] == name:
            for key in own:
                having.setdefault(key, []).append(name)
    return same
