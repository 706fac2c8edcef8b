"""How many builds of a matrix run at once, in which order; and running them (build/matrix/workers.py)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from contractor.core.errors import EXIT_CODES, Broken, Outcome, Rejected
from contractor.core.events import Notice
from contractor.core.words import count
from contractor.plan.model import Plan
from contractor.spec.actions import ACTIONS, HOST_TREE, SYSTREE
from contractor.spec.quantities import size_text
from contractor.store.records import Record, Records
from contractor.store.results import Results

if TYPE_CHECKING:
    from contractor.build.matrix.workers import Ended, Run
    from contractor.build.options import Emit
    from contractor.store.layout import Store

_MANY = 32  # plans beyond which nobody looks up how long they are likely to take


def jobs_asked(text: str) -> int:
    """The value of --jobs: a number of builds; 0 for `auto`."""
    if text == "auto":
        return 0
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 1000:
        raise Rejected(f"--jobs {text}: expected a number of builds, or auto", hint="for example --jobs 2")
    return int(text)


def jobs_at_once(asked: int, plans: Sequence[Plan]) -> int:
    """How many of these builds may run at once, but for memory: never more than there are."""
    return min(asked or len(os.sched_getaffinity(0)), len(plans))


def memory_need(plan: Plan) -> int:
    """Bytes that a build may use: the largest limit of its steps, those of its bases among them; 0 is no limit."""
    needs = [0] if not plan.actions else [_step_need(plan)]
    needs += [memory_need(base) for base in plan.bases.values()]
    return max(needs)


def _step_need(plan: Plan) -> int:
    running = [action.step for action in plan.actions if ACTIONS[action.kind].place in (HOST_TREE, SYSTREE)]
    limits = [step.limits.memory for step in running]
    return max((limit or 1 << 62 for limit in limits), default=0)


def memory_available() -> int:
    """Bytes of memory that are free now, as far as a cgroup lets this process have them."""
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError), open(limit) as most, open(used) as now:
            free = min(free, int(most.read()) - int(now.read()))
    return max(free, 0)


class AtOnce(NamedTuple):
    """ids: those of the sandbox; jobs: how many builds run at once; fail_fast: the first that fails ends them all."""

    store: Store
    ids: str
    jobs: int
    fail_fast: bool = False


def run_at_once(
    plans: Sequence[Plan], run: Run, how: AtOnce, emit: Emit, tick: Callable[[], None]
) -> list[Record | None]:
    """The record of each plan, in their order; None for those that never began. run: see Workers."""
    from contractor.build.matrix.workers import Workers

    needs, memory = [memory_need(plan) for plan in plans], memory_available()
    fit = _fitting(needs, memory)
    if fit < how.jobs:
        largest = max(needs)
        each = f"up to {size_text(largest)} of memory" if largest < 1 << 60 else "memory without a limit"
        text = f"{count(fit, 'build')} at a time: each may use {each}, and {size_text(memory >> 20 << 20)} are free"
        emit(Notice(at=time.time(), build="", text=f"{text}; `limits: {{memory: ...}}` of the steps says how much"))
    workers = Workers(run, needs, jobs=how.jobs, memory=memory)
    workers.work(_longest_first(plans, how), emit, tick, fail_fast=how.fail_fast)
    lost = [number for number, ended in workers.ended.items() if not ended.build]
    if lost:
        names = ", ".join(str(plans[number].matrix) for number in lost)
        raise Broken(f"{count(len(lost), 'build')} could not begin: {names}", hint="run the same command again")
    return [_record(workers.ended.get(number), how.store) for number in range(len(plans))]


def _fitting(needs: Sequence[int], memory: int) -> int:
    """How many fit into the memory at once, the largest ones first; at least one."""
    total, fit = 0, 0
    for need in sorted(needs, reverse=True):
        total += need
        if total > memory:
            break
        fit += 1
    return max(fit, 1)


def _longest_first(plans: Sequence[Plan], how: AtOnce) -> list[int]:
    """So that the end does not wait for a long one that began late. Those that nobody knows are taken for long."""
    if len(plans) > _MANY:
        return list(range(len(plans)))
    results = Results(how.store, how.ids)
    likely = [_likely(plan, how.store, results) for plan in plans]
    return sorted(range(len(plans)), key=lambda number: -likely[number])


def _likely(plan: Plan, store: Store, results: Results) -> float:
    """Seconds that the steps took which have to run again, as earlier builds tell."""
    from contractor.store.timings import expected

    steps = [(action.step.name, action.kind) for action in plan.actions]
    known = expected(Records(store), plan.name, plan.matrix, steps)
    if all(seconds is None for seconds in known):
        return float("inf")
    pairs = zip(plan.actions, known, strict=True)
    return sum(seconds or 0.0 for action, seconds in pairs if results.find(action.key) is None)


def _record(ended: Ended | None, store: Store) -> Record | None:
    if ended is None or not ended.build:
        return None
    record = Records(store).read(ended.build)
    if record.outcome != "running":
        return record
    how = f"it was killed by {_signal(ended.code)}" if ended.code > 128 else f"exit code {ended.code}"
    broken = msgspec.structs.replace(
        record,
        outcome=Outcome.BROKEN.value,
        finished=time.time(),
        message=f"the process of the build ended unexpectedly: {how}",
        hint="was it killed for want of memory? See `dmesg`; finished steps are kept, build again",
    )
    Records(store).write(broken)
    return broken


def _signal(code: int) -> str:
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return f"signal {code - 128}"


def exit_code(records: Sequence[Record | None], *, stopped: bool) -> int:
    """The worst of all. What was ended because another failed is no worse than that; stopped: somebody asked."""
    aborted = EXIT_CODES[Outcome.ABORTED]
    codes = [EXIT_CODES[Outcome(record.outcome)] if record is not None else aborted for record in records]
    failed = [code for code in codes if code not in (0, aborted)]
    return max(codes) if stopped or not failed else max(failed)


def sum_up(folder: str, records: Sequence[Record | None]) -> None:
    """SHA256SUMS over all builds, when all of them succeeded."""
    from contractor.build.matrix.sums import forget_sums, write_sums

    whole = [record for record in records if record is not None and record.outcome == Outcome.SUCCEEDED.value]
    if len(whole) == len(records):
        write_sums(folder, [record.matrix for record in whole])
    else:
        forget_sums(folder)
