"""contractor why: why a step would run now, or ran in a past build, field by field. Nothing is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contractor.build.compare.members import changed_files
from contractor.build.compare.why import Answer, Why, past_plan
from contractor.cli import config
from contractor.cli.change_json import explanation_json
from contractor.cli.change_text import ChangeText, Sources
from contractor.cli.console.state import Paper
from contractor.cli.options import Parser, add_request, open_store, request_of
from contractor.cli.output import put, put_json, talk, when
from contractor.cli.text import clip, sanitize, table
from contractor.core.errors import Rejected
from contractor.core.words import ago
from contractor.plan import words
from contractor.plan.causes import CHAINED
from contractor.plan.find import find_step
from contractor.plan.model import Action, Plan
from contractor.store.layout import Store
from contractor.store.records import Records

JSON_VERSION = 1
_VALUE = 100  # columns of what a field is
_LINES = 20  # of a script that never ran
_SHOWN = 12  # digits of a key
_FIELDS = {"hosts": "network", "kind": "action"}  # what people call them


class Asked(NamedTuple):
    """An answer and what it is about. build: the past build, "" for now."""

    plan: Plan
    position: int
    answer: Answer
    sources: Sources
    build: str = ""

    @property
    def action(self) -> Action:
        return self.plan.actions[self.position]


def parser() -> Parser:
    made = Parser(
        "why",
        "Explain why a step would run now, or would not: the inputs of its key against those of the newest build in"
        " which the step finished. With --build: why it ran in that build. Runs nothing; the exit code is 0 whatever"
        " the answer is.",
    )
    made.add_argument("step", metavar="STEP", help="its number, its name, or how its name begins")
    add_request(made)
    made.add_argument("--build", metavar="BUILD", help="a past build: an id, its beginning, a name, last, NAME~1")
    made.add_argument("--json", action="store_true", help="every difference in full, as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store = open_store(args, settings)
    why = Why(store, lambda text: talk(f"note: {sanitize(text)}"))
    asked = [_past(args, store, why)] if args.build is not None else _now(args, settings, store, why)
    if args.json:
        put_json({"version": JSON_VERSION, "steps": [as_json(one) for one in asked]})
        return 0
    paper = Paper(sys.stdout, settings.colour and sys.stdout.isatty())
    for number, one in enumerate(asked):
        put([""] if number else [])
        put(lines_of(one, paper))
    return 0


def _past(args: argparse.Namespace, store: Store, why: Why) -> Asked:
    if args.parameter or args.only or args.spec != "contractor.yaml":
        raise Rejected(
            "--build asks about a past build, which had a specification and parameters of its own",
            hint="leave out --build, or what is beside it",
        )
    records = Records(store)
    record, plan = past_plan(records, records.find(args.build))
    position = find_step([action.step.name for action in plan.actions], args.step, f"the build {record.id}")
    answer = why.past(record, plan, position)
    return Asked(plan, position, answer, changed_files(store, [answer.explanation]), record.id)


def _now(args: argparse.Namespace, settings: config.Settings, store: Store, why: Why) -> list[Asked]:
    """One answer for each combination of the matrix that has the step."""
    from contractor.build.prepare import make_plans
    from contractor.sandbox.local import choose
    from contractor.store.results import Results

    sandbox = choose(one_id=args.one_id)
    asked, trouble = [], None
    for plan in make_plans(request_of(args, settings), store, sandbox):
        try:
            position = find_step([action.step.name for action in plan.actions], args.step, f"the plan of {plan.name}")
        except Rejected as error:
            trouble = trouble or error
            continue
        answer = why.now(plan, position, Results(store, sandbox.ids))
        asked.append(Asked(plan, position, answer, changed_files(store, [answer.explanation])))
    if trouble is not None and not asked:
        raise trouble
    return asked


# --- for people ------------------------------------------------------------------------------------------------------


def lines_of(asked: Asked, paper: Paper) -> list[str]:
    """The answer: a line that says it, what it was compared with, and each field that differs."""
    answer, text = asked.answer, ChangeText(paper, asked.sources)
    lines = [_headline(asked, paper), *(paper.clean(line) for line in _made(asked))]
    if answer.state == "new":
        lines += ["", "it is made of", *("  " + line for line in _inputs(asked, paper))]
    found = answer.explanation
    if found.changes or found.chained:
        lines += ["", *("  " + line for line in text.explanation(found))]
        lines += [paper.style("dim", f"  the same: {paper.clean(same)}")] if (same := _same(asked)) else []
    return lines


def _headline(asked: Asked, paper: Paper) -> str:
    answer, action = asked.answer, asked.action
    verbs = ("ran", "did not run") if asked.build else ("would run", "would not run")
    verb = verbs[0] if answer.runs else verbs[1]
    named = f"step {asked.position + 1} ({clip(paper.clean(action.step.name), 60)})"
    matrix = "".join(f" {name}={value}" for name, value in asked.plan.matrix.items())
    place = f" in {asked.build}" if asked.build else f" for{matrix}" if matrix else ""
    reason = answer.reason if answer.state not in ("cached", "collected") else _SAID[answer.state]
    return paper.style("bold", f"{named} {verb}{paper.clean(place)}") + f": {paper.clean(reason)}"


_SAID = {"cached": "its result is there", "collected": "its result was collected, it is no longer in the store"}
_COMPARED = {"changed": "compared with", "unfinished": "it last finished in", "again": "it had finished in"}


def _made(asked: Asked) -> list[str]:
    """Who made what the step is compared with, or is."""
    answer, compared = asked.answer, asked.answer.compared
    lines = []
    if answer.made_by and answer.state != "again":
        finished = f", {_moment(answer.finished)}" if answer.finished else ""
        lines.append(f"made by {answer.made_by}{finished}")
    if answer.collected:
        lines.append(answer.collected)
    if compared is not None and answer.state in _COMPARED:
        here = f"step {compared.number}" if compared.number != asked.position + 1 else ""
        renamed = f"then called {compared.name}" if _renamed(asked.action, compared.name) else ""
        ran = f"found there, made by {compared.made_by}" if compared.made_by else compared.outcome
        facts = ", ".join(filter(None, (_moment(compared.started), here, renamed, ran)))
        lines.append(f"{_COMPARED[answer.state]} {compared.build} ({facts})")
    return lines


def _renamed(action: Action, name: str) -> bool:
    """Whether somebody gave it another name; one that is made from the action changes with it."""
    from contractor.spec.steps import title

    return action.step.name not in (name, title(action.step.action))


def _moment(seconds: float) -> str:
    import time

    return f"{when(seconds)}, {ago(time.time() - seconds)}"


def _inputs(asked: Asked, paper: Paper) -> list[str]:
    """All inputs of a step that has nothing to be compared with."""
    rows = []
    for name, value in _flat(asked.action.inputs):
        shown = _origin(asked, str(value)) if name in CHAINED else words.plain(value)
        lines = shown.split("\n")
        more = [f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
        for number, line in enumerate([*lines[:_LINES], *more]):
            rows.append(("" if number else paper.clean(name), clip(paper.clean(line), _VALUE)))
    return [line for line in table(rows) if line]


def _flat(inputs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in sorted(inputs.items(), key=lambda item: item[0] != "kind"):
        if name == "action" and isinstance(value, dict):
            rows += value.items()
        elif name == "env" and isinstance(value, dict):
            rows += [(f"env {part}", of) for part, of in value.items()]
        else:
            rows.append((_FIELDS.get(name, name), value))
    return rows


def _origin(asked: Asked, key: str) -> str:
    """What made an input: a step of this plan, or something that is named by its digest."""
    for position, action in enumerate(asked.plan.actions[: asked.position]):
        if action.key == key:
            return f"what step {position + 1} ({action.step.name}) leaves"
    base = getattr(asked.action.step.action, "base", "")
    return f"the base {base}" if base else f"digest {key[:_SHOWN]}" if key else "none"


def _same(asked: Asked) -> str:
    """The fields that do not differ, so that all of them are told."""
    found = asked.answer.explanation
    changed = {change.name if change.input == "action" else change.input for change in found.changes}
    changed |= {chained.input for chained in found.chained}
    names = []
    for name, value in asked.action.inputs.items():
        if name == "action" and isinstance(value, dict):
            names += [part for part in value if part not in changed]
        elif name not in changed and name != "kind":
            names.append(_FIELDS.get(name, name))
        elif name == "env" and isinstance(value, dict):
            rest = len(value.keys() - {change.name for change in found.changes if change.input == "env"})
            names += [f"{rest} other variables of env"] if rest else []
    return ", ".join(names)


# --- for programs ----------------------------------------------------------------------------------------------------


def as_json(asked: Asked) -> dict[str, Any]:
    """The documented shape: numbers count from 1, times are seconds since the epoch."""
    answer, action = asked.answer, asked.action
    compared = msgspec.to_builtins(answer.compared) if answer.compared is not None else None
    return {
        "build": asked.build or None,
        "name": asked.plan.name,
        "matrix": asked.plan.matrix,
        "number": asked.position + 1,
        "step": action.step.name,
        "action": action.kind,
        "key": action.key,
        "state": answer.state,
        "runs": answer.runs,
        "reason": answer.reason,
        "made_by": answer.made_by or None,
        "finished": answer.finished or None,
        "collected": answer.collected or None,
        "compared_with": compared,
        **explanation_json(answer.explanation, asked.sources),
        "inputs": action.inputs,
    }
