"""`.launchpad.yaml` as values: stages of jobs, each job expanded by its matrix, with every problem at its place.

Pure. Source: https://documentation.ubuntu.com/launchpad-lpci/configuration.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from contractor.buildd.builds.launchpad_model import CiJob, Configuration, Input, Output, Repository
from contractor.spec.nodes import LIST, MAPPING, SCALAR, Node
from contractor.spec.parse import parse
from contractor.spec.problems import Problem, Problems, SpecError

FILE = ".launchpad.yaml"
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9+._-]+")
_MOST_VARIANTS = 1000
_TOP = ("pipeline", "jobs", "license")
_JOB = (
    "series", "architectures", "packages", "package-repositories", "snaps", "environment", "plugin", "run-before",
    "run", "run-after", "output", "input", "matrix", "root",
)  # fmt: skip
_PLUGIN_KEYS = ("conda-packages", "conda-python", "conda-channels", "build-target", "recipe-folder", "golang-version")
_OUTPUT = ("paths", "distribute", "channels", "properties", "dynamic-properties", "expires")
_REPOSITORY = ("type", "formats", "components", "suites", "url", "ppa", "trusted")
_DURATION = re.compile(
    r"(?:(\d+) ?days?,? ?)?(?:(\d+):(\d\d)(?::(\d\d))?)?|P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+S)?)?"
)


def load(data: bytes) -> Configuration:
    """The configuration in a file's bytes. Raises SpecError with all problems."""
    problems = Problems(FILE)
    root = parse(data, FILE, problems)
    if root is None:
        problems.check()
        raise SpecError([Problem(None, f"{FILE} is empty", "it needs pipeline and jobs")], name=FILE)
    reader = _Reader(root)
    found = reader.configuration()
    problems.check()
    return found


Entries = Mapping[str, tuple[Node, Node]]


class _Reader:
    def __init__(self, root: Node) -> None:
        self._root = root

    def configuration(self) -> Configuration:
        top = self._root.mapping("the configuration", _TOP)
        for wanted in ("pipeline", "jobs"):
            if wanted not in top and self._root.kind == MAPPING:
                self._root.problem(f"{wanted} is missing", "see `.launchpad.yaml` in lpci's documentation")
        jobs: dict[str, tuple[CiJob, ...]] = {}
        if "jobs" in top:
            for name, (key, value) in top["jobs"][1].mapping("jobs").items():
                self._identifier(key, "the name of a job")
                jobs[name] = tuple(self._jobs(name, value))
        stages = tuple(self._stages(top["pipeline"][1], jobs)) if "pipeline" in top else ()
        license_ = _texts(top["license"][1], "license", ("spdx", "path")) if "license" in top else {}
        return Configuration(stages, jobs, license_)

    def _stages(self, node: Node, jobs: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
        if node.kind != LIST:
            node.problem("pipeline must be a list of stages", "write `- NAME`, or `- [NAME, NAME]`, a line each")
            return
        for stage in node.children:
            words = stage.strings("a stage")
            for word in words:
                if word.text not in jobs:
                    word.unknown("job", tuple(jobs), " in pipeline")
            yield tuple(word.text for word in words)

    def _jobs(self, name: str, node: Node) -> Iterator[CiJob]:
        entries = node.mapping(f"the job {name}", (*_JOB, *_PLUGIN_KEYS))
        if "matrix" not in entries:
            yield self._job(name, 0, node, entries)
            return
        matrix = entries["matrix"][1]
        base = {key: value for key, value in entries.items() if key != "matrix"}
        if matrix.kind != LIST or not matrix.children or len(matrix.children) > _MOST_VARIANTS:
            matrix.problem(f"matrix must be a list of 1 to {_MOST_VARIANTS} mappings", "write `- KEY: VALUE` lines")
            return
        for index, variant in enumerate(matrix.children):
            own = variant.mapping("an item of matrix", (*_JOB, *_PLUGIN_KEYS))
            if "matrix" in own:
                own["matrix"][0].problem("a matrix cannot be in a matrix", "write out the items")
            yield self._job(name, index, node, {**base, **own})

    def _job(self, name: str, index: int, node: Node, entries: Entries) -> CiJob:
        for key in ("series", "architectures"):
            if key not in entries and node.kind == MAPPING:
                node.problem(f"the job {name} has no {key}", f"add `{key}:`")
        series = entries["series"][1] if "series" in entries else None
        architectures = entries["architectures"][1].strings("architectures") if "architectures" in entries else []
        for word in [*([series] if series else []), *architectures]:
            self._identifier(word, "series and architectures")
        root = entries["root"][1].boolean("root") if "root" in entries else True
        return CiJob(
            name=name,
            index=index,
            series=series.text if series else "",
            architectures=tuple(word.text for word in architectures),
            packages=_words(entries, "packages"),
            snaps=tuple(self._snaps(entries)),
            repositories=tuple(self._repositories(entries)),
            environment=_texts(entries["environment"][1], "environment") if "environment" in entries else {},
            plugin=_text(entries, "plugin"),
            run_before=_text(entries, "run-before"),
            run=_text(entries, "run"),
            run_after=_text(entries, "run-after"),
            output=self._output(entries["output"][1]) if "output" in entries else None,
            input=self._input(entries["input"][1]) if "input" in entries else None,
            root=root is not False,
        )

    def _snaps(self, entries: Entries) -> Iterator[str]:
        """A name, or a mapping with a name and more."""
        if "snaps" not in entries:
            return
        node = entries["snaps"][1]
        for item in node.children if node.kind == LIST else [node]:
            if item.kind == MAPPING:
                yield _text(item.mapping("a snap"), "name")
            elif (name := item.string("a snap")) is not None:
                yield name

    def _repositories(self, entries: Entries) -> Iterator[Repository]:
        if "package-repositories" not in entries:
            return
        node = entries["package-repositories"][1]
        if node.kind != LIST:
            node.problem("package-repositories must be a list", "write `- type: apt` and more keys below it")
            return
        for item in node.children:
            found = item.mapping("a repository", _REPOSITORY)
            repository = Repository(
                formats=_words(found, "formats"),
                suites=_words(found, "suites"),
                components=_words(found, "components"),
                url=_text(found, "url"),
                ppa=_text(found, "ppa"),
                trusted=found["trusted"][1].boolean("trusted") if "trusted" in found else None,
            )
            if _text(found, "type") != "apt":
                item.problem("the type of a repository must be apt", "write `type: apt`")
            if not repository.suites or not set(repository.formats) <= {"deb", "deb-src"} or not repository.formats:
                item.problem("a repository needs suites, and formats of deb and deb-src", "see lpci's documentation")
            if bool(repository.url) == bool(repository.ppa) or (repository.url and not repository.components):
                item.problem("a repository has either url and components, or ppa", "leave one of them out")
            if any(
                re.search(r"[\s\[\]]", word) for word in (*repository.suites, *repository.components, repository.url)
            ):
                item.problem("there is white space or a bracket in a word for apt", "write one word each")
            yield repository

    def _output(self, node: Node) -> Output:
        found = node.mapping("output", _OUTPUT)
        expires = _text(found, "expires")
        if expires and not (expires.isdigit() or _DURATION.fullmatch(expires)):
            found["expires"][1].problem(f"{expires[:40]!r} is not a length of time", "write seconds, 1:30:00 or P1D")
        distribute = _text(found, "distribute")
        if distribute not in ("", "artifactory"):
            found["distribute"][1].unknown("way to distribute", ("artifactory",))
        return Output(
            paths=_words(found, "paths"),
            distribute=distribute,
            channels=_words(found, "channels"),
            properties=_texts(found["properties"][1], "properties") if "properties" in found else {},
            dynamic_properties=_text(found, "dynamic-properties"),
            expires=expires,
        )

    def _input(self, node: Node) -> Input:
        found = node.mapping("input", ("job-name", "target-directory"))
        for key in ("job-name", "target-directory"):
            if key not in found and node.kind == MAPPING:
                node.problem(f"input has no {key}", f"add `{key}:`")
        return Input(_text(found, "job-name"), _text(found, "target-directory"))

    def _identifier(self, node: Node, what: str) -> None:
        text = node.string(what)
        if text is not None and not _IDENTIFIER.fullmatch(text):
            hint = "two or more of a-z, 0-9, +, ., _ and -, beginning with a letter or digit"
            node.problem(f"{what}: {text[:60]!r} is no identifier", hint)


def _text(entries: Entries, key: str) -> str:
    """A scalar's text, empty when it is not there or null."""
    if key not in entries or entries[key][1].is_null:
        return ""
    return entries[key][1].string(key) or ""


def _words(entries: Entries, key: str) -> tuple[str, ...]:
    if key not in entries or entries[key][1].is_null:
        return ()
    return tuple(word.text for word in entries[key][1].strings(key))


def _texts(node: Node, what: str, allowed: tuple[str, ...] | None = None) -> dict[str, str]:
    """A mapping of texts; numbers and the like are taken as they are written."""
    found = {}
    for name, (key, value) in node.mapping(what, allowed).items():
        if value.kind != SCALAR:
            key.problem(f"{what}: {name[:60]} must be a text", "write one value")
        elif not value.is_null:
            found[name] = value.text
    return found
