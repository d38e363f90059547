"""Who published a cache, and whether it is the one known: signature, key pinned on first use, rollback, expiry.

    notes = check(source, data, told.get("published"))      # refuses, or says what is worth knowing

A publisher's key, the highest version seen under each name that is followed in a Hub repo (main, another branch, a
tag), and the latest day seen are kept in publishers.json below paths.data_dir(). The signature covers catalogue.json,
which holds the digest of every other file. A folder is the user's own: its signature must be right if there is one, and
nothing is remembered. Not here: the signatures themselves (cache/signing.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from xpert_cli import paths
from xpert_cli.cache import signing
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.foreign.data import read_object
from xpert_cli.hub.files import Source

SIGNATURE = "catalogue.json.minisig"
UNSIGNED = "unsigned"
_NEVER = "0001-01-01T00:00:00+00:00"
_SLACK = timedelta(days=2)  # that clocks and time zones may differ by


@dataclass(frozen=True)
class Published:
    """What a publisher says of one state of a cache.

    Attributes:
        key: the public key it is signed with; "" for none.
        version: larger for every later state.
        at, expires: UTC, ISO 8601; `expires` is "" for never.
    """

    key: str
    version: int
    at: str
    expires: str

    def __post_init__(self) -> None:
        sound = isinstance(self.version, int) and all(isinstance(t, str) for t in (self.key, self.at, self.expires))
        if not sound or (self.key and not signing.is_public(self.key)) or not (_time(self.at) and _time(self.expires)):
            raise CacheMismatch("catalogue.json tells its publisher wrongly. Get the cache anew, or use another.")


def published(fields: Mapping[str, Any] | None, where: str) -> Published | None:
    """What a catalogue's "published" says; None where it says nothing.

    Raises:
        CacheMismatch: it is not what a publisher writes.
    """
    if fields is None:
        return None
    try:
        return Published(**fields)
    except (TypeError, CacheMismatch) as error:
        raise CacheMismatch(
            f"{where}: catalogue.json tells its publisher wrongly. Get the cache anew, or use another."
        ) from error


def check(source: Source, data: bytes, by: Published | None, now: datetime | None = None) -> tuple[str, ...]:
    """Refuse a catalogue that is not its publisher's, or older than one seen before; what is worth knowing otherwise.

    Args:
        data: catalogue.json as it is.

    Raises:
        CacheMismatch: wrong or missing signature, another key than before, rolled back, or expired.
    """
    if source.revision is None:
        _signed(source, data, by, by.key if by else "")
        return ()
    with _publishers() as known:
        pinned = known.get(source.name, {})
        key = pinned.get("key") or (by.key if by else "")
        _signed(source, data, by, key)
        if not by or not key:
            return (f"{source.name} is not signed: whoever may write there decides what you get",)
        before = _versions(pinned).get(source.followed, 0)
        if by.version < before:
            raise CacheMismatch(
                f"{source.name} is at version {by.version}, and was at {before} before: somebody set it "
                f"back. Ask its publisher, or name the older commit: --cache {source.name}@{source.revision[:7]}"
            )
        latest = max(now or datetime.now(timezone.utc), _time(str(pinned.get("seen") or _NEVER)))
        if by.expires and latest > _time(by.expires):
            raise CacheMismatch(
                f"{source.name} expired on {by.expires[:10]}: its publisher does not stand by this state any more. "
                "Run again when online for a newer one, or ask its publisher."
            )
        if by.expires and _time(by.at) > latest + _SLACK:
            raise CacheMismatch(
                f"{source.name} was published on {by.at[:10]}, and this machine's clock says {latest:%Y-%m-%d}. "
                "Set the clock: whether the cache has expired cannot be told."
            )
        if source.followed:
            versions = {**_versions(pinned), source.followed: max(by.version, before)}
            main = versions.pop("main", 0)
            seen = {"seen": f"{latest:%Y-%m-%d}T00:00:00+00:00"} if by.expires or "seen" in pinned else {}
            known[source.name] = {"key": key, "version": main, **({"others": versions} if versions else {}), **seen}
        if pinned or not source.followed:
            return ()
        return (f"{source.name} is signed with the key {key}, and from now on has to be",)


def _versions(pinned: Mapping[str, Any]) -> dict[str, int]:
    """The highest version seen under each name that was followed."""
    others = pinned.get("others", {})
    versions = {"main": pinned.get("version", 0), **(others if isinstance(others, dict) else {})}
    return {name: version for name, version in versions.items() if isinstance(version, int)}


def _signed(source: Source, data: bytes, by: Published | None, key: str) -> None:
    """Refuse a catalogue that `key` has to have signed and has not."""
    if not key:
        return
    change = f"If its publisher says that this is right: xpert cache trust {source.name}"
    if not by or by.key != key:
        now = f"the key {by.key}" if by and by.key else "none"
        raise CacheMismatch(
            f"{source.name} was signed with the key {key}, and now with {now}. {change} {by.key if by else UNSIGNED}"
        )
    path = source.optional(SIGNATURE)
    if path is None:
        raise CacheMismatch(f"{source.name} has no signature ({SIGNATURE}). Get the cache anew, or use another.")
    try:
        signing.verify(data, path.read_bytes()[:4096].decode("utf-8", "replace"), key)
    except CacheMismatch as error:
        raise CacheMismatch(f"{source.name}: {SIGNATURE} does not fit catalogue.json: {error}") from error


def trust(repo: str, key: str) -> None:
    """Accept only a key for a Hub repo's catalogue from now on; UNSIGNED takes any, and none.

    Raises:
        BadInput: it is no public key.
    """
    if key != UNSIGNED and not signing.is_public(key):
        raise BadInput(f"{key!a} is no public key. It has 56 characters and begins with RW; or say {UNSIGNED}.")
    with _publishers() as known:
        known.pop(repo, None)
        if key != UNSIGNED:
            known[repo] = {"key": key, "version": 0}


@contextmanager
def _publishers() -> Iterator[dict[str, Any]]:
    """What is known of publishers, written back if it was changed; one process at a time."""
    from filelock import FileLock

    path = paths.writable(paths.data_dir(), "XPERT_HOME") / "publishers.json"
    with FileLock(path.with_suffix(".lock")):
        known = _read(path)
        before = json.dumps(known)
        yield known
        if json.dumps(known) != before:
            with paths.whole(path, "XPERT_HOME") as part:
                part.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return {str(name): dict(pin) for name, pin in read_object(path.read_bytes()).items()}
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{path}, which holds the keys you trust, is damaged. Remove it to trust every publisher anew."
        ) from error


def _time(text: str) -> datetime:
    """A time as ISO 8601 tells it; the end of time for ""."""
    try:
        when = datetime.fromisoformat(text or "9999-12-31T00:00:00+00:00")
    except ValueError:
        raise CacheMismatch("catalogue.json tells a wrong time. Get the cache anew, or use another.") from None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
