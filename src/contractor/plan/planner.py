"""make_plan: steps and facts -> Plan. Pure: it reads nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.plan.environment import shell_environment
from contractor.plan.key import action_key
from contractor.plan.model import Action, Facts, Plan
from contractor.spec import model
from contractor.spec.actions import ACTIONS, HOST_TREE, SYSTREE
from contractor.spec.model import BuildSpec, Step
from contractor.spec.resolve import Resolved

DEFAULT_MIRROR = "http://deb.debian.org/debian"
_DEFAULT_HOSTS = (urlsplit(DEFAULT_MIRROR).netloc,)

BasePlanner = Callable[[str, Step], Plan]


def make_plan(spec: BuildSpec, resolved: Resolved, facts: Facts, *, base_plan: BasePlanner) -> Plan:
    """The plan of one combination of the matrix.

    resolved: the specification's steps, with pipelines expanded and values in place. base_plan: the plan of a base by
    name (of the same architecture), asked for once a name.
    """
    planner = _Planner(spec, facts, base_plan)
    actions = tuple(planner.action(position, step) for position, step in enumerate(resolved.steps))
    return Plan(
        name=spec.name,
        arch=facts.arch,
        epoch=facts.epoch,
        epoch_origin=facts.epoch_origin,
        parameters=facts.parameters,
        matrix=facts.matrix,
        actions=actions,
        limits=spec.limits,
        diagnostics=resolved.diagnostics,
        bases=planner.bases,
        skipped=resolved.skipped,
        file=spec.file,
        specification=facts.specification,
        checkouts=facts.checkouts,
    )


def base_artifact(plan: Plan) -> Action:
    """The action whose artifact a base is: its last create-artifact."""
    made = [action for action in plan.actions if action.kind == "create-artifact"]
    if not made:
        raise Rejected(
            f"the base {plan.name} makes no artifact", hint=f"end {plan.file or plan.name} with create-artifact"
        )
    return made[-1]


class _Planner:
    """What the steps so far have made: the workspace's key, the tree's layers, the artifacts by name."""

    def __init__(self, spec: BuildSpec, facts: Facts, base_plan: BasePlanner) -> None:
        self.spec = spec
        self.facts = facts
        self.base_plan = base_plan
        self.bases: dict[str, Plan] = {}
        self.workspace = ""
        self.layers: tuple[str, ...] = ()
        self.mirrors: tuple[str, ...] = _DEFAULT_HOSTS
        self.artifacts: dict[str, str] = {}
        self.tree_in_workspace = False  # made there by debootstrap: its owners belong to it

    def action(self, position: int, step: Step) -> Action:
        kind = step.action.__struct_config__.tag
        assert isinstance(kind, str)
        rules = ACTIONS[kind]
        artifact = self._artifact(step)
        env = shell_environment(self.spec.name, step, self.facts) if isinstance(step.action, _ENV_ACTIONS) else {}
        inputs: dict[str, Any] = {"kind": kind, "arch": self.facts.arch, "action": _fields(step)}
        if self.facts.ids != "range":
            inputs["ids"] = self.facts.ids
        keeps = isinstance(step.action, model.EmptyWorkspace) and step.action.keep
        if "workspace" in rules.reads or keeps:
            inputs["workspace"] = self.workspace
        if "tree" in rules.reads:
            inputs["tree"] = self.layers[-1] if self.layers else ""
        if artifact:
            inputs["artifact"] = artifact
        if step.limits.cpus and rules.place in (HOST_TREE, SYSTREE):
            inputs["cpus"] = step.limits.cpus
        inputs.update(self._own_inputs(position, step, env))
        inputs = msgspec.json.decode(digest.canonical(inputs))  # as a result has them: lists, no tuples
        key = action_key(inputs)
        before, layers = self.workspace, self.layers
        hosts = self._hosts(step)
        self._wrote(step, key, rules.writes)
        return Action(
            kind=kind,
            step=step,
            key=key,
            inputs=inputs,
            env=env,
            hosts=hosts,
            layers=layers,
            before=before,
            after=self.workspace,
            artifact=artifact,
            arch=self.facts.arch,
        )

    def _own_inputs(self, position: int, step: Step, env: dict[str, str]) -> dict[str, Any]:
        match step.action:
            case model.Shell() | model.Custom() as action:
                own: dict[str, Any] = {"env": env, "hosts": list(step.network), "secrets": list(step.secrets)}
                if isinstance(action, model.Custom):
                    own["executable"] = self.facts.customs[action.name]
                return own
            case model.Source():
                return {"source": self.facts.sources[position], "epoch": self.facts.epoch}
            case model.Debootstrap():
                return {"epoch": self.facts.epoch}
            case model.UnpackArtifact(archive=archive) if archive:
                return {"epoch": self.facts.epoch}
            case model.CreateArtifact(epoch=epoch):
                return {"epoch": self.facts.epoch if epoch is None else epoch, "owners": self.tree_in_workspace}
            case _:
                return {}

    def _artifact(self, step: Step) -> str:
        match step.action:
            case model.UnpackArtifact(name=name, digest=given, base=base):
                return given or (base_artifact(self._base(step, base)).key if base else self._named(step, name))
            case model.CreateSystree(artifact=name, base=base) if base:
                plan = self._base(step, base)
                self.mirrors = _mirror_hosts(action.step for action in plan.actions) or _DEFAULT_HOSTS
                return base_artifact(plan).key
            case model.CreateSystree(artifact=name):
                return self._named(step, name)
            case _:
                return ""

    def _named(self, step: Step, name: str) -> str:
        if digest.is_digest(name):
            return name
        if name not in self.artifacts:
            made = ", ".join(self.artifacts) or "none"
            raise Rejected(
                f"{step.place}: no step before this one makes the artifact {name}",
                details=(f"artifacts made before it: {made}",),
                hint="a step that is left out by its `if` makes none",
            )
        return self.artifacts[name]

    def _base(self, step: Step, name: str) -> Plan:
        if name not in self.bases:
            self.bases[name] = self.base_plan(name, step)
        return self.bases[name]

    def _hosts(self, step: Step) -> tuple[str, ...]:
        match step.action:
            case model.Apt():
                return self.mirrors
            case model.Debootstrap():
                return _mirror_hosts([step])
            case model.Source(git=git) if git:
                return (urlsplit(git).netloc.rpartition("@")[2],) if "://" in git else ()
            case model.Source(url=url) | model.Fetch(url=url) if url:
                return (urlsplit(url).netloc.rpartition("@")[2],)
            case _:
                return step.network

    def _wrote(self, step: Step, key: str, writes: frozenset[str] | tuple[str, ...]) -> None:
        if isinstance(step.action, model.EmptyWorkspace) and not step.action.keep:
            self.workspace = ""
            self.tree_in_workspace = False
        elif "workspace" in writes:
            self.workspace = key
        if isinstance(step.action, model.CreateSystree):
            self.layers = (key,)
        elif "tree" in writes:
            self.layers = (*self.layers, key)
        if isinstance(step.action, model.CreateArtifact):
            self.artifacts[step.action.name] = key
        if isinstance(step.action, model.Debootstrap):
            self.mirrors = _mirror_hosts([step])
            self.tree_in_workspace = True


_ENV_ACTIONS = (model.Shell, model.Custom)


def _fields(step: Step) -> dict[str, Any]:
    """The action's own fields as they enter the key; what only names a place to fetch the same bytes from stays out."""
    action = step.action
    fields = {name: getattr(action, name) for name in action.__struct_fields__}
    match action:
        case model.Source():
            return {"to": action.to}
        case model.Fetch():
            return {"sha256": action.sha256, "to": action.to or fetch_name(action.url)}
        case model.CreateSystree():
            return {}
        case model.UnpackArtifact():
            return {"archive": action.archive} if action.archive else {"to": action.to}
        case model.CreateArtifact():
            del fields["epoch"]
    return fields


def fetch_name(url: str) -> str:
    """The file name that a download gets when none is given: the last part of the URL's path."""
    name = urlsplit(url).path.rpartition("/")[2]
    if not name or name in (".", ".."):
        raise Rejected(f"the URL {url} has no file name", hint="say where it goes with `to: NAME`")
    return name


def _mirror_hosts(steps: Any) -> tuple[str, ...]:
    hosts: list[str] = []
    for step in steps:
        if isinstance(step.action, model.Debootstrap):
            mirror = step.action.mirror
            hosts += [urlsplit(mirror).netloc.rpartition("@")[2]] if mirror else _DEFAULT_HOSTS
    return tuple(dict.fromkeys(hosts))
