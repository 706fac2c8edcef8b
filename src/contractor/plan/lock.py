"""contractor.lock: which bytes the packages, references and bases of a specification are. Values, and their file.

A step of debootstrap or apt is found by what it asks for, and in which tree: the key that it has without a lock. What
it was answered then (index files and packages, by URL and digest) is all that it gets: see locked.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.core.fetch import Fetch
from contractor.core.values import Value

LOCK_VERSION = 1
LOCKED_KINDS = ("debootstrap", "apt")
OLDER = "http://locked.invalid/"  # earlier states of archives, which the lock alone answers (RFC 2606: nobody's name)

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*\Z")
_VERSION = re.compile(r"[0-9A-Za-z.+~:-]+\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_SOURCE_LINE = re.compile(r"deb http://[a-z0-9.-]+(:[0-9]+)?/[!-~]+( [!-~]+){1,20}\Z")


class Package(Value, frozen=True):
    """A Debian package that the step fetched."""

    name: str
    version: str
    architecture: str
    sha256: str
    url: str


class Answered(Value, frozen=True):
    """What a URL answered: status, the body's bytes and sha256, and the headers that matter."""

    url: str
    status: int
    size: int
    sha256: str
    headers: tuple[tuple[str, str], ...] = ()


class LockedStep(Value, frozen=True):
    """ask: the step's key without a lock, on a machine where files have owners; asked: what that key was made of.

    base: the base that the step belongs to, or empty. pins, older: what held back the packages that were not to move
    when only some were updated: versions by name, and lines of sources.list that name earlier states of the archive,
    which are answered from the lock alone.
    """

    name: str
    kind: str
    arch: str
    ask: str
    asked: dict[str, Any]
    base: str = ""
    packages: tuple[Package, ...] = ()
    answers: tuple[Answered, ...] = ()
    pins: dict[str, str] = {}
    older: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What goes into the step's key: the bytes that it gets, not when or how they came."""
        bytes_ = [[answer.url, answer.status, answer.sha256] for answer in self.answers]
        return digest.of_value([bytes_, self.pins, self.older] if self.older or self.pins else bytes_)

    def fetches(self) -> tuple[Fetch, ...]:
        return tuple(
            Fetch("GET", a.url, "allowed", a.status, a.size, a.sha256, kept=True, headers=a.headers)
            for a in self.answers
        )

    def installed(self) -> tuple[str, ...]:
        """Its packages as dpkg's list has them: name:arch=version."""
        return tuple(f"{p.name}:{p.architecture}={p.version}" for p in self.packages)


class LockedSource(Value, frozen=True):
    """A git reference and the commit that it was."""

    url: str
    ref: str
    commit: str


class LockedFile(Value, frozen=True):
    """A download whose digest the specification says: for who wants to know all that a build takes."""

    url: str
    sha256: str


class LockedBase(Value, frozen=True):
    """A base and the digest of its artifact."""

    name: str
    arch: str
    digest: str


class Lock(Value, frozen=True):
    """steps are in the order of the plans, those of bases first. tools: versions that took part, for people."""

    name: str
    steps: tuple[LockedStep, ...] = ()
    sources: tuple[LockedSource, ...] = ()
    files: tuple[LockedFile, ...] = ()
    bases: tuple[LockedBase, ...] = ()
    tools: dict[str, str] = {}
    version: int = LOCK_VERSION

    def commit_of(self, url: str, ref: str) -> str:
        """The commit of a reference; "" when it is not locked."""
        return next((source.commit for source in self.sources if (source.url, source.ref) == (url, ref)), "")

    def base(self, name: str, arch: str) -> str:
        """The digest of a base's artifact; "" when it is not locked."""
        return next((base.digest for base in self.bases if (base.name, base.arch) == (name, arch)), "")


def encode(lock: Lock) -> bytes:
    """As a file: JSON that people can read and that differs by lines."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=1) + b"\n"


def decode(data: bytes, path: str) -> Lock:
    """Rejected, naming the file, when it is none of ours."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.version != LOCK_VERSION:
            raise Rejected(
                f"{path} has version {head.version}, this Contractor knows {LOCK_VERSION}",
                hint="use the Contractor that wrote it; or `contractor lock --update` writes a new one",
            )
        lock = msgspec.json.decode(data, type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(
            f"{path} is not a lock: {error}",
            hint="take it from version control again; or remove it, and `contractor lock` writes a new one",
        ) from error
    for trouble in _troubles(lock):
        raise Rejected(f"{path} is damaged: {trouble}", hint="take it from version control again")
    return lock


class _Head(msgspec.Struct):
    version: int


def _troubles(lock: Lock) -> Iterator[str]:
    """What cannot be: names that become lines of apt's configuration, and digests that become paths."""
    digests = [(f"the base {base.name}", base.digest) for base in lock.bases]
    digests += [(file.url, file.sha256) for file in lock.files]
    for step in lock.steps:
        digests += [(answer.url, answer.sha256) for answer in step.answers]
        digests += [(package.name, package.sha256) for package in step.packages]
        for name, version in (*step.pins.items(), *((package.name, package.version) for package in step.packages)):
            if not _NAME.match(name) or not _VERSION.match(version):
                yield f"{name[:80]!r} in version {version[:80]!r} is no package"
        for line in step.older:
            if not _SOURCE_LINE.match(line):
                yield f"{line[:80]!r} is no line of sources.list"
    for what, text in digests:
        if not digest.is_digest(text):
            yield f"{what[:80]!r} has the digest {text[:80]!r}, which is none"
    for source in lock.sources:
        if not _COMMIT.match(source.commit):
            yield f"{source.url[:80]!r} has the commit {source.commit[:80]!r}, which is none"
        elif _COMMIT.match(source.ref) and source.ref != source.commit:
            yield f"the commit {source.ref} of {source.url[:80]!r} is another one in it, {source.commit}"


def original_url(url: str) -> str:
    """Where what is below OLDER once came from; any other URL is itself."""
    if not url.startswith(OLDER):
        return url
    return "http://" + url.removeprefix(OLDER).partition("/")[2]
