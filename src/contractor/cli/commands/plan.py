"""contractor plan: what would run, where, with which network, and why or why not. Nothing is run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec

from contractor.build.compare.history import earlier_builds
from contractor.build.finding import Finder
from contractor.build.prepare import make_plans
from contractor.cli import config
from contractor.cli.console.eta import roughly, total_text
from contractor.cli.options import Parser, add_request, open_store, request_of
from contractor.cli.output import limits_text, put, put_json
from contractor.cli.text import clip, sanitize, table
from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.plan.reasons import Decision, decide
from contractor.sandbox.local import LocalSandbox, choose
from contractor.sandbox.spec import Tier
from contractor.spec.actions import ACTIONS
from contractor.spec.model import Apt, Debootstrap, Source, base_of
from contractor.store.layout import Store
from contractor.store.records import Records
from contractor.store.results import Results
from contractor.store.timings import expected

JSON_VERSION = 1
_LOOK_BACK = 10  # builds of the same name that are compared with
_KEY = 12  # characters of a key that people see
_NAME = 44  # columns of a step's name
_PLACES = {"bwrap on host tree": "host tree", "bwrap on systree": "systree"}  # the table's words, for a narrow screen


class Shown(msgspec.Struct, frozen=True):
    """A plan with what is decided about it. bases: those that must be built first, by name; ready: those that are.

    likely: the seconds that each action is likely to take, None where it never succeeded; empty: not looked up.
    """

    plan: Plan
    decisions: tuple[Decision, ...]
    bases: dict[str, Shown]
    ready: tuple[str, ...]
    likely: tuple[float | None, ...] = ()

    def seconds(self, position: int) -> float | None:
        """What an action that runs is likely to take."""
        return self.likely[position] if self.likely and self.decisions[position].runs else None


def parser() -> Parser:
    made = Parser("plan", "Show what a build would run, where, with which network, and why. Runs nothing.")
    add_request(made)
    made.add_argument("-o", "--output", metavar="DIR", help="as `build -o DIR`, which is no part of a source")
    made.add_argument("--json", action="store_true", help="the plans and the decisions as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store = open_store(args, settings)
    sandbox = choose(one_id=args.one_id)
    leave = (os.path.abspath(args.output),) if args.output else ()
    plans = make_plans(request_of(args, settings)._replace(leave=leave), store, sandbox)
    shown = [examine(plan, store, sandbox) for plan in plans]
    if args.json:
        tier = {"name": sandbox.tier.name, "degraded": sandbox.tier.degraded, "summary": sandbox.tier.summary}
        put_json({"version": JSON_VERSION, "tier": tier, "plans": [as_json(item) for item in shown]})
        return 0
    for number, item in enumerate(shown):
        put([""] if number else [])
        put(heading(item.plan, sandbox.tier))
        put(steps(item))
    return 0


def examine(plan: Plan, store: Store, sandbox: LocalSandbox) -> Shown:
    """What is decided about a plan, and about the bases that it must have built first."""
    results = Results(store, sandbox.ids)
    made_by, finder = {}, Finder(results)
    for action in plan.actions:
        found = finder.find(action)
        if found is not None:
            made_by[action.key] = found.build
    complete = len(made_by) == len({action.key for action in plan.actions})
    history = earlier_builds(Records(store), plan.name, plan.matrix)
    decisions = decide(plan, made_by, [] if complete else islice(history, _LOOK_BACK))
    wanted = {
        base_of(action.step.action) for action, decision in zip(plan.actions, decisions, strict=True) if decision.runs
    }
    missing = {
        name: examine(base, store, sandbox)
        for name, base in plan.bases.items()
        if name in wanted and results.find(base_artifact(base).key) is None
    }
    ready = tuple(name for name in plan.bases if name not in missing)
    ids = [(action.step.name, action.kind) for action in plan.actions]
    likely = () if complete else expected(Records(store), plan.name, plan.matrix, ids)
    return Shown(plan, decisions, missing, ready, likely)


def heading(plan: Plan, tier: Tier) -> list[str]:
    """What holds for the whole plan."""
    rows = [("plan", plan.digest), ("for", plan.arch)]
    if plan.matrix:
        rows.append(("matrix", pairs(plan.matrix)))
    if plan.parameters:
        rows.append(("parameters", pairs(plan.parameters)))
    rows += [
        ("epoch", f"{plan.epoch} ({plan.epoch_origin})"),
        ("limits", limits_text(plan.limits)),
        ("isolation", f"{tier.name}: {tier.summary}"),
    ]
    rows += [("lock", f"{plan.lock}{', which does not cover all of it' if plan.unlocked else ''}")] if plan.lock else []
    return [sanitize(plan.name), *("  " + line for line in table([(name, sanitize(text)) for name, text in rows]))]


def pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def steps(shown: Shown, indent: str = "") -> list[str]:
    """The actions as a table, the bases that must be built before them."""
    lines = []
    for name, base in shown.bases.items():
        lines += [f"{indent}  base {name}, which must be built first (plan {base.plan.digest[:_KEY]})"]
        lines += steps(base, indent + "    ")
    total = total_text([shown.seconds(at) for at, decision in enumerate(shown.decisions) if decision.runs])
    rows: list[tuple[str, ...]] = [("", "step", "place", "network", "key", "", "about", "why")]
    for number, (action, decision) in enumerate(zip(shown.plan.actions, shown.decisions, strict=True), 1):
        seconds = shown.seconds(number - 1)
        cells = (
            str(number),
            clip(_titled(action), _NAME),
            _PLACES.get(ACTIONS[action.kind].place, "contractor"),
            sanitize(_network(shown.plan, action)),
            action.key[:_KEY],
            "will run" if decision.runs else "cached",
            roughly(seconds) if seconds is not None else "",
            sanitize(decision.reason.replace("made by ", "by ")),
        )
        rows.append(cells)
    if not total:
        rows = [row[:6] + row[7:] for row in rows]
    lines += [f"{indent}  {line}" for line in table(rows, right=(0, 6) if total else (0,))]
    lines += [f"{indent}  {total}"] if total else []
    lines += [f"{indent}  left out: {sanitize(name)}: {sanitize(why)}" for name, why in shown.plan.skipped]
    lines += [f"{indent}  not locked: {sanitize(text)}" for text in shown.plan.unlocked]
    return lines


def _network(plan: Plan, action: Action) -> str:
    """Whom the step asks, and whether a lock knows the answers."""
    if action.key in plan.replays:
        return "from the lock"
    hosts = ", ".join(action.hosts)
    mark = is_locked(plan, action)
    if mark is None or not hosts:
        return hosts or "none"
    return f"{hosts} ({'locked' if mark else 'not locked'})"


def is_locked(plan: Plan, action: Action) -> bool | None:
    """Whether the lock covers an action; None without a lock, and for one that none is about."""
    given = action.step.action
    about = isinstance(given, Apt | Debootstrap) or (isinstance(given, Source) and bool(given.git))
    return action.key in plan.locked if plan.lock and about else None


def _titled(action: Action) -> str:
    """A step's name, and its action where the name does not begin with it."""
    name = sanitize(action.step.name)
    return name if name.split(" ")[0] == action.kind else f"{name} ({action.kind})"


def as_json(shown: Shown) -> dict[str, Any]:
    """The documented shape: what people see, and the plan itself as it is stored with a build."""
    plan = shown.plan
    actions = [
        {
            "number": number,
            "name": action.step.name,
            "action": action.kind,
            "place": ACTIONS[action.kind].place,
            "network": list(action.hosts),
            "locked": is_locked(plan, action),
            "key": action.key,
            "runs": decision.runs,
            "reason": decision.reason,
            "cause": decision.cause + 1 or None,
            "seconds": shown.seconds(number - 1),
        }
        for number, (action, decision) in enumerate(zip(plan.actions, shown.decisions, strict=True), 1)
    ]
    return {
        "name": plan.name,
        "digest": plan.digest,
        "lock": plan.lock or None,
        "not_locked": list(plan.unlocked),
        "matrix": plan.matrix,
        "steps": actions,
        "skipped": [{"name": name, "reason": why} for name, why in plan.skipped],
        "bases_to_build": {name: as_json(base) for name, base in shown.bases.items()},
        "bases_ready": list(shown.ready),
        "file": os.path.abspath(plan.file) if plan.file else "",
        "plan": msgspec.to_builtins(plan),
    }
