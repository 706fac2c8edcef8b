"""A plan: what will run, in order, each action with its key. Values only: printable, hashable, JSON-able.

Nothing in a plan names a place on this host: trees, states and artifacts are named by action keys and digests, so
the same plan runs on a laptop, in a VM and on a farm.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contractor.core import digest
from contractor.core.fetch import Fetch
from contractor.core.values import Value
from contractor.spec.model import Limits, Step


class Checkout(Value, frozen=True):
    """What a source folder is a checkout of. It is in no key: what is built is the source's digest.

    url: of the remote, without credentials, or empty; folder: the source's, in the repository. changed: how many files
    are not as in the commit; patch: the sha256 of "PATH NUL BEFORE NUL AFTER NUL" of each of these, by path, where
    BEFORE and AFTER are a git mode, a space and a blob's digest, or nothing; empty when none is changed.
    """

    commit: str
    url: str
    folder: str
    changed: int
    patch: str


class Facts(Value, frozen=True):
    """What planning must know of the world; gathered once, before it.

    sources: the digest (path, url) or commit (git) of each source step, by its position in the list of resolved
    steps. customs: the digest of each custom action's executable. ids: "range", or "one" where files can have no
    owners. specification: the sha256 of its file. checkouts: of sources that are git checkouts, by position.
    """

    arch: str
    epoch: int
    epoch_origin: str
    ids: str = "range"
    parameters: dict[str, str] = {}
    matrix: dict[str, str] = {}
    sources: dict[int, str] = {}
    customs: dict[str, str] = {}
    specification: str = ""
    checkouts: dict[str, Checkout] = {}


class Action(Value, frozen=True):
    """One step, ready to run.

    inputs: what the key is made of, by field (kept with the result: it answers "why did this run again?").
    layers: the system tree below it, bottom first, each named by the key of the action that made it.
    before, after: the keys of the workspace's state; empty is an empty workspace.
    """

    kind: str
    step: Step
    key: str
    inputs: dict[str, Any]
    env: dict[str, str]
    hosts: tuple[str, ...]
    layers: tuple[str, ...]
    before: str
    after: str
    artifact: str = ""  # the key of the create-artifact action that it reads, or a digest
    arch: str = ""


class Held(Value, frozen=True):
    """How a step that installs packages is held to a lock; what its requests are answered with is in `replays`.

    pins: versions by name, for packages that may have no other; older: lines of sources.list that the replay alone
    answers (lock.py). packages: what it installs, name:arch=version. opened: it is being locked anew, so what the
    replay has no answer for is asked of the servers.
    """

    pins: dict[str, str] = {}
    older: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    opened: bool = False


class Plan(Value, frozen=True):
    """A build's actions, after those of the bases that it needs."""

    name: str
    arch: str
    epoch: int
    epoch_origin: str
    parameters: dict[str, str]
    matrix: dict[str, str]
    actions: tuple[Action, ...]
    limits: Limits
    diagnostics: tuple[str, ...] = ()
    bases: dict[str, Plan] = {}
    skipped: tuple[tuple[str, str], ...] = ()  # name of a step and why it is not in the plan
    file: str = ""
    lock: str = ""  # the path of the lock that is used
    locked: tuple[str, ...] = ()  # the keys of the actions that the lock covers
    unlocked: tuple[str, ...] = ()  # what there is a lock for, and the lock does not cover, in words
    replays: dict[str, tuple[Fetch, ...]] = {}  # by an action's key: what its requests are answered with
    held: dict[str, Held] = {}  # by an action's key
    expected: dict[str, str] = {}  # by a base's name: the digest that its artifact had when it was locked
    expected_tools: dict[str, str] = {}  # versions of the tools with which it was locked
    specification: str = ""  # the sha256 of its file
    checkouts: dict[str, Checkout] = {}  # by the position of a source's action, from "0"

    @property
    def digest(self) -> str:
        """What a bug report quotes."""
        return digest.of_bytes(encode(self))


def encode(plan: Plan) -> bytes:
    """Canonical JSON."""
    return digest.canonical(plan)


def decode(data: bytes) -> Plan:
    return msgspec.json.decode(data, type=Plan)
