"""Which step of which build `contractor retry` is asked to run again."""

from __future__ import annotations

from contractor.build.compare.history import plan_of
from contractor.build.debug.attempts import Retry, original
from contractor.core.errors import Rejected
from contractor.plan.find import find_step
from contractor.store.records import Record, Records


def meant(records: Records, build: str, step: str) -> Retry:
    """The step that two words mean, either of which may be empty. One alone is a step of the last build, or a build.

    Rejected: it is both, or neither.
    """
    if build and not step:
        return _one_word(records, build)
    return _retry(records, _first(records, build), step)


def _one_word(records: Records, word: str) -> Retry:
    found: list[Retry] = []
    troubles: list[Rejected] = []
    for read in (_of_last, _of_build):
        try:
            found.append(read(records, word))
        except Rejected as error:
            troubles.append(error)
    if len(found) == 2:
        names = [one.record.steps[one.step].name for one in found]
        raise Rejected(
            f"{word!r} is a step of the last build, and a build",
            details=tuple(f"step {one.step + 1}, {n}, of {one.record.id}" for one, n in zip(found, names, strict=True)),
            hint=f"contractor retry last {word}, or contractor retry {word} {found[1].step + 1}",
        )
    if found:
        return found[0]
    raise troubles[1] if _looks_like_build(word) else troubles[0]


def _of_last(records: Records, word: str) -> Retry:
    return _retry(records, _first(records, ""), word)


def _of_build(records: Records, word: str) -> Retry:
    if word.isdigit() and len(word) < 8:  # the beginning of an id, but nobody means that
        raise Rejected(f"there is no build {word}")
    return _retry(records, _first(records, word), "")


def _looks_like_build(word: str) -> bool:
    return (len(word) >= 8 and word[:8].isdigit()) or "~" in word or word == "last"


def _first(records: Records, word: str) -> Record:
    """The build that a word means; where that is an attempt, not named in full, the build that it is an attempt at."""
    record = records.read(records.find(word))
    build = original(record.asked)
    try:
        return records.read(build) if build and record.id != word else record
    except Rejected:
        return record


def _retry(records: Records, record: Record, step: str) -> Retry:
    names = [found.name for found in record.steps]
    if step:
        return Retry(record, plan_of(records, record.id), find_step(names, step, f"the build {record.id}"))
    ended = ("succeeded", "cached", "not run")
    failed = [index for index, found in enumerate(record.steps) if found.outcome not in ended]
    if not failed:
        raise Rejected(
            f"no step of {record.id} failed",
            details=tuple(f"{number}. {name}" for number, name in enumerate(names, 1)),
            hint=f"say which one to run again: contractor retry {record.id} STEP",
        )
    return Retry(record, plan_of(records, record.id), failed[0])
