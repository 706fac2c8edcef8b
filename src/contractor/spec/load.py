"""The text of a specification -> a BuildSpec, or one SpecError that tells every problem with its place and a hint."""

from __future__ import annotations

from collections.abc import Callable

from contractor.core.errors import ContractorError
from contractor.spec import flow, keys, rules
from contractor.spec.actions import ACTIONS
from contractor.spec.epoch import check_epoch, load_epoch
from contractor.spec.fields import language, load_environment, load_texts
from contractor.spec.limits import load_limits
from contractor.spec.model import BuildSpec, Limits, PipelineSpec, Step
from contractor.spec.nodes import MAPPING, Node
from contractor.spec.parameters import Scope, load_matrix, load_parameters
from contractor.spec.parse import parse
from contractor.spec.problems import Problems, did_you_mean, shown
from contractor.spec.steps import StepLoader, Uses

Read = Callable[[str], bytes]  # a path relative to the specification -> the file's bytes; raises OSError
MAX_PIPELINES = 200
_BEGIN = "a specification begins with the lines `contractor: 1` and `name: NAME`"


def load_spec(text: bytes | str, name: str = "contractor.yaml", read: Read | None = None) -> BuildSpec:
    """The specification that a text says. name stands in problems' places; read gives pipelines' files.

    Raises SpecError with all problems; never anything else, whatever the text is.
    """
    problems = Problems(name)
    root = parse(text, name, problems)
    if root is None:
        if not problems:
            problems.add(Node("text", "", 1, 1, name, problems).place, "the specification is empty", _BEGIN)
        problems.check()
        raise AssertionError("unreachable: check raised")
    spec = _Loader(root, problems, read).spec()
    problems.check()
    return spec


class _Loader:
    """What the parts of one specification share while it is read."""

    def __init__(self, root: Node, problems: Problems, read: Read | None) -> None:
        self.root = root
        self.problems = problems
        self.read = read
        self.uses = Uses()
        self.limits = Limits()
        self.matrix: dict[str, tuple[str, ...]] = {}
        self.nodes: dict[str, Node] = {}

    def spec(self) -> BuildSpec:
        """The whole, in the order in which parts need each other. With problems, it only serves to find more."""
        root = self.root
        if root.kind != MAPPING:
            if not root.is_null:
                root.problem(f"a specification is a mapping, not a {root.kind}", _BEGIN)
            else:
                root.problem("the specification is empty", _BEGIN)
            return BuildSpec("", ())
        self.nodes = nodes = self._top()
        epoch = load_epoch(nodes.get("epoch"))
        parameters = load_parameters(nodes.get("parameters"), epoch)
        check_epoch(nodes.get("epoch"), epoch, parameters)
        self.matrix = load_matrix(nodes.get("matrix"), parameters)
        scope = Scope(parameters, self.matrix)
        if "limits" in nodes:
            self.limits = load_limits(nodes["limits"], self.limits, step=False)
        pipelines = self._pipelines()
        spec = BuildSpec(
            self._name(),
            self._steps(scope),
            summary=(nodes["summary"].string("summary") or "") if "summary" in nodes else "",
            parameters=parameters,
            matrix=self.matrix,
            pipelines=pipelines,
            limits=self.limits,
            diagnostics=load_texts(nodes["diagnostics"], "glob", "diagnostics", scope)
            if "diagnostics" in nodes
            else (),
            epoch=epoch,
            env=load_environment(nodes["env"], "env", scope) if "env" in nodes else {},
            file=root.file,
        )
        flow.check_uses(spec, self.uses, self.problems)
        return spec

    def _top(self) -> dict[str, Node]:
        """The top's values by key; unknown and missing keys are told."""
        nodes = {}
        for name, (key, value) in self.root.entries.items():
            if name in keys.TOP:
                nodes[name] = value
                continue
            hint = f"did you mean {keys.ALIASES[name]}?" if name in keys.ALIASES else did_you_mean(name, keys.TOP)
            if name in ACTIONS or name in keys.STEP:
                hint = "it belongs to a step: indent it under `- ` in steps:"
            key.problem(f"unknown key {shown(name)} at the top", hint)
        start = self.root.at(1, 1)
        if "contractor" not in nodes:
            start.problem("the key contractor is missing", f"write contractor: {keys.LANGUAGE} in the first line")
        else:
            language(nodes["contractor"])
        if "name" not in nodes:
            start.problem("the key name is missing", "write name: NAME, such as name: make-hello")
        if "steps" not in nodes:
            start.problem("the key steps is missing", "write steps: and a list of `- ACTION: ...` lines")
        return nodes

    def _name(self) -> str:
        node = self.nodes.get("name")
        text = node.string("name") if node else None
        if node is None or text is None or node.fault(rules.check("name", text)):
            return ""
        return text

    def _steps(self, scope: Scope) -> tuple[Step, ...]:
        """The source, if there is one, and the steps."""
        loader = StepLoader(scope, self.limits, self.uses)
        source = self.nodes.get("source")
        first = loader.load_as(ACTIONS["source"], source, source) if source else None
        steps = loader.load_all(self.nodes["steps"]) if "steps" in self.nodes else ()
        return (first, *steps) if first else steps

    def _pipelines(self) -> dict[str, PipelineSpec]:
        node = self.nodes.get("pipelines")
        loaded: dict[str, PipelineSpec] = {}
        if node is None:
            return loaded
        entries = node.mapping("pipelines")
        if len(entries) > MAX_PIPELINES:
            node.problem(f"more than {MAX_PIPELINES} pipelines", "split the build")
            return loaded
        for name, (key, value) in entries.items():
            if not key.fault(rules.check("name", name)):
                loaded[name] = self._pipeline(name, value)
        return loaded

    def _pipeline(self, name: str, node: Node) -> PipelineSpec:
        what = f"the pipeline {name}"
        entries = node.mapping(what, keys.PIPELINE)
        if "file" in entries:
            for other in ("parameters", "steps"):
                if other in entries:
                    entries[other][0].problem(f"{what} has a file and {other}", f"move {other} into the file")
            other_node = self._other_file(entries["file"][1])
            if other_node is None:
                return PipelineSpec(name, ())
            node = other_node
            entries = node.mapping(what, [key for key in keys.PIPELINE_FILE if key != "file"])
            if "contractor" in entries:
                language(entries["contractor"][1])
        parameters = load_parameters(entries["parameters"][1] if "parameters" in entries else None)
        for parameter in parameters:
            if parameter.name in self.matrix:
                place = entries["parameters"][1].entries[parameter.name][0]
                place.problem(f"{parameter.name} is a parameter and a matrix key", "give one of the two another name")
        if "steps" not in entries:
            if node.kind != "broken":
                node.problem(f"{what} has no steps", "write steps: or file: under its name")
            return PipelineSpec(name, (), parameters)
        loader = StepLoader(Scope(parameters, self.matrix), self.limits, self.uses, name)
        return PipelineSpec(name, loader.load_all(entries["steps"][1]), parameters)

    def _other_file(self, node: Node) -> Node | None:
        """The root of a pipeline's file; the file is beside the specification or below it."""
        path = node.string("file")
        if path is None or node.fault(rules.check("path", path)):
            return None
        if self.read is None:
            node.problem(f"the file {shown(path)} cannot be read here", "write the pipeline's steps in this file")
            return None
        try:
            text = self.read(path)
        except (OSError, ContractorError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            node.problem(
                f"the file {shown(path)} cannot be read: {reason}", "its path is relative to the specification"
            )
            return None
        before = len(self.problems)
        root = parse(text, path, self.problems)
        if root is None and len(self.problems) == before:
            node.problem(f"the file {shown(path)} is empty", "write parameters: and steps: in it")
        return root
