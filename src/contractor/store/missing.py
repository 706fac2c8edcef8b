"""What is not there any more of what a step stood on: its tree's layers, the states below its workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from contractor.store.collected import when_collected
from contractor.store.layout import Store
from contractor.store.results import Results

_SHOWN = 8  # digits of a key


def missing(
    store: Store, ids: str, layers: Sequence[str], before: str, left: str = "", names: Mapping[str, str] = {}
) -> str:
    """Words for the first thing that entering a step lacks, such as "the layer of step 'apt' (key 1234abcd) is gone
    (collected on 2025-03-04 10:15 by ...)"; "" when all is there.

    ids: whose layers can be used here. layers, before: the action's. left: the state that the step itself left. names:
    of steps by key, for those whose results are gone.
    """
    results = Results(store, ids)
    for key in layers:
        if not os.path.isdir(store.layer(ids, key)):
            others = [name for name in os.listdir(store.path("layers")) if os.path.isdir(store.layer(name, key))]
            if others:
                return (
                    f"the layer of {_step(results, key, names)} belongs to other ids ({others[0]}, here they are {ids})"
                )
            return f"the layer of {_step(results, key, names)} is gone{_when(store, key)}"
    if left and not os.path.exists(store.state(left)):
        return f"the workspace that the step left is gone{_when(store, left)}"
    seen: set[str] = set()
    while before and before not in seen:
        seen.add(before)
        result = results.read(before)
        if result is None:
            return f"the result of {_step(results, before, names)} is gone{_when(store, before)}"
        if not os.path.exists(store.state(before)):
            return f"the workspace's state after {_step(results, before, names)} is gone{_when(store, before)}"
        before = result.before
    return ""


def _step(results: Results, key: str, names: Mapping[str, str]) -> str:
    result = results.read(key)
    name = result.name if result is not None else names.get(key)
    return f"step {name!r} (key {key[:_SHOWN]})" if name is not None else f"the step with key {key[:_SHOWN]}"


def _when(store: Store, key: str) -> str:
    when = when_collected(store, key)
    return f" ({when})" if when else ""
