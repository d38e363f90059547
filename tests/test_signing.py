"""Signatures in minisign's format, and what is made of them: keys pinned on first use, rollback, expiry."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from xpert_cli import paths
from xpert_cli.cache import signing, trust
from xpert_cli.cache.trust import Published, check, published
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub.files import Source

DATA = b'{"schema": 1}'
# What minisign itself wrote for a file holding "test", as its documentation shows it.
KNOWN_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
KNOWN = """untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
"""


def test_a_signature_of_minisigns_own_is_verified():
    assert signing.verify(b"test", KNOWN, KNOWN_KEY) == "timestamp:1633700835\tfile:test\tprehashed"


@pytest.mark.parametrize(
    ("data", "signature"),
    [
        (b"Test", KNOWN),
        (b"test", KNOWN.replace("file:test", "file:tent")),
        (b"test", KNOWN[:-9] + "BBBBBB==\n"),
        (b"test", ""),
        (b"test", "untrusted comment: x\nRUQ=\n"),
        (b"test", KNOWN.replace("RUQf6LRC", "RUQf6LRD")),
    ],
)
def test_anything_else_is_refused(data, signature):
    with pytest.raises(CacheMismatch):
        signing.verify(data, signature, KNOWN_KEY)


def test_a_key_is_kept_from_others_and_read_again(tmp_path):
    key = signing.make_key(tmp_path / "key")
    assert signing.read_key(tmp_path / "key") == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert len(key.public) == 56
    assert key.public.startswith("RW")
    assert signing.verify(DATA, signing.sign(DATA, key, "catalogue 7"), key.public).endswith("\tcatalogue 7")
    with pytest.raises(BadInput, match="is there already"):
        signing.make_key(tmp_path / "key")


def test_what_is_no_key_is_refused_with_the_way_to_one(tmp_path):
    (tmp_path / "key").write_text("untrusted comment: x\nAAAA\n")
    with pytest.raises(BadInput, match="xpert cache key"):
        signing.read_key(tmp_path / "key")
    for text in ("", "RW", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO", KNOWN_KEY + "A"):
        assert not signing.is_public(text)


class Repo(Source):
    """A Hub repo with a signature file."""

    def __init__(self, folder: Path, *, followed: str = "main") -> None:
        super().__init__("anna/styles", folder)
        self.revision, self.followed = "a" * 40, followed


@pytest.fixture
def signed(tmp_path):
    """A function that signs DATA as a version, by one of two keys; what the catalogue then says."""
    keys = [signing.make_key(tmp_path / name) for name in "ab"]

    def sign(version: int, key: int = 0, expires: str = "", data: bytes = DATA) -> Published:
        (tmp_path / trust.SIGNATURE).write_text(signing.sign(data, keys[key], f"catalogue {version}"))
        return Published(keys[key].public, version, "2026-11-01T00:00:00+00:00", expires)

    return sign


def test_the_first_key_seen_is_pinned(tmp_path, signed):
    repo = Repo(tmp_path)
    (note,) = check(repo, DATA, by := signed(3))
    assert note == f"anna/styles is signed with the key {by.key}, and from now on has to be"
    assert check(repo, DATA, signed(4)) == ()
    known = json.loads((paths.data_dir() / "publishers.json").read_text())
    assert known == {"anna/styles": {"key": by.key, "version": 4}}


def test_another_key_or_none_is_refused_until_the_user_says_so(tmp_path, signed):
    repo = Repo(tmp_path)
    check(repo, DATA, signed(3))
    other = signed(4, key=1)
    with pytest.raises(CacheMismatch, match=re.escape(f"xpert cache trust anna/styles {other.key}")):
        check(repo, DATA, other)
    with pytest.raises(CacheMismatch, match=r"now with none.*xpert cache trust anna/styles unsigned"):
        check(repo, DATA, None)
    trust.trust("anna/styles", other.key)
    assert check(repo, DATA, other) == ()
    trust.trust("anna/styles", "unsigned")
    assert check(repo, DATA, None) == ("anna/styles is not signed: whoever may write there decides what you get",)
    with pytest.raises(BadInput, match="is no public key"):
        trust.trust("anna/styles", "mine")


def test_a_catalogue_that_was_changed_or_lost_its_signature_is_refused(tmp_path, signed):
    repo, by = Repo(tmp_path), signed(3)
    with pytest.raises(CacheMismatch, match="the signature is not of these contents"):
        check(repo, DATA + b" ", by)
    (tmp_path / trust.SIGNATURE).unlink()
    with pytest.raises(CacheMismatch, match="has no signature"):
        check(repo, DATA, by)
    assert not (paths.data_dir() / "publishers.json").exists()


def test_an_older_version_is_refused_unless_it_is_named(tmp_path, signed):
    check(Repo(tmp_path), DATA, signed(4))
    with pytest.raises(CacheMismatch, match=r"is at version 3, and was at 4 before.*--cache anna/styles@aaaaaaa"):
        check(Repo(tmp_path), DATA, signed(3))
    assert check(Repo(tmp_path, followed=""), DATA, signed(3)) == ()
    assert check(Repo(tmp_path), DATA, signed(4)) == ()


@pytest.mark.parametrize("name", ["main", "stable", "v1", "refs/pr/3"])
def test_whatever_name_was_followed_is_not_set_back(tmp_path, signed, name):
    check(Repo(tmp_path, followed="other"), DATA, signed(9))
    check(Repo(tmp_path, followed=name), DATA, signed(4))
    with pytest.raises(CacheMismatch, match="is at version 3, and was at 4 before"):
        check(Repo(tmp_path, followed=name), DATA, signed(3))
    assert check(Repo(tmp_path, followed=name), DATA, signed(5)) == ()
    assert check(Repo(tmp_path, followed="third"), DATA, signed(1)) == ()  # its own history
    with pytest.raises(CacheMismatch, match="was at 9 before"):
        check(Repo(tmp_path, followed="other"), DATA, signed(8))


def test_what_an_earlier_xpert_remembered_still_counts(tmp_path, signed):
    by = signed(3)
    paths.data_dir().mkdir(parents=True)
    (paths.data_dir() / "publishers.json").write_text(json.dumps({"anna/styles": {"key": by.key, "version": 4}}))
    with pytest.raises(CacheMismatch, match="is at version 3, and was at 4 before"):
        check(Repo(tmp_path), DATA, by)
    (paths.data_dir() / "publishers.json").write_text('{"anna/styles": 7}')
    with pytest.raises(BadInput, match="is damaged"):
        check(Repo(tmp_path), DATA, by)


def test_a_clock_set_back_does_not_bring_an_expired_catalogue_back(tmp_path, signed):
    by, day = signed(1, expires="2026-12-01T00:00:00+00:00"), datetime(2026, 11, 30, tzinfo=timezone.utc)
    check(Repo(tmp_path), DATA, by, day)
    later = signed(2, expires="2027-06-01T00:00:00+00:00")
    check(Repo(tmp_path), DATA, later, day.replace(year=2027, month=5))
    trust_again = signed(3, expires="2026-12-01T00:00:00+00:00")
    with pytest.raises(CacheMismatch, match="expired on 2026-12-01"):
        check(Repo(tmp_path), DATA, trust_again, day)  # the clock was set back, and May 2027 was seen
    fresh = Repo(tmp_path)
    fresh.name = "anna/other"
    with pytest.raises(CacheMismatch, match=r"this machine's clock says 2001-01-01\. Set the clock"):
        check(fresh, DATA, by, datetime(2001, 1, 1, tzinfo=timezone.utc))


def test_expiry_is_honoured(tmp_path, signed):
    by, day = signed(1, expires="2026-12-01T00:00:00+00:00"), datetime(2026, 11, 30, tzinfo=timezone.utc)
    assert len(check(Repo(tmp_path), DATA, by, day)) == 1
    with pytest.raises(CacheMismatch, match="anna/styles expired on 2026-12-01"):
        check(Repo(tmp_path), DATA, by, day.replace(month=12, day=2))


def test_a_folder_is_the_users_own_but_its_signature_must_fit(tmp_path, signed):
    folder = Source("mine", tmp_path)
    assert check(folder, DATA, None) == ()
    assert check(folder, DATA, signed(1)) == ()
    with pytest.raises(CacheMismatch, match=r"does not fit catalogue\.json"):
        check(folder, DATA, signed(1, data=b"other"))
    assert not (paths.data_dir() / "publishers.json").exists()


@pytest.mark.parametrize(
    "told",
    [
        {"key": "", "version": 1, "at": ""},
        {"key": "", "version": "1", "at": "", "expires": ""},
        {"key": "mine", "version": 1, "at": "", "expires": ""},
        {"key": "", "version": 1, "at": "", "expires": "soon"},
        {"key": "", "version": 1, "at": "", "expires": "", "more": 1},
        [1],
    ],
)
def test_a_publisher_told_wrongly_is_refused(told):
    with pytest.raises(CacheMismatch, match=r"anna/styles: catalogue\.json tells its publisher wrongly"):
        published(told, "anna/styles")
