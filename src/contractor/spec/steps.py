"""A step's node -> a Step: one action and the common keys around it."""

from __future__ import annotations

from typing import Any

import msgspec

from contractor.spec import keys, rules
from contractor.spec.actions import ACTIONS, Action, kind_of
from contractor.spec.fields import load_action, load_environment, load_text, load_texts
from contractor.spec.limits import load_limits
from contractor.spec.model import (
    AnyAction,
    Apt,
    Condition,
    CreateSystree,
    Fetch,
    Limits,
    Pipeline,
    Shell,
    Step,
    UnpackArtifact,
)
from contractor.spec.nodes import BROKEN, LIST, MAPPING, SCALAR, Node
from contractor.spec.parameters import Scope
from contractor.spec.problems import did_you_mean, listed, shown

MAX_STEPS = 1000  # of a file, and of a build with its pipelines
MAX_TITLE = 60


class Uses:
    """What can only be checked when everything is loaded.

    found: where which pipeline is used (owner, node of the action, action). lost: the actions of steps that could not
    be loaded, "" for an unknown one: what they would have made must not be missed as well.
    """

    __slots__ = ("found", "lost")

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self.found: list[tuple[str, Node, Pipeline]] = []


class StepLoader:
    """Loads the steps of the build, or of one pipeline: they share a scope, the build's limits, and an owner's name."""

    __slots__ = ("_limits", "_owner", "_scope", "_uses")

    def __init__(self, scope: Scope, limits: Limits, uses: Uses, owner: str = "") -> None:
        self._scope = scope
        self._limits = limits
        self._uses = uses
        self._owner = owner

    def load_all(self, node: Node) -> tuple[Step, ...]:
        """The steps of a list; at least one, at most MAX_STEPS."""
        if node.kind == BROKEN:
            return ()
        if node.kind != LIST or not node.children:
            found = "an empty list" if node.kind == LIST else "nothing" if node.is_null else f"a {node.kind}"
            node.problem(
                f"steps must be a list of steps, not {found}", "write `- ACTION: ...` lines, such as `- apt: [gcc]`"
            )
            return ()
        if len(node.children) > MAX_STEPS:
            node.children[MAX_STEPS].problem(f"more than {MAX_STEPS} steps", "write a script, or split the build")
        steps = (self.load(child) for child in node.children[:MAX_STEPS])
        return tuple(step for step in steps if step is not None)

    def load(self, node: Node) -> Step | None:
        """One step, or None after its problems were told."""
        if node.kind != MAPPING:
            return self._bare(node)
        row = self._row(node)
        if row is None:
            self._uses.lost.add("")
            return None
        return self.load_as(row, node, node.entries[row.name][1])

    def load_as(self, row: Action, node: Node, action_node: Node) -> Step | None:
        """A step of a known action, with the common keys that stand beside it in node."""
        action = load_action(row, action_node, self._scope)
        common = (
            {name: pair for name, pair in node.entries.items() if name in keys.STEP} if node is not action_node else {}
        )
        for name in list(common):
            if not _allowed(row, name):
                key = common.pop(name)[0]
                key.problem(f"{name} cannot be given for {row.name}", _allowed_hint(row, name))
        entries = {name: value for name, (_key, value) in common.items()}
        settings = self._common(entries)
        if action is None:
            self._uses.lost.add(row.name)
            return None
        if isinstance(action, Pipeline):
            self._uses.found.append((self._owner, action_node, action))
        return Step(action, settings.pop("name", None) or title(action), node.place, **settings)

    def _bare(self, node: Node) -> Step | None:
        """`- empty-workspace`: an action that needs no field may stand alone."""
        row = ACTIONS.get(node.text) if node.kind == SCALAR else None
        if row is None:
            self._uses.lost.add("")
        if node.kind == BROKEN:
            return None
        if node.kind == LIST or node.is_null:
            found = "nothing" if node.is_null else "a list"
            node.problem(f"a step must be a mapping, not {found}", "write `- ACTION: ...`")
            return None
        if row is None:
            node.unknown("action", ACTIONS, otherwise=f"write `- ACTION: ...`; actions are {listed(ACTIONS)}")
            return None
        empty = node.at(node.line, node.column)
        empty.plain = True
        return self.load_as(row, empty, empty)

    def _row(self, node: Node) -> Action | None:
        """The one action of a step; unknown keys are told on the way."""
        found, unknown = [], False
        for name, (key, _value) in node.entries.items():
            if name in ACTIONS:
                found.append(name)
            elif name not in keys.STEP:
                unknown = True
                hint = (
                    f"did you mean {keys.ALIASES[name]}?"
                    if name in keys.ALIASES
                    else did_you_mean(name, (*ACTIONS, *keys.STEP))
                )
                key.problem(f"unknown key {shown(name)} in a step", hint)
        if len(found) == 1:
            return ACTIONS[found[0]]
        if found:
            second = node.entries[found[1]][0]
            second.problem(
                f"a step has one action, this has {listed(found)}", "begin a new step with - before the second"
            )
        elif not unknown:
            node.problem("this step has no action", f"add one of {listed(ACTIONS)}")
        return None

    def _common(self, entries: dict[str, Node]) -> dict[str, Any]:
        """The Step's fields that common keys give."""
        scope = self._scope
        settings: dict[str, Any] = {"limits": self._step_limits(entries)}
        if "name" in entries:
            text = load_text(entries["name"], "text", "name", scope)
            if text is not None and (not text.isprintable() or not text.strip() or len(text) > 200):
                entries["name"].problem(
                    "a step's name must be one line of at most 200 characters", "details belong in comments"
                )
            settings["name"] = text
        if "env" in entries:
            settings["env"] = load_environment(entries["env"], "env", scope)
        if "if" in entries:
            settings["conditions"] = load_conditions(entries["if"], scope)
        if "diagnostics" in entries:
            settings["diagnostics"] = load_texts(entries["diagnostics"], "glob", "diagnostics", scope)
        if "network" in entries:
            settings["network"] = tuple(dict.fromkeys(load_texts(entries["network"], "host", "network", scope)))
        if "secrets" in entries:
            settings["secrets"] = _secrets(entries["secrets"])
        if "exclusive" in entries:
            settings["exclusive"] = load_text(entries["exclusive"], "name", "exclusive", scope) or ""
        return settings

    def _step_limits(self, entries: dict[str, Node]) -> Limits:
        limits = load_limits(entries["limits"], self._limits, step=True) if "limits" in entries else self._limits
        if "timeout" not in entries:
            return limits
        if "limits" in entries and "time" in entries["limits"].entries:
            entries["timeout"].problem("timeout and limits: {time} say the same", "leave one of the two out")
        seconds = entries["timeout"].duration("timeout")
        return limits if seconds is None else msgspec.structs.replace(limits, time=seconds)


def load_conditions(node: Node, scope: Scope) -> tuple[Condition, ...]:
    """`if:`: every NAME must have one of its values. A value that NAME can never have is a problem."""
    if node.kind not in (MAPPING, BROKEN):
        node.problem(
            "if must be a mapping of names to values", "write if: {NAME: VALUE}, with a parameter or a matrix key"
        )
        return ()
    loaded = []
    for name, (key, value) in node.mapping("if").items():
        if name not in scope.names:
            none = "" if scope.names else "there are no parameters and no matrix here"
            key.unknown("parameter or matrix key", scope.names, " in if", none)
            continue
        possible, values = scope.values(name), []
        for item in value.strings(f"{name} in if"):
            text = item.text.lower() if possible == ("true", "false") else item.text
            if possible and text not in possible:
                hint = did_you_mean(text, possible, f"it can be {listed(possible)}")
                item.problem(f"{name} is never {shown(text)}, so this step would never run", hint)
            values.append(text)
        if value.kind == LIST and not value.children:
            value.problem(f"{name} in if has no value, so this step would never run", "write the values")
        loaded.append(Condition(name, tuple(values)))
    return tuple(loaded)


def title(action: AnyAction) -> str:
    """The name of a step that has none: the action and what it is about, or a script's first command."""
    about = ""
    if isinstance(action, Shell):
        lines = (line.strip() for line in action.script.splitlines())
        about = next((line for line in lines if line and not line.startswith("#")), "")
        about = "".join(character if character.isprintable() else " " for character in about)
    elif isinstance(action, Apt):
        about = "apt " + " ".join(action.packages)
    elif isinstance(action, CreateSystree):
        about = f"create-systree {action.base or action.artifact[:16]}"
    elif isinstance(action, UnpackArtifact):
        about = f"unpack-artifact {action.name or action.base or action.digest[:16]}"
    elif isinstance(action, Fetch):
        about = f"fetch {action.to or action.url.split('?')[0].rstrip('/').rpartition('/')[2]}"
    else:
        kind = kind_of(action)
        main = next(
            (getattr(action, name) for name in ("name", "suite", "path", "git", "url") if getattr(action, name, "")), ""
        )
        about = f"{kind} {main}".strip()
    about = about or kind_of(action)
    return about if len(about) <= MAX_TITLE else about[: MAX_TITLE - 3] + "..."


def _secrets(node: Node) -> tuple[str, ...]:
    items = node.strings("secrets")
    return tuple(dict.fromkeys(item.text for item in items if not item.fault(rules.check("variable", item.text))))


def _allowed(row: Action, name: str) -> bool:
    if row.name == "pipeline":
        return name in keys.PIPELINE_STEP
    return row.open or name not in keys.OPEN_STEP


def _allowed_hint(row: Action, name: str) -> str:
    if row.name == "pipeline":
        return "give it to the pipeline's own steps"
    return f"only shell and custom steps may have {name}; the network of {row.name} is: {row.network}"
