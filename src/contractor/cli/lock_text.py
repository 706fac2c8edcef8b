"""A lock in words: what it has, and how it differs from another."""

from __future__ import annotations

from contractor.cli.text import human_size, sanitize, table
from contractor.core.words import count
from contractor.plan.lock import Lock

_MOST = 40  # differences that are told one by one
_DIGITS = 12  # of a commit, a digest


def summary(path: str, lock: Lock) -> str:
    packages = {(p.name, p.architecture, p.version) for step in lock.steps for p in step.packages}
    files = {answer.sha256: answer.size for step in lock.steps for answer in step.answers}
    parts = [
        count(number, noun)
        for number, noun in (
            (len(packages), "package"),
            (len(lock.sources), "git reference"),
            (len(lock.files), "download"),
            (len(lock.bases), "base"),
        )
        if number
    ]
    size = f"; {human_size(sum(files.values()))} of packages and indexes" if files else ""
    return f"{path}: {', '.join(parts) or 'nothing to lock'}{size}"


def changes(old: Lock, new: Lock) -> list[str]:
    """What is other than in the lock before, a line each; [] when nothing is."""
    before, after = _facts(old), _facts(new)
    rows = []
    for name in sorted({*before, *after}):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            rows.append((sanitize(name), sanitize(was) or "new", "->", sanitize(now) or "gone"))
    lines = table(rows[:_MOST])
    return [*lines, f"... and {len(rows) - _MOST} more"] if len(rows) > _MOST else lines


def _facts(lock: Lock) -> dict[str, str]:
    """All that people care about, as name -> version."""
    versions: dict[str, dict[str, None]] = {}
    for step in lock.steps:
        where = f" (base {step.base})" if step.base else ""
        for package in step.packages:
            versions.setdefault(f"{package.name}:{package.architecture}{where}", {})[package.version] = None
    found = {name: ", ".join(each) for name, each in versions.items()}
    found |= {f"{source.url} {source.ref}": source.commit[:_DIGITS] for source in lock.sources}
    found |= {file.url: file.sha256[:_DIGITS] for file in lock.files}
    found |= {f"base {base.name} for {base.arch}": base.digest[:_DIGITS] for base in lock.bases}
    return found
