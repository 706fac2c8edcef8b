"""contractor shell: a shell, or one command, in the sandbox of a step of a build that has ended."""

from __future__ import annotations

import os
import sys

from contractor.build.compare.history import plan_of
from contractor.build.debug.revisit import Moment, Scene, converse, run_command
from contractor.build.debug.shell import has_command
from contractor.build.options import Options
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import terminal_width
from contractor.cli.proving import witness_of
from contractor.cli.secrets import add_secret, read_secrets
from contractor.cli.steering import opener, require_terminal
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import Rejected
from contractor.core.events import AnyEvent, Notice, ShellFinished, ShellStarted
from contractor.plan.find import find_step
from contractor.plan.model import Plan
from contractor.proof.witness import Witness
from contractor.sandbox.local import choose
from contractor.store.progress import so_far
from contractor.store.records import Record, Records
from contractor.store.results import Results

_RAN = ("succeeded", "cached")


def parser() -> Parser:
    made = Parser(
        "shell",
        "A shell in the sandbox of a step: the same mounts, environment, user, network, limits and filter. "
        "What is changed there is thrown away. With `-- COMMAND...` that runs there instead, without a terminal.",
    )
    made.add_argument("build", nargs="?", default="last", help="an id, its beginning, or a name (default: the last)")
    made.add_argument("--step", metavar="STEP", help="number or name (default: the step that failed, else the last)")
    when = made.add_mutually_exclusive_group()
    when.add_argument("--before", action="store_true", help="as it was before the step, also if it failed")
    when.add_argument("--after", action="store_true", help="as it was after the step")
    add_secret(made)
    made.add_argument("--one-id", action="store_true", help="isolate with one id only: degraded, for comparison")
    return made


def run(argv: list[str]) -> int:
    own, command = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, None)
    args = parser().parse_args(own)
    if command is None:
        require_terminal()
    elif not command:
        raise Rejected("there is no command after --", hint="contractor shell BUILD --step STEP -- make -n")
    settings = config.load()
    store = open_store(args, settings)
    records = Records(store)
    record = so_far(records, records.read(records.find(args.build)))
    plan = plan_of(records, record.id)
    index = chosen_step(record, plan, args.step)
    scene = _scene(record, plan, index, "before" if args.before else "after" if args.after else None)
    secrets = read_secrets(args.secret)
    _require_secrets(scene, secrets)
    stop = Stop()
    folder = os.path.dirname(record.spec)
    options = Options(folder=folder, secrets=secrets, upstream_proxy=settings.proxy, tick=stop.check)
    sandbox = choose(one_id=args.one_id)
    _require_before(record, plan, index, Results(store, sandbox.ids))
    witness = witness_of(store, settings)
    teller = _Teller(settings, plan, witness)
    if command is not None:
        body = {"build": record.id, "step": index + 1, "why": "a command", "program": command[0]}
        witness.journal.append("shell-entered", body)
        return run_command(scene, store, sandbox, options, (command, _write, teller))
    return converse(scene, store, sandbox, options, (opener(settings)(), teller))


def chosen_step(record: Record, plan: Plan, asked: str | None) -> int:
    """The step that is meant; without a word the one that failed, else the last that runs a command."""
    if asked is not None:
        return find_step([step.name for step in record.steps], asked, f"the build {record.id}")
    failed = [index for index, step in enumerate(record.steps) if step.outcome not in (*_RAN, "not run")]
    commands = [index for index, action in enumerate(plan.actions) if has_command(action)]
    if not failed and not commands:
        raise Rejected(f"no step of {record.id} runs a command", hint="choose one with --step")
    return failed[0] if failed else commands[-1]


def _scene(record: Record, plan: Plan, index: int, moment: Moment | None) -> Scene:
    step = record.steps[index]
    done = step.outcome in _RAN
    if moment == "after" and not done:
        raise Rejected(
            f"step {index + 1} of {record.id} has not succeeded ({step.outcome}): there is no after",
            hint="without --after the shell finds it as it was left" if step.left else "enter it with --before",
        )
    if moment is None:
        moment = "left" if step.left else "before"
    return Scene(record.id, plan, index, moment, step.left if moment == "left" else "")


def _require_before(record: Record, plan: Plan, index: int, results: Results) -> None:
    """Rejected when what the step stands on was never made: neither in this build, nor in another one."""
    action = plan.actions[index]
    needed = {action.before, *action.layers}
    for number, (step, made) in enumerate(zip(record.steps, plan.actions, strict=False), 1):
        if made.key in needed and step.outcome not in _RAN and results.find(made.key) is None:
            raise Rejected(
                f"step {index + 1} of {record.id} cannot be entered: "
                f"step {number}, {made.step.name}, which it stands on, has not succeeded ({step.outcome})",
                hint=f"contractor shell {record.id} --step {number}",
            )


def _require_secrets(scene: Scene, secrets: dict[str, bytes]) -> None:
    """Rejected: a secret of the step is missing, or one is given that it does not ask for."""
    asked = scene.action.step.secrets
    for name in secrets:
        if name not in asked:
            raise Rejected(
                f"--secret {name}: the step does not ask for it",
                hint=f"secrets that it asks for: {', '.join(asked) or 'none'}",
            )
    for name in asked:
        if name not in secrets:
            raise Rejected(f"the step needs the secret {name}", hint=f"contractor shell --secret {name}=FILE ...")


def _write(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class _Teller:
    """What is said before and after the shell, on standard error."""

    def __init__(self, settings: config.Settings, plan: Plan, witness: Witness) -> None:
        from contractor.cli.console.state import Paper

        self._paper = Paper(sys.stderr, settings.colour)
        self._plan = plan
        self._witness = witness

    def __call__(self, event: AnyEvent) -> None:
        from contractor.cli.console.shell import entered, left

        self._witness.event(event)
        lines: list[str] = []
        if isinstance(event, ShellStarted):
            lines = entered(self._paper, self._plan.actions[event.step].step.name, event, terminal_width())
        elif isinstance(event, ShellFinished):
            lines = left(self._paper, event, terminal_width())
        elif isinstance(event, Notice):
            lines = [f"{event.level}: {sanitize(event.text)}"]
        self._paper.write("".join(line + "\n" for line in lines))
