"""Why build dependencies cannot be installed: does the build wait for a package, or can it never work? Pure.

apt says it in sentences. Some are definite: the archives have no such package or version, so the build waits for one.
Others are not, for they can come of anything; then the source's build dependencies are compared with what apt can see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contractor.buildd.debian import Atom, paragraphs, relations

FAIL_STAGE = b"Fail-Stage: install-deps"
TOOLCHAIN = b"Toolchain package versions:"
_TAIL = 4096  # bytes of the log in which the stage is looked for

# " who : Depends: name[:qualifier] (>= 1.0) but WHY[ or]"; of several, only the first names who, and alternatives
# follow without "Depends:". apt writes < for <<, and nothing behind a name of which it knows only that it will not do.
_SENTENCE = re.compile(
    r"^(?:[^\n]*?[ \t]:)?[ \t]*(?P<depends>(?:Pre-?)?Depends:[ \t]+)?"
    r"(?P<name>[a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?"
    r"(?:[ \t]\((?P<relation>[<>=]{1,2})[ \t](?P<version>[^\s)]+)\))?"
    r"(?:[ \t]but[ \t](?P<why>[^\n]*?))?(?P<more>[ \t]or)?[ \t]*$",
    re.MULTILINE,
)
_STRICT = {"<": "<<", ">": ">>"}
_DEFINITE = re.compile(r"it is not installable|it is a virtual package|\S+ is (?:to be )?installed")
_DUBIOUS = re.compile(r"it is not (?:going to be )?installed")
_KEEPS = (
    b"E: There are problems and -y was used without --force-yes",
    b"E: There were unauthenticated packages and -y was used without --allow-unauthenticated",
)

DUMP = "apt-cache dumpavail | grep -E '^(Package|Version|Provides):|^$'"
"""What asks apt what it can see, for `available_of`."""

Available = Mapping[str, frozenset[str]]
"""What apt can see: package -> its versions; "" for a name that is provided without one."""


class Reason(NamedTuple):
    """status: DEPFAIL, GIVENBACK or PACKAGEFAIL; dependencies: what DEPFAIL waits for."""

    status: str
    dependencies: str = ""


class Sentences(NamedTuple):
    """What apt's sentences in a log say. definite: dependencies that nothing fulfils; dubious: other ones."""

    definite: tuple[str, ...] = ()
    dubious: tuple[str, ...] = ()


def failed_installing(log: bytes) -> bool:
    """Whether the end of a log says that build dependencies could not be installed."""
    return any(line.strip() == FAIL_STAGE for line in log[-_TAIL:].splitlines())


def sentences(log: bytes) -> Sentences:
    """What apt says in a log before the build itself begins."""
    text = log.partition(TOOLCHAIN)[0].decode("utf-8", "replace")
    definite: list[str] = []
    dubious: list[str] = []
    alternatives: list[tuple[str, bool]] = []
    for match in _SENTENCE.finditer(text):
        why, sign = match["why"] or "", match["relation"]
        is_definite = _DEFINITE.fullmatch(why) is not None
        if not (is_definite or _DUBIOUS.fullmatch(why) or (not why and match["depends"])):
            continue
        relation = f" ({_STRICT.get(sign, sign)} {match['version']})" if sign else ""
        alternatives.append((match["name"] + relation, is_definite))
        if match["more"]:
            continue
        sure = all(is_sure for _name, is_sure in alternatives)
        (definite if sure else dubious).append(" | ".join(name for name, _is_sure in alternatives))
        alternatives = []
    dubious += [name for name, _is_sure in alternatives]  # the text ended with an "or"
    return Sentences(tuple(dict.fromkeys(definite)), tuple(dict.fromkeys(dubious)))


def keeps_given_back(log: bytes) -> bool:
    """Whether it failed for want of trust in the archives: another builder may do better."""
    return any(line in log for line in _KEEPS)


def reason(log: bytes, unmet: Iterable[str] | None) -> Reason:
    """What is to become of a build that was given back. unmet: what `missing` says; asked for only when apt's sentences
    leave it open (an iterator that is not begun otherwise).
    """
    if not failed_installing(log):
        return Reason("PACKAGEFAIL")
    said = sentences(log)
    if said.definite:
        return Reason("DEPFAIL", ", ".join(said.definite))
    if said.dubious and unmet is not None and (found := ", ".join(unmet)):
        return Reason("DEPFAIL", found)
    if keeps_given_back(log):
        return Reason("GIVENBACK")
    return Reason("PACKAGEFAIL")


def build_depends(dsc: Mapping[str, str], *, arch_indep: bool) -> list[tuple[Atom, ...]]:
    """What a source package needs to be built here. Rejected: a field is none."""
    fields = ["build-depends", "build-depends-arch", *(["build-depends-indep"] if arch_indep else [])]
    return [wanted for name in fields for wanted in relations(dsc.get(name, ""))]


def missing(wanted: Iterable[tuple[Atom, ...]], available: Available, architecture: str) -> list[str]:
    """The dependencies that nothing which apt can see fulfils, without what restricts them."""
    found = []
    for alternatives in wanted:
        counting = [atom for atom in alternatives if atom.applies(architecture)]
        if counting and not any(_is_met(atom, available) for atom in counting):
            found.append(" | ".join(atom.plain for atom in counting))
    return list(dict.fromkeys(found))


def _is_met(atom: Atom, available: Available) -> bool:
    versions = available.get(atom.name, frozenset())
    return any(not atom.relation or (version and atom.is_met_by(version)) for version in versions)


def available_of(dump: str) -> dict[str, frozenset[str]]:
    """What `apt-cache dumpavail` tells, as paragraphs with Package, Version and Provides."""
    found: dict[str, set[str]] = {}
    for fields in paragraphs(dump):
        if "package" not in fields:
            continue
        found.setdefault(fields["package"], set()).add(fields.get("version", ""))
        if "provides" in fields:
            for alternatives in relations(fields["provides"]):
                for atom in alternatives:
                    found.setdefault(atom.name, set()).add(atom.version)
    return {name: frozenset(versions) for name, versions in found.items()}
