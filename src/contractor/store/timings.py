"""How long the steps of a build are likely to take: what they took in the newest builds of the same name.

An estimate is a median, so that a run on a busy machine does not move it. Reading stops at a number of records and at
a time budget: an estimate is never worth waiting for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from contractor.store.records import Records

RUNS = 7  # of a step, the newest, that count
BUILDS = 20  # records that are read
BUDGET = 0.03  # seconds for reading them

StepId = tuple[str, str]  # a step's name and action


class _Ran(msgspec.Struct):
    """What counts of a StepRecord; the rest is not even decoded."""

    name: str
    action: str
    outcome: str
    seconds: float = 0.0


class _Build(msgspec.Struct):
    matrix: dict[str, str]
    steps: list[_Ran]


def estimate(seconds: Sequence[float]) -> float | None:
    """The median of the first RUNS, which are the newest; None of none."""
    known = sorted(seconds[:RUNS])
    middle = len(known) // 2
    if not known:
        return None
    return known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2


def expected(
    records: Records, name: str, matrix: Mapping[str, str], steps: Sequence[StepId], budget: float = BUDGET
) -> tuple[float | None, ...]:
    """The seconds that each step is likely to take, None for one that never succeeded. Raises nothing.

    Only builds of the same name and matrix values count, and of them the steps that ran and succeeded.
    """
    wanted = list(_numbered(steps))
    runs: dict[tuple[StepId, int], list[float]] = {step: [] for step in wanted}
    for build in _newest(records, name, budget):
        if build.matrix != matrix:
            continue
        for step, ran in zip(_numbered([(ran.name, ran.action) for ran in build.steps]), build.steps, strict=True):
            if ran.outcome == "succeeded" and step in runs:
                runs[step].append(ran.seconds)
        if all(len(found) >= RUNS for found in runs.values()):
            break
    return tuple(estimate(runs[step]) for step in wanted)


def _numbered(steps: Sequence[StepId]) -> Iterator[tuple[StepId, int]]:
    """Steps of the same name and action are told apart by their order."""
    seen: dict[StepId, int] = {}
    for step in steps:
        seen[step] = seen.get(step, 0) + 1
        yield step, seen[step]


def _newest(records: Records, name: str, budget: float) -> Iterator[_Build]:
    """The newest builds of a name that can be read, as long as there is time."""
    until = time.monotonic() + budget
    decoder = msgspec.json.Decoder(_Build)
    builds: list[str] = []
    with contextlib.suppress(OSError):
        builds = [build for build in records.ids() if build[16:-5] == name][:BUILDS]
    for build in builds:
        if time.monotonic() > until:
            return
        with contextlib.suppress(OSError, msgspec.DecodeError):
            fd = os.open(f"{records.folder(build)}/record.json", os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(fd, os.fstat(fd).st_size)
            finally:
                os.close(fd)
            yield decoder.decode(data)
