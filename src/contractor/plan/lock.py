"""contractor.lock: which bytes the packages, references and bases of a specification are. Values, and a plan locked.

A step of debootstrap or apt is found by the key that it has without a lock: what it asks for, and in which tree. What
it was answered then (index files and packages, by URL and digest) is all that it gets: the lock is in its key, and so
in the keys of everything that is built on it.
"""

from __future__ import annotations

import msgspec

from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.core.fetch import Fetch
from contractor.core.values import Value
from contractor.plan.model import Plan
from contractor.plan.planner import base_artifact
from contractor.plan.rekey import Changed, rekey

LOCK_VERSION = 1
LOCKED_KINDS = ("debootstrap", "apt")


class Package(Value, frozen=True):
    """A Debian package. sha256 and url are empty when the step did not fetch it: it was in the tree already."""

    name: str
    version: str
    architecture: str
    sha256: str = ""
    url: str = ""


class Answered(Value, frozen=True):
    """What a URL answered: status, the body's bytes and sha256, and the headers that matter."""

    url: str
    status: int
    size: int
    sha256: str
    headers: tuple[tuple[str, str], ...] = ()


class LockedStep(Value, frozen=True):
    """ask: the step's key without a lock; base: the base that it belongs to, or empty."""

    name: str
    kind: str
    arch: str
    ask: str
    base: str = ""
    packages: tuple[Package, ...] = ()
    answers: tuple[Answered, ...] = ()

    @property
    def digest(self) -> str:
        """What goes into the step's key: the bytes that it gets, not when or how they came."""
        return digest.of_value([[answer.url, answer.status, answer.sha256] for answer in self.answers])

    def fetches(self) -> tuple[Fetch, ...]:
        return tuple(
            Fetch("GET", a.url, "allowed", a.status, a.size, a.sha256, kept=True, headers=a.headers)
            for a in self.answers
        )


class LockedSource(Value, frozen=True):
    """A git reference and the commit that it was."""

    url: str
    ref: str
    commit: str


class Lock(Value, frozen=True):
    """steps are in the order of the plans, those of bases first. tools: versions that took part, for people."""

    name: str
    steps: tuple[LockedStep, ...]
    sources: tuple[LockedSource, ...] = ()
    bases: dict[str, str] = {}  # name -> the digest of its artifact
    tools: dict[str, str] = {}
    version: int = LOCK_VERSION

    def commit_of(self, url: str, ref: str) -> str:
        """The commit of a reference; "" when it is not locked."""
        return next((source.commit for source in self.sources if (source.url, source.ref) == (url, ref)), "")


def encode(lock: Lock) -> bytes:
    """As a file: JSON that people can read and that differs by lines."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=1) + b"\n"


def decode(data: bytes, path: str) -> Lock:
    """Rejected, naming the file, when it is none of ours."""
    try:
        lock = msgspec.json.decode(data, type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"{path} is not a lock: {error}", hint="`contractor lock` writes a new one") from error
    if lock.version != LOCK_VERSION:
        raise Rejected(
            f"{path} has version {lock.version}, this Contractor knows {LOCK_VERSION}", hint="`contractor lock` again"
        )
    return lock


def locked_plan(plan: Plan, lock: Lock) -> tuple[Plan, tuple[str, ...]]:
    """The plan with the lock's bytes in its keys, and what the lock does not cover, in words."""
    missing: list[str] = []
    others: dict[str, str] = {}
    bases = {}
    for name, base in plan.bases.items():
        bases[name], gone = locked_plan(base, lock)
        others[base_artifact(base).key] = base_artifact(bases[name]).key
        missing += [f"base {name}: {text}" for text in gone]
    steps = {step.ask: step for step in lock.steps}
    extra: dict[int, dict[str, str]] = {}
    for position, action in enumerate(plan.actions):
        if action.kind in LOCKED_KINDS:
            if action.key in steps:
                extra[position] = {"lock": steps[action.key].digest}
            else:
                missing.append(_drift(action.step.name, action.kind, lock))
    made = rekey(plan, Changed(others=others, extra=extra))
    replays = {made.actions[position].key: steps[plan.actions[position].key].fetches() for position in extra}
    return msgspec.structs.replace(made, bases=bases, replays=replays), tuple(missing)


def _drift(name: str, kind: str, lock: Lock) -> str:
    near = [step for step in lock.steps if step.name == name and step.kind == kind]
    if near:
        return f"step {name!r} asks for something else, or in another tree, than what was locked"
    return f"step {name!r} is not in the lock"
