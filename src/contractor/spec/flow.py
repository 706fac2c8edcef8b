"""What must hold between steps: pipelines exist and end, artifacts and system trees are made before they are used.

`check_uses` finds what can be known from the text. `check_steps` is exact on the resolved steps of one combination;
on a text, where conditions and `${NAME}` leave things open, it tells only what is wrong in every case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from contractor.spec import references, rules
from contractor.spec.actions import row_of
from contractor.spec.fields import pipeline_place
from contractor.spec.model import BuildSpec, CreateArtifact, CreateSystree, Pipeline, Place, Step, UnpackArtifact
from contractor.spec.nodes import Node
from contractor.spec.parameters import accept
from contractor.spec.problems import Problems, closest, did_you_mean, shown
from contractor.spec.steps import MAX_STEPS, Uses

MAX_NESTING = 16  # pipelines in pipelines


def check_uses(spec: BuildSpec, uses: Uses, problems: Problems) -> None:
    """Check every use of a pipeline, and then the flow of all steps, pipelines inlined."""
    before = len(problems)
    edges: dict[str, list[tuple[str, Place]]] = {}
    for owner, node, action in uses.found:
        _check_use(spec, node, action, problems)
        edges.setdefault(owner, []).append((action.name, node.place))
    _check_cycles(edges, problems)
    if len(problems) > before:
        return  # inlining needs pipelines that exist and end
    count = _count(spec.steps, spec, {})
    if count > MAX_STEPS:
        place = spec.steps[0].place
        problems.add(
            place,
            f"with its pipelines the build has {count} steps, more than {MAX_STEPS}",
            "write scripts, or split it",
        )
        return
    check_steps(inlined(spec.steps, spec), problems, exact=False, lost=uses.lost)


def inlined(steps: Iterable[Step], spec: BuildSpec) -> Iterator[Step]:
    """The steps in the order in which they run, with each pipeline's in place of its use."""
    for step in steps:
        if isinstance(step.action, Pipeline):
            pipeline = spec.pipelines[step.action.name]
            for inner in inlined(pipeline.steps, spec):
                # what a pipeline's step does depends on the use's conditions too
                yield Step(inner.action, inner.name, inner.place, conditions=(*step.conditions, *inner.conditions))
        else:
            yield step


def check_steps(steps: Iterable[Step], problems: Problems, *, exact: bool, lost: Collection[str] = ()) -> None:
    """Check artifacts and system trees of steps in their order.

    exact: conditions and references are settled. lost: actions of steps that could not be loaded (see Uses).
    """
    every = list(steps)
    made: dict[str, Step] = {}
    later: dict[str, Place] = {}
    for step in every:
        if isinstance(step.action, CreateArtifact):
            later.setdefault(step.action.name, step.place)
    # an artifact of any name may have been made, a tree may be there: by a lost step, or under a `${NAME}`
    vague = any(name in lost for name in ("", "create-artifact", "pipeline"))
    tree = any(name in lost for name in ("", "create-systree", "pipeline"))
    treeless_told = False
    for step in every:
        action = step.action
        if "tree" in row_of(action).reads and not tree and not treeless_told:
            treeless_told = True
            hint = "add a step `- create-systree: {base: debian-12}` before it"
            problems.add(step.place, "there is no system tree yet for this step to run on", hint)
        if isinstance(action, CreateArtifact):
            vague = vague or (not exact and bool(references.names(action.name)))
            first = made.setdefault(action.name, step)
            if first is not step and (
                exact or not (first.conditions or step.conditions or references.names(action.name))
            ):
                message = f"the artifact {shown(action.name)} is created twice, first in {first.place}"
                problems.add(step.place, message, "give one of the two another name")
        elif isinstance(action, (UnpackArtifact, CreateSystree)):
            name = action.name if isinstance(action, UnpackArtifact) else action.artifact  # none: a digest, or a base
            known = not name or name in made or rules.is_sha256(name)
            if not known and (exact or not (vague or references.names(name))):
                problems.add(
                    step.place,
                    f"no earlier step creates the artifact {shown(name)}",
                    _missing_hint(name, step, made, later),
                )
            tree = tree or isinstance(action, CreateSystree)


def _missing_hint(name: str, step: Step, made: dict[str, Step], later: dict[str, Place]) -> str:
    if name in later:
        return f"it is created later, in {later[name]}: move that step up"
    match = closest(name, made)
    if match:
        return f"did you mean {match}?"
    if isinstance(step.action, CreateSystree):
        return (
            f"if it is a base, write create-systree: {{base: {name}}}"
            if name.isprintable()
            else "write {base: NAME} for a base"
        )
    return "create it with create-artifact before, or give a digest"


def _check_use(spec: BuildSpec, node: Node, action: Pipeline, problems: Problems) -> None:
    """Check the name and the parameters that a step gives to a pipeline."""
    place = node.entries["name"][1].place if "name" in node.entries else node.place
    if references.names(action.name):
        problems.add(
            place, "a pipeline's name cannot hold ${...}: steps are planned before", "write a step each, with `if`"
        )
        return
    pipeline = spec.pipelines.get(action.name)
    if pipeline is None:
        hint = did_you_mean(
            action.name, spec.pipelines, "" if spec.pipelines else "define it under pipelines: at the top"
        )
        problems.add(place, f"unknown pipeline {shown(action.name)}", hint)
        return
    if not pipeline.steps:
        return  # it could not be loaded, which has been told
    known = [parameter.name for parameter in pipeline.parameters]
    for name in action.parameters:
        if name not in known:
            hint = did_you_mean(name, known, "" if known else "it has no parameters")
            message = f"unknown parameter {shown(name)} of pipeline {action.name}"
            problems.add(pipeline_place(node, name), message, hint)
    for parameter in pipeline.parameters:
        given = action.parameters.get(parameter.name)
        if given is None and parameter.default is None:
            hint = f"write {{name: {action.name}, parameters: {{{parameter.name}: VALUE}}}}"
            message = f"the parameter {parameter.name} of pipeline {action.name} has no value and no default"
            problems.add(place, message, hint)
        elif given is not None and not references.names(given):
            fault = accept(parameter, references.substitute(given, {}))[1]
            problems.add_fault(pipeline_place(node, parameter.name), fault)


def _check_cycles(edges: dict[str, list[tuple[str, Place]]], problems: Problems) -> None:
    """Tell pipelines that use themselves, and nesting beyond MAX_NESTING. Each pipeline is walked once."""
    heights: dict[str, int] = {}

    def height(name: str, path: tuple[str, ...]) -> int:
        if name in heights:
            return heights[name]
        highest = 0
        for used, place in edges.get(name, ()):
            if used in path or len(path) > 4 * MAX_NESTING:
                cycle = " -> ".join((*path[path.index(used) :], used)) if used in path else ""
                message = f"a pipeline uses itself: {cycle}" if cycle else "pipelines are nested too deep"
                problems.add(place, message, "pipelines must end: take one of the uses out")
                continue
            highest = max(highest, 1 + height(used, (*path, used)))
            if highest > MAX_NESTING:
                problems.add(place, f"pipelines are nested deeper than {MAX_NESTING}", "use fewer levels")
                highest = 0
        heights[name] = highest
        return highest

    for owner in edges:
        height(owner, (owner,) if owner else ())


def _count(steps: tuple[Step, ...], spec: BuildSpec, known: dict[str, int]) -> int:
    """How many steps they are when inlined, without inlining them: pipelines can multiply."""
    count = 0
    for step in steps:
        if isinstance(step.action, Pipeline):
            name = step.action.name
            if name not in known:
                known[name] = _count(spec.pipelines[name].steps, spec, known)
            count += known[name]
        else:
            count += 1
    return count
