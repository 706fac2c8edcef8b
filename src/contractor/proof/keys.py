"""ed25519 keys as values: ids, the PEM forms of RFC 8410, and the trust file. Pure; keyring.py has the folder.

A public key is written as a line with its name and a PEM block that `openssl pkey -pubin` reads:

    name: ada@laptop
    valid-until: 2027-12-31
    -----BEGIN PUBLIC KEY-----
    MCowBQYDK2VwAyEA...
    -----END PUBLIC KEY-----

The second line need not be there: it is the last day (UTC) on which what the key signs counts. A trust file is any
number of these, with empty lines and `# comments` between them: what `contractor keys export` writes is one, and
several are joined with `cat`. A key's id is the sha256 of its SubjectPublicKeyInfo in DER:
`openssl pkey -pubin -in FILE -outform DER | sha256sum`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping

from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.core.values import Value

_PUBLIC = bytes.fromhex("302a300506032b6570032100")  # what stands before the 32 bytes: RFC 8410, section 4
_PRIVATE = bytes.fromhex("302e020100300506032b657004220420")  # and section 7, without attributes
_LENGTH = 32
_DAY = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}\Z")

Keys = Mapping[str, "PublicKey"]  # by id


class PublicKey(Value, frozen=True):
    """data: the 32 bytes of RFC 8032. until: the last day on which what it signs counts, "" for always."""

    name: str
    data: bytes
    until: str = ""

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return digest.of_bytes(_PUBLIC + self.data)

    def counts_at(self, moment: str) -> bool:
        """Whether what it signed then counts. moment: a day, or a time that begins with one (RFC 3339, UTC)."""
        return not self.until or (_DAY.match(moment) is not None and moment[:10] <= self.until)


def by_id(keys: Iterable[PublicKey]) -> dict[str, PublicKey]:
    return {key.id: key for key in keys}


def require_name(name: str) -> str:
    """A name that can be a file's; Rejected else."""
    if not NAME.match(name):
        raise Rejected(
            f"{name!r} cannot be a key's name",
            hint="1 to 64 letters, digits and @ . _ + -, the first a letter or digit: release-2026, ada@laptop",
        )
    return name


def require_day(text: str) -> str:
    """A day as YYYY-MM-DD; Rejected else."""
    if not _DAY.fullmatch(text):
        raise Rejected(f"{text[:80]!r} is not a day", hint="write it as 2027-12-31")
    return text


def public_text(key: PublicKey) -> str:
    """A key as it stands in a trust file."""
    until = f"valid-until: {key.until}\n" if key.until else ""
    return f"name: {key.name}\n{until}{_pem('PUBLIC KEY', _PUBLIC + key.data)}"


def private_text(data: bytes) -> str:
    """A private key (32 bytes) as PEM."""
    return _pem("PRIVATE KEY", _PRIVATE + data)


def read_private(text: str, path: str) -> bytes:
    """The 32 bytes of a private key's file; Rejected for every other kind of key."""
    lines = text.split()
    inner = text.replace("-----BEGIN PRIVATE KEY-----", "").replace("-----END PRIVATE KEY-----", "")
    if "ENCRYPTED" in lines:
        raise Rejected(f"{path} is encrypted", hint="keys with a passphrase are not supported: encrypt the disk")
    return _unwrapped(inner, _PRIVATE, path, "private")


def parse(text: str, path: str) -> list[PublicKey]:
    """The keys of a trust file; Rejected, with the line, for what is no such file. The same key twice is one key."""
    found: dict[str, PublicKey] = {}
    for key in _parsed(text, path):
        found.setdefault(key.id, key)
    return list(found.values())


def _parsed(text: str, path: str) -> Iterator[PublicKey]:
    name, until, block, begun = "", "", "", 0
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line == "-----BEGIN PUBLIC KEY-----" and not begun:
            begun = number
        elif line == "-----END PUBLIC KEY-----" and begun:
            yield PublicKey(name or "unnamed", _unwrapped(block, _PUBLIC, f"{path}:{begun}", "public"), until)
            name, until, block, begun = "", "", "", 0
        elif begun:
            block += line
        elif line.startswith("name:"):
            name = line.removeprefix("name:").strip()
            if not NAME.match(name):
                raise Rejected(f"{path}:{number}: {name[:80]!r} cannot be a key's name", hint=_HINT)
        elif line.startswith("valid-until:"):
            until = line.removeprefix("valid-until:").strip()
            if not _DAY.fullmatch(until):
                raise Rejected(f"{path}:{number}: {until[:80]!r} is not a day", hint="write it as 2027-12-31")
        elif line and not line.startswith("#"):
            raise Rejected(f"{path}:{number}: neither a name nor a public key", hint=_HINT)
    if begun:
        raise Rejected(f"{path}:{begun}: the public key has no end", hint=_HINT)


_HINT = "`contractor keys export` writes a file of the right form"


def _unwrapped(text: str, prefix: bytes, path: str, kind: str) -> bytes:
    joined = "".join(text.split())
    try:
        data = base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected(f"{path}: not a {kind} key: {error}", hint=_HINT) from error
    if base64.b64encode(data).decode() != joined:
        raise Rejected(f"{path}: not a {kind} key in canonical base64", hint=_HINT)
    if len(data) != len(prefix) + _LENGTH or not data.startswith(prefix):
        raise Rejected(f"{path}: not an ed25519 {kind} key", hint="other kinds of keys are not supported")
    return data[len(prefix) :]


def _pem(kind: str, data: bytes) -> str:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(data).decode()}\n-----END {kind}-----\n"
