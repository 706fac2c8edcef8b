"""The last words on a build: what it made, or what went wrong, whose turn it is and what to type next."""

from __future__ import annotations

from contractor.cli.console.state import BuildState, Paper
from contractor.cli.text import clip, duration, human_size, table, width_of, wrap
from contractor.core.errors import Outcome
from contractor.core.events import ArtifactInfo, BuildFinished
from contractor.core.words import count

_LAST_LINES = 20
_LINE = 500  # columns of one line of output here; the log has the rest

HEADLINES = {
    Outcome.FAILED: "failed",
    Outcome.REJECTED: "was rejected",
    Outcome.NOT_REPRODUCIBLE: "is not reproducible",
    Outcome.OUT_OF_LIMITS: "ran out of limits",
    Outcome.UNAVAILABLE: "cannot be built on this machine",
    Outcome.BROKEN: "broke",
    Outcome.ABORTED: "was aborted",
}
TURNS = {
    Outcome.FAILED: "The command said no: the project has to change",
    Outcome.REJECTED: "The specification or an input has to change",
    Outcome.NOT_REPRODUCIBLE: "The same plan gave other bytes: the project has to change",
    Outcome.OUT_OF_LIMITS: "The plan's own limit was reached: need less, or allow more under `limits`",
    Outcome.UNAVAILABLE: "This machine cannot isolate as asked: whoever runs it has to act",
    Outcome.BROKEN: "Not the project's fault: the machine, the network or a mirror failed; it may work later",
    Outcome.ABORTED: "Stopped because someone asked; finished steps are kept",
}


def summary(build: BuildState, event: BuildFinished, paper: Paper, width: int, *, output: bool = True) -> list[str]:
    """Lines to write once, after the last step; width 0 means that no line is folded or shortened.

    output: whether a failure shows the last lines of the step, or they stand right above already. They come first:
    what went wrong and what to do about it must be next to the prompt, however small the window.
    """
    if event.outcome is Outcome.SUCCEEDED:
        return _success(build, event, paper, width)
    last_lines = _last_lines(build, event, paper, width) if output else []
    return last_lines + _failure(build, event, paper, width)


def _success(build: BuildState, event: BuildFinished, paper: Paper, width: int) -> list[str]:
    dot = f" {paper.mark('dot')} "
    steps = [f"{count(build.run, 'step')} run"] if build.run else []
    steps += [f"{build.cached} cached"] if build.cached else []
    rest = len(build.info.steps) - build.run - build.cached
    steps += [f"{rest} not run, as asked"] if rest > 0 else []
    name = paper.clean(build.info.name)
    lines = [
        paper.style("good", paper.mark("done"))
        + " "
        + paper.style("bold", name)
        + f" built in {duration(event.seconds)}"
        + paper.style("dim", "".join(dot + part for part in steps))
    ]
    if event.artifacts:
        lines += ["", *_artifacts(event.artifacts, paper, width)]
    return lines + _tainted(event, paper, width) + _refused(build, paper, width)


def _tainted(event: BuildFinished, paper: Paper, width: int) -> list[str]:
    """A warning that the results are not what the specification alone makes."""
    if not event.tainted:
        return []
    text = f"Tainted: {paper.clean(event.tainted)}. Do not publish this; build again without the shell"
    first, *rest = wrap(text, width - 3 if width else 0)
    return ["", paper.style("yellow", "! ") + first, *("  " + line for line in rest)]


def _artifacts(artifacts: tuple[ArtifactInfo, ...], paper: Paper, width: int) -> list[str]:
    """A table where it fits; else each artifact over lines of its own, so that the digest can be copied whole."""
    rows = [
        (paper.clean(a.name), human_size(a.size), count(a.files, "file"), _digest(a), paper.clean(a.path))
        for a in artifacts
    ]
    flat = table(rows, right=(1, 2))
    if not width or max(width_of(line) for line in flat) + 2 < width:
        return ["  " + line for line in flat]
    lines = []
    for head, row in zip(table([row[:3] for row in rows], right=(1, 2)), rows, strict=True):
        digest = row[3] if width_of(row[3]) + 4 < width else row[3][: len("sha256:") + 16] + paper.mark("more")
        lines += ["  " + head, "    " + paper.style("dim", digest)]
        lines += ["    " + row[4]] if row[4] else []
    return lines


def _digest(artifact: ArtifactInfo) -> str:
    return "sha256:" + artifact.digest.removeprefix("sha256:")


def _failure(build: BuildState, event: BuildFinished, paper: Paper, width: int) -> list[str]:
    name, style = paper.clean(build.info.name), "yellow" if event.outcome is Outcome.ABORTED else "bad"
    where = _place(build, event.step, paper)
    lines = [
        paper.style(style, f"{paper.mark('failed')} {name} {HEADLINES[event.outcome]}")
        + (f" in {where}" if where else "")
        + paper.style("dim", f", after {duration(event.seconds)}")
    ]
    for text in (event.message, *event.details):
        for line in text.split("\n"):
            lines += ["  " + part for part in wrap(_short(line, paper), width - 2 if width else 0)]
    lines += _refused(build, paper, width)
    lines += ["", *wrap(TURNS[event.outcome], width)]
    record = event.record or build.info.record
    if record:
        lines.append(paper.style("dim", "record: ") + paper.clean(record))
    first, *rest = (event.hint or _next(event)).split("\n")
    return [
        *lines,
        paper.style("bold", "hint: ") + paper.clean(first),
        *("      " + paper.clean(line) for line in rest),
    ]


def _place(build: BuildState, step: int, paper: Paper) -> str:
    info = build.step_info(step)
    if info is None:
        return ""
    return f"step {step + 1} of {len(build.info.steps)}, {paper.clean(info.name)}"


def _last_lines(build: BuildState, event: BuildFinished, paper: Paper, width: int) -> list[str]:
    """The end of the output of the step that decided; of the base inside it, when that is where it failed."""
    if event.step != build.last or event.step < 0 or event.outcome is Outcome.ABORTED:
        return []
    source = build
    while source.child:
        source = source.child
    output = source.tail.lines(_LAST_LINES)
    if not any(output):
        return []
    whole = len(output) < _LAST_LINES
    inside = f" of {paper.clean(source.info.name)}" if source is not build else ""
    title = "The output" if whole else f"The last {_LAST_LINES} lines"
    bar = paper.style("dim", f"  {paper.mark('bar')} ")
    lines = [f"{title} of {_place(source, source.last, paper)}{inside}:"]
    for line in output:
        lines += [bar + part for part in wrap(_short(line, paper), width - 5 if width else 0)]
    return [*lines, ""]


def _short(line: str, paper: Paper) -> str:
    return clip(paper.clean(line), _LINE, paper.mark("more"))


def _refused(build: BuildState, paper: Paper, width: int) -> list[str]:
    lines = []
    for verdict, words in (("refused", "Network access was refused to "), ("failed", "Fetching failed from ")):
        hosts = build.refusals.summary(verdict)
        if hosts:
            first, *rest = wrap(words + paper.clean(hosts), width - 3 if width else 0)
            lines += [paper.style("yellow", "! ") + first, *("  " + line for line in rest)]
    return ["", *lines] if lines else []


def _next(event: BuildFinished) -> str:
    """What to type when whoever ended the build gave no hint of their own."""
    if event.outcome is Outcome.UNAVAILABLE:
        return "contractor doctor"
    if event.outcome in (Outcome.ABORTED, Outcome.BROKEN):
        return "run the same command again: it goes on after the last finished step"
    return f"contractor log {event.build}"
