"""What signed statements say, as lines for people: of a build, and of a rebuild.

All of it may come from somebody else: everything is made safe for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator

from contractor.cli.text import clip, sanitize, table
from contractor.core.words import count
from contractor.proof import statement as s
from contractor.proof.verdict import Verdict
from contractor.proof.verify import Claim

_WIDE = 100  # columns of a value from a statement


def said(claim: Claim) -> Iterator[str]:
    """What a reader wants to know at once; everything that did not come from us is made safe."""
    yield f"signed by {', '.join(f'{key.name} ({key.id})' for key in claim.keys)}"
    yield from summary(claim.statement)


def summary(statement: s.Statement | Verdict) -> list[str]:
    """What it is about, a line a fact."""
    return _rebuilt(statement) if isinstance(statement, Verdict) else list(_built(statement))


def _rebuilt(verdict: Verdict) -> list[str]:
    about = verdict.about
    rows = [
        ("build", verdict.build),
        ("built again", f"{about.get('again', '?')}, {about.get('outcome', '?')}"),
        *((("the same", ", ".join(verdict.predicate.passedTests)),) if verdict.predicate.passedTests else ()),
        *((("DIFFERENT", ", ".join(verdict.predicate.failedTests)),) if verdict.predicate.failedTests else ()),
        ("varied", "; ".join(map(str, about.get("varied", ())))),
    ]
    return table([(sanitize(name), sanitize(text)) for name, text in rows])


def _built(statement: s.Statement) -> Iterator[str]:
    made, run = statement.predicate.buildDefinition, statement.predicate.runDetails
    internal = statement.internal
    rows = [
        ("build", f"{statement.build}, {run.metadata.finishedOn}"),
        ("specification", f"{made.externalParameters.specification.path}, plan {internal.get('plan', '?')}"),
        *((f"parameter {name}", value) for name, value in made.externalParameters.parameters.items()),
        *((f"matrix {name}", value) for name, value in made.externalParameters.matrix.items()),
        *((("asked for", " ".join(made.externalParameters.asked)),) if made.externalParameters.asked else ()),
        *_sources(statement),
        ("isolation", ("DEGRADED: " if internal.get("degraded") else "") + str(internal.get("isolation", "?"))),
        ("epoch", f"{internal.get('epoch', '?')} ({internal.get('epochOrigin', '?')})"),
        ("materials", _counts(statement)),
        ("tools", ", ".join(f"{name} {version}" for name, version in run.builder.version.items())),
    ]
    if statement.tainted:
        rows.append(("TAINTED", statement.tainted))
    yield from table([(sanitize(name), clip(sanitize(text), _WIDE)) for name, text in rows])


def _sources(statement: s.Statement) -> Iterator[tuple[str, str]]:
    for item in statement.predicate.buildDefinition.resolvedDependencies:
        if item.annotations.get("role") == "commit":
            yield ("commit", item.uri or item.digest.get("gitCommit", "?"))
            changed = item.annotations.get("changedFiles")
            if item.annotations.get("dirty"):
                yield (
                    "DIRTY",
                    f"{count(changed, 'file') if isinstance(changed, int) else 'files'} not as in the commit",
                )


def _counts(statement: s.Statement) -> str:
    kinds: dict[str, int] = {}
    for item in statement.predicate.buildDefinition.resolvedDependencies:
        role = str(item.annotations.get("role", "other"))
        kind = "package" if item.uri.startswith("pkg:") else "fetched file" if role == "fetch" else role
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(count(number, kind) for kind, number in sorted(kinds.items()))


def materials(statement: s.Statement | Verdict) -> Iterator[str]:
    """What went into a build, and its digest."""
    if isinstance(statement, Verdict):
        return
    for item in statement.predicate.buildDefinition.resolvedDependencies:
        digest = next((f"{name}:{value}" for name, value in item.digest.items()), "no digest")
        yield f"{sanitize(item.uri or item.name)}  {sanitize(digest)}"
