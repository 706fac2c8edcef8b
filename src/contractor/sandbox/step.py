"""A step, on the supervisor's side: start it or let it go on, watch it, kill it at a limit, and see its end."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Any

import msgspec

from contractor.core.errors import Broken, ContractorError
from contractor.sandbox import bwrap, strays
from contractor.sandbox.ahead import GONE
from contractor.sandbox.channel import close_all
from contractor.sandbox.namespace import Inside
from contractor.sandbox.spec import Exit, SandboxSpec
from contractor.sandbox.started import Started, cpu_seconds, end_of_all
from contractor.sandbox.watch import INTERVAL, Usage, Watch

_END_WAIT = 10.0  # seconds that a killed sandbox may take to end
_LIMIT_CODE = 128 + 25  # SIGXFSZ


def run_inside(inside: Inside, args: dict[str, Any], fds: list[int], usage: Usage) -> dict[str, Any]:
    """Run a step and say how it ended.

    args: spec, None for the sandbox that waits (ahead.py), whose trouble is GONE when it does not; folder and
    watch_memory: see Watch. fds: where the output of a spec goes.
    """
    found = _started(inside, args["spec"], fds)
    if found is None:
        return _as_message(Exit(started=False, code=0, seconds=0.0, trouble=GONE))
    spec, process = found
    try:
        started_at = time.monotonic()
        watch = Watch(spec.limits, args["folder"], usage, memory=args["watch_memory"])
        process.go_on()
        limit = _watch_until_end(inside, spec, process, watch)
        _pid, status, used = os.wait4(process.pid, 0)
        inner = cpu_seconds(process.child_pid())
        end_of_all(process.child_pid(), inside.state.setdefault("ending", set()))
        code = process.exit_code()
        returned = os.waitstatus_to_exitcode(status)
        strayed = _strayed(inside, process)
    except BaseException:
        process.kill()
        raise
    finally:
        process.close()
    if limit == "time" and watch.most_processes >= spec.limits.processes - 1:
        limit = "processes"  # it could not go on for want of them
    if not limit and code is not None and code != 0:
        limit = _limit_of(code, spec, watch)
    exit_ = Exit(
        started=code is not None or bool(limit),
        code=code if code is not None else (128 - returned if returned < 0 else returned),
        seconds=time.monotonic() - started_at,
        cpu_seconds=used.ru_utime + used.ru_stime + inner,
        max_rss=max(used.ru_maxrss * 1024, watch.most_memory),
        limit=limit,
        strays=strayed,
    )
    if exit_.code or exit_.limit:
        inside.forget_waiting()
    return _as_message(exit_)


def _as_message(exit_: Exit) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(exit_)
    return value


def _started(inside: Inside, spec: dict[str, Any] | None, fds: list[int]) -> tuple[SandboxSpec, Started] | None:
    """The sandbox that waits, for no spec; None when it does not any more. Else one that is started now."""
    if spec is None and inside.waiting is not None and not inside.waiting[1].has_ended():
        waiting, inside.waiting = inside.waiting, None
        return waiting
    inside.forget_waiting()
    if spec is None:
        return None
    wanted = msgspec.convert(spec, SandboxSpec)
    output = fds.pop(0)
    try:
        return wanted, bwrap.start(inside, wanted, output)
    finally:
        os.close(output)  # else the pipe would not end with the step


def _set_up(inside: Inside, spec: dict[str, Any], output: int, place: int) -> None:
    """Have a sandbox wait. One that cannot be made is made when its turn has come, and says then what is wrong."""
    inside.forget_waiting()
    wanted = msgspec.convert(spec, SandboxSpec)
    with contextlib.suppress(OSError, ContractorError):
        inside.waiting = wanted, bwrap.start(inside, wanted, output, place=place, waits=True)


def _strayed(inside: Inside, process: Started) -> tuple[int, int]:
    """What the step sent past the proxy. Steps without network share a namespace, so there it is the difference."""
    if process.counters:
        return strays.count(process.counters)
    if "counters" not in inside.state:
        inside.state["counters"] = strays.opened()
    before = inside.state.get("strays", (0, 0))
    now = inside.state["strays"] = strays.count(inside.state["counters"])
    return now[0] - before[0], now[1] - before[1]


def _limit_of(code: int, spec: SandboxSpec, watch: Watch) -> str:
    """Which limit a failed command ran into, when its exit code or the last look tells."""
    if code == _LIMIT_CODE:
        return "file-size"
    if watch.full():
        return "disk-full"
    return "processes" if watch.most_processes >= spec.limits.processes - 1 else ""


def _watch_until_end(inside: Inside, spec: SandboxSpec, process: Started, watch: Watch) -> str:
    poll = select.poll()
    poll.register(process.pidfd, select.POLLIN)
    poll.register(inside.channel, select.POLLIN)
    deadline = time.monotonic() + spec.limits.time if spec.limits.time else float("inf")
    killed_at = 0.0
    limit = ""
    while True:
        pause = min(INTERVAL, max(0.0, deadline - time.monotonic())) if not killed_at else INTERVAL
        ready = dict(poll.poll(pause * 1000))
        if process.pidfd in ready:
            return limit
        if inside.channel.fileno() in ready:
            message, more = inside.channel.receive()  # EOFError ends the supervisor, and with it the step
            if "next" not in message:
                limit = limit or "aborted"
            elif not limit:
                _set_up(inside, message["next"], more[0], 1 - process.place)
            close_all(more)
        elif not killed_at and time.monotonic() >= deadline:
            limit = "time"
        elif not killed_at:
            limit = watch.check(process.child_pid())
        if limit:
            process.kill()
            killed_at = killed_at or time.monotonic()
            if time.monotonic() - killed_at > _END_WAIT:
                raise Broken(
                    f"the sandbox did not end {_END_WAIT:.0f} seconds after it was killed",
                    hint="a process in it hangs in the kernel: see `ps -eo pid,stat,wchan,args | grep ' D'`",
                )
