"""What a step's requests are answered with: by a lock, by the build that is verified, or offline by its last run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contractor.build.network import Replay
from contractor.plan.model import Action, Plan
from contractor.store.layout import Store

if TYPE_CHECKING:
    from contractor.build.options import Options
    from contractor.core.fetch import Fetch
    from contractor.plan.model import Held

_CONF, _SOURCES, _PREFERENCES = (f"/run/contractor/{name}" for name in ("apt.conf", "sources.list", "preferences"))
_STRONGER = 1001  # a priority with which apt also goes back to an older version


def replay_of(plan: Plan, action: Action, store: Store, options: Options) -> Replay | None:
    """None: the servers are asked, or, offline, nobody can be."""
    answers = plan.replays.get(action.key)
    if answers is None:
        return last_run(plan, action, store) if options.offline else None
    replay = Replay.of(answers, options.replaying)
    if options.offline:
        return replay
    held = plan.held.get(action.key)
    return replay._replace(asks="rest") if held is not None and held.opened else replay.online(store.captured)


def last_run(plan: Plan, action: Action, store: Store) -> Replay | None:
    """What the action was answered when it last ran with the same key; None when not all of it was kept."""
    from contractor.plan.planner import base_artifact
    from contractor.store.results import Results

    if not action.hosts:
        return None
    results = Results(store, "")
    keys = [action.key]
    if any(other.kind == "create-artifact" for other in plan.actions):
        keys.append(base_artifact(plan).key)  # a base's artifact has what all of its steps fetched
    for key in keys:
        result = results.read(key)
        fetches = [fetch for fetch in result.fetches if fetch.verdict == "allowed"] if result is not None else []
        if result is not None and (key == action.key or fetches) and all(map(_can_be_given, fetches)):
            return Replay({fetch.url: fetch for fetch in fetches}, f"the build {result.build}")
    return None


def _can_be_given(fetch: Fetch) -> bool:
    return fetch.method == "GET" and bool(fetch.sha256) and fetch.status != 206  # a part of a file


def apt_files(replay: Replay | None, held: Held | None) -> dict[str, bytes]:
    """What apt is told under a lock, as files for a step: their paths and contents. Nothing without a lock.

    An archive of the past is out of date, and by a clock that is wrong perhaps of the future: its signature counts.
    """
    if replay is None:
        return {}
    pins = dict(held.pins) if held is not None else {}
    older = held.older if held is not None else ()
    if held is not None and replay.asks == "indexes":  # today's archive, and of it what the lock names
        pins = {text.partition(":")[0]: text.partition("=")[2] for text in held.packages}
        older = ()
    past = replay.asks in ("nothing", "lost")
    conf = ['Acquire::Check-Valid-Until "false";', 'Acquire::Check-Date "false";'] if past else []
    preferences = [
        f"Package: {name}\nPin: version {version}\nPin-Priority: {_STRONGER}\n" for name, version in pins.items()
    ]
    return {
        _CONF: "".join(f"{line}\n" for line in conf).encode(),
        _SOURCES: "".join(f"{_undated(line)}\n" for line in older).encode(),
        _PREFERENCES: "\n".join(preferences).encode(),
    }


def _undated(line: str) -> str:
    return line.replace("deb ", "deb [check-valid-until=no check-date=no] ", 1)
