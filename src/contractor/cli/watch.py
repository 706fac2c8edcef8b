"""contractor build --watch: build, wait until something that was built from has changed, build again."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from contractor.build.debug.waking import PERIOD, Waker
from contractor.build.debug.watching import Inputs, Look, changes, directories, inputs_of, look
from contractor.build.settle import collect
from contractor.cli.console.state import Paper, usable
from contractor.cli.output import terminal_width
from contractor.cli.text import clip, render_error, width_of
from contractor.core.errors import ContractorError, from_os_error
from contractor.core.words import count

if TYPE_CHECKING:
    from contractor.cli.building import Building
    from contractor.plan.model import Plan

_SHOWN = 3  # paths of what has changed
_TURNS = 3  # plans are made again while what they are made from is new to us
_CALM = 5  # a look that found nothing is followed by a pause of so many times its length


class Watch:
    """A command line that builds again and again. run: builds plans, and returns the exit code."""

    def __init__(self, building: Building, run: Callable[[list[Plan]], int]) -> None:
        self._building = building
        self._run = run
        self._store = building.store
        self._request = building.request
        self._paper = Paper(sys.stderr, building.settings.colour)
        self._inputs = inputs_of(building.request, ())
        self._ours = _own_streams()
        self._told = ""  # why the clock must do

    def loop(self) -> int:
        """Until somebody stops it; the last build's exit code."""
        if not os.path.exists(self._request.spec):
            self._building.plan()  # says so: nobody would wait for a file that was never there
        with Waker() as waker:
            self._watch(waker)
            while True:
                seen, code = self._build(waker)
                gc.collect()  # switched off for commands that live for seconds (main.py)
                collect()
                try:
                    self._building.stop.check()
                    self._say_waiting(waker)
                    changed = self._wait(waker, seen)
                except KeyboardInterrupt:
                    self._paper.write("\n")  # after what the terminal shows of Ctrl-C
                    return code
                self._rule(changed)

    def _build(self, waker: Waker) -> tuple[Look, int]:
        """One build; what was seen before it read anything, and its exit code."""
        seen = self._look()
        try:
            for _ in range(_TURNS):
                plans = self._building.plan()
                inputs = inputs_of(self._request, plans)
                if inputs == self._inputs:
                    break
                self._inputs = inputs  # made from more than we had looked at: look first, then read it again
                self._watch(waker)
                seen = self._look()
            return seen, self._run(plans)
        except ContractorError as error:
            return self._broken(waker, seen, error)
        except OSError as error:
            return self._broken(waker, seen, from_os_error(error))

    def _broken(self, waker: Waker, seen: Look, error: ContractorError) -> tuple[Look, int]:
        """No plan: what it would be made from is what it was made from, and what the specification names now."""
        own = inputs_of(self._request, ())
        more = own.files - self._inputs.files
        self._inputs = Inputs(self._inputs.files | own.files, self._inputs.folders)
        self._watch(waker)
        self._paper.write(render_error(error, colour=self._building.settings.colour))
        return {**seen, **look(Inputs(more), self._store)}, error.exit_code

    def _wait(self, waker: Waker, seen: Look) -> list[str]:
        """The paths that are not as they were seen, as soon as there are some."""
        pause = 0.0
        while True:
            if waker.stale:
                self._watch(waker)
            began = time.monotonic()
            if changed := changes(seen, self._look()):
                return changed
            if pause:
                time.sleep(pause)
            cost = time.monotonic() - began
            waker.wait(self._building.stop.check, pause=max(PERIOD, _CALM * cost))
            pause = min(1.0, _CALM * cost)

    def _watch(self, waker: Waker) -> None:
        waker.watch(directories(self._inputs, self._store))

    def _look(self) -> Look:
        return look(self._inputs, self._store, self._ours)

    def _say_waiting(self, waker: Waker) -> None:
        if self._building.args.quiet:
            return
        folders = len(self._inputs.folders)
        what = self._paper.clean(os.path.basename(self._request.spec)) + (
            f" and {count(folders, 'source folder')}" if folders else ""
        )
        lines = [self._paper.style("dim", f"Watching {what}; Ctrl-C ends")]
        if waker.why != self._told:
            self._told = waker.why
            lines.insert(0, f"{self._paper.style('yellow', '!')} {waker.why}: looking every {PERIOD:g} s instead")
        self._paper.write("\n" + "\n".join(lines) + "\n")

    def _rule(self, changed: Sequence[str]) -> None:
        """A line between two builds: what has changed, and when."""
        if self._building.args.quiet:
            return
        paper = self._paper
        dash = "─" if paper.clean("─") == "─" else "-"
        width = min(100, usable(terminal_width())) - 1
        end = time.strftime("%H:%M:%S")
        room = width - len(end) - 9
        names = [paper.clean(_relative(path, self._request.folder)) for path in changed[:_SHOWN]]
        texts = [_names_text(names[:number], len(changed)) for number in range(len(names), 0, -1)]
        text = next((text for text in texts if width_of(text) <= room), clip(texts[-1], room, paper.mark("more")))
        fill = dash * max(2, width - width_of(text) - len(end) - 7)
        line = f"{dash * 2} {paper.style('bold', text)} {fill} {end} {dash * 2}"
        paper.write(f"\n{line}\n\n")


def _names_text(names: Sequence[str], total: int) -> str:
    more = f" and {total - len(names)} more" if total > len(names) else ""
    return f"changed: {', '.join(names)}{more}"


def _relative(path: str, folder: str) -> str:
    inside = os.path.relpath(path, folder)
    return path if inside.startswith("..") else inside


def _own_streams() -> frozenset[tuple[int, int]]:
    """The files that our output goes to: one may be in a source folder, and must not start builds without end."""
    found = set()
    for fd in (1, 2):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)
