"""contractor retry: a step again, several times: is it deterministic, flaky, or the infrastructure's fault?"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from contractor.build.debug.attempts import Retry, Tried, attempts, own_attempt, protected
from contractor.build.debug.verdict import Attempt, Verdict, verdict
from contractor.build.options import Options
from contractor.cli import config
from contractor.cli.console.console import Console
from contractor.cli.console.retry import RetryConsole
from contractor.cli.logs.parts import Part, log_path, pieces
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put_json, terminal_width
from contractor.cli.proving import witness_of
from contractor.cli.retry_output import Difference, first_difference
from contractor.cli.retry_words import meant
from contractor.cli.secrets import add_secret, read_secrets
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Outcome, Rejected
from contractor.core.words import count
from contractor.sandbox.local import choose
from contractor.store.layout import Store
from contractor.store.records import Record, Records
from contractor.store.results import Results

JSON_VERSION = 1
_TIMES, _HUNTING, _MOST = 3, 100, 10_000
_LINE = 500  # bytes of a differing line


def parser() -> Parser:
    made = Parser(
        "retry",
        "Run a step again, each time from the workspace and the tree as they were before it, and say whether it is "
        "deterministic, flaky or the infrastructure's fault. What the attempts make is kept for nobody.",
    )
    made.add_argument("build", nargs="?", default="", help="an id, its beginning, or a name (default: the last)")
    made.add_argument("step", nargs="?", default="", help="number or name (default: the step that failed)")
    made.add_argument("--times", type=int, metavar="K", help=f"so many attempts (default {_TIMES})")
    made.add_argument(
        "--until-failure",
        action="store_true",
        help=f"stop at the first attempt that does not succeed; --times is the most (default {_HUNTING})",
    )
    add_secret(made)
    made.add_argument("--json", action="store_true", help="the verdict and the attempts as JSON")
    made.add_argument("--one-id", action="store_true", help="isolate with one id only: degraded, for comparison")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    times = args.times if args.times is not None else _HUNTING if args.until_failure else _TIMES
    if not 1 <= times <= _MOST:
        raise Rejected(f"--times {times}: from 1 to {_MOST} attempts", hint="for example --times 20")
    stop = Stop()
    settings = config.load()
    store = open_store(args, settings)
    retry = meant(Records(store), args.build, args.step)
    secrets = read_secrets(args.secret)
    _require_secrets(retry, secrets)
    screen = RetryConsole(sys.stderr, colour=settings.colour, live=settings.live, width=terminal_width)
    console = Console(screen)

    def tick() -> None:
        stop.check()
        console.tick(time.time())

    folder = os.path.dirname(retry.record.spec)
    options = Options(
        folder=folder, secrets=secrets, upstream_proxy=settings.proxy, tick=tick, witness=witness_of(store, settings)
    )
    shown = _Shown(screen, store, retry, times)
    sandbox = choose(one_id=args.one_id)
    with ExitStack() as stack:
        stack.enter_context(protected(retry, store, sandbox, folder))
        stack.callback(console.close)
        tries = attempts(retry, times, store, sandbox, console, options)
        shown.all(tries, until_failure=args.until_failure)
    stopped = bool(shown.tried) and shown.tried[-1].record.outcome == Outcome.ABORTED
    found = verdict([attempt for attempt, _note in shown.rows])
    screen.verdict(found, shown.remarks(found), next_steps(found, retry, shown.tried))
    if args.json:
        put_json(_as_json(found, retry, shown))
    return EXIT_CODES[Outcome.ABORTED] if stopped else found.exit_code


def _require_secrets(retry: Retry, secrets: dict[str, bytes]) -> None:
    """The step's secrets, all of them and no other."""
    asked = retry.action.step.secrets
    for name in asked:
        if name not in secrets:
            raise Rejected(f"the step needs the secret {name}", hint=f"contractor retry --secret {name}=FILE ...")
    for name in secrets:
        if name not in asked:
            known = ", ".join(asked) or "none"
            raise Rejected(f"--secret {name}: the step does not ask for it", hint=f"secrets that it asks for: {known}")


class _Shown:
    """The attempts as they come: shown, and compared with the first of them."""

    def __init__(self, screen: RetryConsole, store: Store, retry: Retry, times: int) -> None:
        self.rows: list[tuple[Attempt, Difference | None]] = []
        self.tried: list[Tried] = []
        self._screen = screen
        self._store = store
        self._retry = retry
        self._times = times
        self._reference: Part | None = None

    def all(self, tries: Any, *, until_failure: bool) -> None:
        """Every attempt, or those up to the first that does not succeed."""
        retry = self._retry
        name = sanitize(retry.action.step.name)
        upto = "at most " if until_failure else ""
        self._screen.header(
            f"Step {retry.step + 1}, {name}, of {sanitize(retry.record.id)}: {upto}{count(self._times, 'attempt')}",
            self._times,
        )
        if (own := own_attempt(retry)) is not None:
            self._row(own, retry.record, ())
        self._screen.begin(1, self._times)
        for number, tried in enumerate(tries, 1):
            self.tried.append(tried)
            self._row(tried.attempt, tried.record, tried.different)
            if until_failure and tried.attempt.outcome != Outcome.SUCCEEDED:
                tries.close()
                return
            self._screen.begin(number + 1, self._times)

    def _row(self, attempt: Attempt, record: Record, different: Sequence[bytes]) -> None:
        step = record.steps[self._retry.step]
        part = Part(log_path(self._store, record.id), step.log_start, step.log_end, "")
        found = None
        if not os.path.exists(part.path):
            pass
        elif self._reference is None:
            self._reference = part
        elif attempt.outcome != Outcome.ABORTED:
            found = first_difference(pieces(self._reference), pieces(part))
        self.rows.append((attempt, found))
        self._screen.attempt(attempt, "; ".join(filter(None, (_files_text(different), _output_text(found)))))

    def remarks(self, found: Verdict) -> list[str]:
        """What is to be said besides the verdict's own reasons."""
        said = []
        same_end = found.kind == "deterministic" and found.outcome is not Outcome.SUCCEEDED
        if same_end and any(part is not None and not part.digits for _attempt, part in self.rows):
            said.append("their output is not the same: the reason for the failure may not be, either")
        result = Results(self._store, "").read(self._retry.action.key)
        if found.kind == "flaky" and result is not None:
            said.append(f"builds still find what {result.build} made: `contractor build --from STEP` makes it anew")
        elif any(tried.attempt.outcome == Outcome.SUCCEEDED for tried in self.tried):
            said.append("what the attempts made is kept for nobody: the next build runs as if they had not been")
        if self._retry.record.tainted:
            said.append(f"the build is tainted ({self._retry.record.tainted}), and so are the attempts")
        return said


def _files_text(different: Sequence[bytes]) -> str:
    if not different:
        return ""
    names = [sanitize(path) for path in different[:3]]
    return f"other files: {', '.join(names)}{' and more' if len(different) > 3 else ''}"


def _output_text(found: Difference | None) -> str:
    if found is None:
        return ""
    if found.text is None:
        return f"output ends before line {found.line}"
    only = " in numbers only" if found.digits else ""
    return f"output differs{only}, line {found.line}: {sanitize(found.text[:_LINE]).strip()}"


def next_steps(found: Verdict, retry: Retry, tried: Sequence[Tried]) -> list[str]:
    """Commands, and what they are good for."""
    build, number = retry.record.id, retry.step + 1
    again = f"contractor retry {build} {number}"
    left = [one.record.id for one in tried if one.record.steps[retry.step].left]
    own = [build] if retry.record.steps[retry.step].left else []
    shell = f"contractor shell {(own + left[::-1])[0]} --step {number}" if own or left else ""
    enter = [f"{shell}  # in its sandbox, as it was left"] if shell else []
    logs = [f"contractor log {build} --step {number} --attempts  # what each of them wrote"]
    if found.kind == "undecided":
        return [f"{again} --times 5"]
    if found.kind == "flaky" and not enter:  # none failed: they left different files
        return [*logs, f"contractor shell {build} --step {number} --before  # the function `again` runs the step there"]
    if found.kind == "flaky":
        return [*logs, *enter, f"{again} --until-failure  # how rarely does it fail?"]
    if found.kind == "infrastructure":
        limits = sorted({one.attempt.limit for one in tried if one.attempt.outcome == Outcome.OUT_OF_LIMITS} - {""})
        raised = [f"raise `limits: {{{limit}: ...}}` of the step, or see what it does: {logs[0]}" for limit in limits]
        return [*(raised or ["contractor doctor  # what this machine has and lacks"]), f"{again}  # later"]
    if found.outcome is Outcome.SUCCEEDED:
        return [f"{again} --until-failure  # look longer"]
    return enter or logs


def _as_json(found: Verdict, retry: Retry, shown: _Shown) -> dict[str, Any]:
    """Seconds; `own`: the attempt is the build's; `different`: where what it left differs from the first's."""
    first = len(shown.rows) - len(shown.tried)
    rows = []
    for at, (attempt, part) in enumerate(shown.rows):
        differs = None
        if part is not None:
            text = None if part.text is None else sanitize(part.text[:_LINE])
            differs = {"line": part.line, "text": text, "numbers_only": part.digits}
        paths = shown.tried[at - first].different if at >= first else ()
        more = {"own": at < first, "output_differs": differs, "different": [sanitize(path) for path in paths]}
        rows.append({**msgspec.to_builtins(attempt), **more})
    return {
        "version": JSON_VERSION,
        "build": retry.record.id,
        "step": retry.step + 1,
        "name": retry.action.step.name,
        "key": retry.action.key,
        "verdict": found.kind,
        "outcome": found.outcome.value,
        "reasons": list(found.reasons),
        "attempts": rows,
    }
