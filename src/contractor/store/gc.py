"""Take out of the store what is no longer needed. Works on a full disk: nothing is written, and files go first.

    1. what a crash left goes at once: nobody can ask for it, so no lock is needed
    2. under locks/gc, which every look-up and every pinning shares: choose (gc_choice.py), take the results' names
       away, then move what they named out of the way: files and records into trash/, layers to layers/<ids>/.gc-*
    3. without the lock: remove what was moved; what is left of it after a kill is what a crash left
    4. note what went (collected.py), if there is room for it

A layer is renamed in its own folder, for moving a directory of another owner to a new parent needs that owner's rights.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from contractor.core.errors import Broken
from contractor.core.values import Value
from contractor.store.collected import remember
from contractor.store.gc_account import Account, account
from contractor.store.gc_builds import Builds
from contractor.store.gc_choice import Choice, choose
from contractor.store.gc_model import Thing
from contractor.store.gc_policy import Policy, Rules
from contractor.store.gc_survey import Leftover, Measure, boot_id, layer_sizes, leftovers, survey
from contractor.store.layout import Store, locked

__all__ = ["Policy", "Removed", "Report", "Tools", "choosing", "collect", "look"]

_WAITING = "builds to finish looking up what is in the store"


class Tools(NamedTuple):
    """What needs the rights of other owners. remove: names in a folder, returns what could not be removed."""

    remove: Callable[[str, list[str]], list[str]]
    measure: Measure


class Removed(Value, frozen=True):
    """path: below the store's root; size: bytes on the disk."""

    path: str
    size: int
    why: str


class Report(Value, frozen=True):
    """What went (or would go), and what stays: kept is all of the store that is left, in bytes."""

    removed: tuple[Removed, ...]
    results: int  # how many results went
    failed_workspaces: int  # how many workspaces went that failed steps had left
    records: int  # how many builds went with their records and logs
    kept: int
    kept_results: int
    live: tuple[str, ...]
    workspaces: tuple[Removed, ...]  # kept on request, with the command's reason
    account: Account
    troubles: tuple[str, ...] = ()

    @property
    def freed(self) -> int:
        return sum(item.size for item in self.removed)


def collect(store: Store, policy: Policy, tools: Tools, *, dry_run: bool = False) -> Report:
    """Remove what the policy does not keep; dry_run: only say what that would be."""
    builds = Builds(store)
    left = list(leftovers(store, builds))
    removed = [Removed(f"{item.folder}/{item.name}", _size(store, item, tools), item.why) for item in left]
    troubles: list[str] = []
    if not dry_run:
        troubles += _remove_leftovers(store, left, tools)
    sizes = layer_sizes(store, tools.measure)
    workspaces = _workspaces(store, builds, tools)
    if dry_run:
        rules = Rules(survey(store, builds, sizes, workspaces), policy)
        choice = choose(rules)
    else:
        with choosing(store):
            builds.look_again()
            rules = Rules(survey(store, builds, sizes, workspaces), policy)
            choice = choose(rules)
            moved, stuck = _move_away(store, choice)
        troubles += stuck
        for folder, names in sorted(moved.items(), key=lambda item: not item[0].endswith("/trash")):  # files first
            troubles += _remove(folder, names, tools)
        by = " ".join(["contractor gc", policy.options]).strip()
        remember(store, by, builds=choice.records, keys=(*choice.results, *choice.workspaces))
    return Report(
        removed=(*removed, *(Removed(thing.path, thing.size, why) for thing, why in choice.things)),
        results=len(choice.results),
        failed_workspaces=len(choice.workspaces),
        records=len(choice.records),
        kept=choice.kept,
        kept_results=len(choice.stays & rules.survey.results.keys()),
        live=tuple(sorted(builds.live)),
        workspaces=tuple(Removed(f"work/{build}", size, "kept on request") for build, size in workspaces.items()),
        account=account(rules, choice),
        troubles=tuple(troubles),
    )


def look(store: Store, tools: Tools) -> Account:
    """What is in the store, by build and by kind, without choosing anything."""
    builds = Builds(store)
    found = survey(store, builds, layer_sizes(store, tools.measure), _workspaces(store, builds, tools))
    rules = Rules(found, Policy(failed_days=float("inf"), superseded_days=float("inf")))
    return account(rules, choose(rules))


def _workspaces(store: Store, builds: Builds, tools: Tools) -> dict[str, int]:
    return {build: tools.measure(store.path("work"), build) for build in builds.kept()}


@contextlib.contextmanager
def choosing(store: Store) -> Iterator[None]:
    """While something is taken out of reach: nobody looks anything up, and nobody pins."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(store.path("locks", "gc"), what=_WAITING))
        except OSError as error:
            raise Broken(f"cannot lock {store.path('locks', 'gc')}: {error.strerror}") from error
        yield


def _size(store: Store, item: Leftover, tools: Tools) -> int:
    return tools.measure(store.path(item.folder), item.name)


def _remove_leftovers(store: Store, left: list[Leftover], tools: Tools) -> list[str]:
    folders: dict[str, list[str]] = {}
    for item in left:
        folders.setdefault(store.path(item.folder), []).append(item.name)
    return [text for folder, names in folders.items() for text in _remove(folder, names, tools)]


def _remove(folder: str, names: list[str], tools: Tools) -> list[str]:
    """Plain files by ourselves (no helper process, and space at once), then folders."""
    folders = []
    for name in names:
        path = f"{folder}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            folders.append(name)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return tools.remove(folder, folders) if folders else []


def _move_away(store: Store, choice: Choice) -> tuple[dict[str, list[str]], list[str]]:
    """Under the lock. Returns what is to be removed now, by folder, and what could not be moved."""
    for key in choice.results:
        for folder in (f"results/unsynced/{boot_id()}", "results"):  # a build may settle one from there to here
            with contextlib.suppress(FileNotFoundError):
                os.unlink(store.path(folder, f"{key}.json"))
    moved: dict[str, list[str]] = {}
    stuck: list[str] = []
    for thing, _why in sorted(choice.things, key=lambda item: item[0].path.startswith("layers/")):
        try:
            folder, name = _move_layer(store, thing) if thing.path.startswith("layers/") else _move_file(store, thing)
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck.append(f"{thing.path} cannot be moved away: {error.strerror}")
            continue
        if name:
            moved.setdefault(folder, []).append(name)
    return moved, stuck


def _move_layer(store: Store, thing: Thing) -> tuple[str, str]:
    folder, _, name = store.path(thing.path).rpartition("/")
    away = f".gc-{os.urandom(4).hex()}-{name}"
    os.rename(f"{folder}/{name}", f"{folder}/{away}")
    return folder, away


def _move_file(store: Store, thing: Thing) -> tuple[str, str]:
    """A file or a record's folder, into trash/. On a full disk, where that folder may not grow, a file goes at once."""
    name = f"{thing.name}-{os.urandom(4).hex()}"
    try:
        os.rename(store.path(thing.path), store.path("trash", name))
    except FileNotFoundError:
        raise
    except OSError:
        if thing.kind == "builds":
            raise
        os.unlink(store.path(thing.path))
        return "", ""
    return store.path("trash"), name
