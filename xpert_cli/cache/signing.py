"""Signatures of small files, in the format of minisign (https://jedisct1.github.io/minisign): Ed25519, plain keys.

    key = make_key(path)                                  # a secret key in a file of its own
    path.with_name("catalogue.json.minisig").write_text(sign(data, key, comment="catalogue 7"))
    verify(data, signature, public)                       # raises CacheMismatch, or says the trusted comment

`minisign -Vm catalogue.json -P KEY` accepts them too. Secret keys are kept unencrypted, readable by their owner alone,
as `minisign -G -W` writes them. Not here: which key is trusted (cache/trust.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli import paths
from xpert_cli.errors import BadInput, CacheMismatch

_PREHASHED = b"ED"  # Ed25519 over BLAKE2b-512 of the data
_ALGORITHM = b"Ed"


@dataclass(frozen=True)
class Key:
    """A secret signing key: its 8-byte number and its 32-byte Ed25519 seed."""

    number: bytes
    seed: bytes

    @property
    def public(self) -> str:
        """The public key as minisign writes it: 56 characters of base64."""
        return _base64(_ALGORITHM + self.number + _public_bytes(self.seed))


def make_key(path: Path) -> Key:
    """A new secret key, written to `path`, which must not exist.

    Raises:
        BadInput: there is a file of that name.
    """
    if path.exists() or path.is_symlink():
        raise BadInput(f"{path} is there already. Remove it first if its caches shall no longer be signed with it.")
    key = Key(secrets.token_bytes(8), secrets.token_bytes(32))
    pair = key.seed + _public_bytes(key.seed)
    checksum = hashlib.blake2b(_ALGORITHM + key.number + pair, digest_size=32).digest()
    body = _ALGORITHM + b"\0\0" + b"B2" + bytes(32 + 8 + 8) + key.number + pair + checksum
    with paths.whole(path) as part:
        part.write_text(f"untrusted comment: minisign unencrypted secret key\n{_base64(body)}\n", "utf-8")
    return key


def read_key(path: Path) -> Key:
    """The secret key in a file.

    Raises:
        BadInput: it holds none, or one that is encrypted.
    """
    body = _decoded(paths.text(path).splitlines(), 1)
    if len(body) != 158 or body[:2] != _ALGORITHM:
        raise BadInput(f"{path} is no minisign secret key. Make one with: xpert cache key")
    if body[2:4] != b"\0\0":
        raise BadInput(f"{path} is encrypted. Use a key without a password: xpert cache key, or minisign -G -W")
    return Key(body[54:62], body[62:94])


def sign(data: bytes, key: Key, comment: str) -> str:
    """The signature file of `data`; `comment` is signed with it."""
    private = _ed25519().Ed25519PrivateKey.from_private_bytes(key.seed)
    signature = private.sign(hashlib.blake2b(data).digest())
    trusted = f"timestamp:{int(time.time())}\t{comment}"
    return "\n".join(
        [
            f"untrusted comment: verify with minisign -P {key.public}",
            _base64(_PREHASHED + key.number + signature),
            f"trusted comment: {trusted}",
            _base64(private.sign(signature + trusted.encode())),
            "",
        ]
    )


def verify(data: bytes, signature: str, public: str) -> str:
    """Check a signature file against data and public key; its trusted comment.

    Raises:
        CacheMismatch: it is not a signature of this data by this key.
    """
    lines = signature.splitlines()
    key, signed, whole = _decoded([public], 0), _decoded(lines, 1), _decoded(lines, 3)
    comment = lines[2].removeprefix("trusted comment: ") if len(lines) > 2 else ""
    if len(key) != 42 or len(signed) != 74 or len(whole) != 64 or signed[:2] not in (_PREHASHED, _ALGORITHM):
        raise CacheMismatch("this is no signature that minisign would read. Get the cache anew, or use another.")
    if signed[2:10] != key[2:10]:
        raise CacheMismatch(f"it is signed with the key {signed[2:10].hex()}, not with {key[2:10].hex()}.")
    message = hashlib.blake2b(data).digest() if signed[:2] == _PREHASHED else data
    try:
        checked = _ed25519().Ed25519PublicKey.from_public_bytes(key[10:])
        checked.verify(signed[10:], message)
        checked.verify(whole, signed[10:] + comment.encode())
    except _invalid() as error:
        raise CacheMismatch("the signature is not of these contents. Get the cache anew, or use another.") from error
    return comment


def is_public(key: str) -> bool:
    """Whether a text is a public key."""
    body = _decoded([key], 0)
    return len(body) == 42 and body[:2] == _ALGORITHM


def _public_bytes(seed: bytes) -> bytes:
    private = _ed25519().Ed25519PrivateKey.from_private_bytes(seed)
    return bytes(private.public_key().public_bytes_raw())


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise BadInput(
            "a signed cache is checked with the package cryptography, which is missing. "
            "Install it with: pip install cryptography (Termux: pkg install python-cryptography)"
        ) from error
    return ed25519


def _invalid() -> type[Exception]:
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(lines: list[str], index: int) -> bytes:
    """The bytes that a line holds in base64; none where there is no such line."""
    try:
        return base64.b64decode(lines[index].strip(), validate=True)
    except (IndexError, binascii.Error, ValueError):
        return b""
