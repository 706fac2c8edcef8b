"""Debian's formats, as far as builds need them: control paragraphs, versions, relations between packages. Pure.

Sources: deb822(5), deb-version(7), deb-src-control(5) and dpkg's specification of build profiles.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from contractor.core.errors import Rejected

_ATOM = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9+.-]*)(?::(?P<qualifier>[a-z0-9-]+))?"
    r"\s*(?:\((?P<relation>[<>=]{1,2})\s*(?P<version>[0-9A-Za-z][^\s)]*)\s*\))?"
    r"\s*(?:\[(?P<architectures>[^\]]*)\])?\s*(?P<profiles>(?:<[^>]*>\s*)*)\Z"
)
_RELATIONS = {"<": "<=", ">": ">=", "<<": "<<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">>"}  # the first two are old


class Atom(NamedTuple):
    """One package of a relation, with what restricts it. relation: <<, <=, =, >=, >>, or empty."""

    name: str
    relation: str = ""
    version: str = ""
    qualifier: str = ""
    architectures: tuple[str, ...] = ()
    profiles: tuple[tuple[str, ...], ...] = ()

    @property
    def plain(self) -> str:
        """Without [architectures], :qualifier and <profiles>."""
        return f"{self.name} ({self.relation} {self.version})" if self.relation else self.name

    def applies(self, architecture: str, active: Collection[str] = ()) -> bool:
        """Whether it counts on an architecture, with these build profiles."""
        if self.architectures:
            negated = self.architectures[0].startswith("!")
            found = any(architecture_matches(architecture, term.removeprefix("!")) for term in self.architectures)
            if found == negated:
                return False
        return not self.profiles or any(_holds(group, active) for group in self.profiles)

    def is_met_by(self, version: str) -> bool:
        """Whether a version of the package is one that it wants."""
        order = compare(version, self.version) if self.relation else 0
        return {
            "": True,
            "<<": order < 0,
            "<=": order <= 0,
            "=": order == 0,
            ">=": order >= 0,
            ">>": order > 0,
        }[self.relation]


def _holds(group: tuple[str, ...], active: Collection[str]) -> bool:
    return all((term.removeprefix("!") in active) != term.startswith("!") for term in group)


def relations(text: str) -> list[tuple[Atom, ...]]:
    """A field like Build-Depends: what is wanted, each as its alternatives. Rejected: it is no such field."""
    found = []
    for part in text.split(","):
        if not part.strip():
            continue
        atoms = []
        for alternative in part.split("|"):
            match = _ATOM.match(alternative)
            if match is None or (match["relation"] and match["relation"] not in _RELATIONS):
                raise Rejected(f"{alternative.strip()[:100]!r} is no dependency on a package")
            groups = tuple(tuple(group.split()) for group in re.findall(r"<([^>]*)>", match["profiles"]))
            atoms.append(
                Atom(
                    match["name"],
                    _RELATIONS.get(match["relation"] or "", ""),
                    match["version"] or "",
                    match["qualifier"] or "",
                    tuple((match["architectures"] or "").split()),
                    groups,
                )
            )
        found.append(tuple(atoms))
    return found


def architecture_matches(architecture: str, wildcard: str) -> bool:
    """Whether an architecture (amd64) is one of a wildcard's (any, linux-any, any-amd64) or the name itself."""
    if wildcard in ("any", architecture):
        return True
    system, _, cpu = wildcard.rpartition("-")
    own_system, _, own_cpu = architecture.rpartition("-")
    if "any" not in (system.rpartition("-")[2], cpu):
        return False
    return cpu in ("any", own_cpu) and system.rpartition("-")[2] in ("any", own_system or "linux")


def compare(one: str, other: str) -> int:
    """Negative, zero or positive: dpkg's order of versions."""
    first, second = _parts(one), _parts(other)
    if first[0] != second[0]:
        return first[0] - second[0]
    return _compare_part(first[1], second[1]) or _compare_part(first[2], second[2])


def _parts(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.strip().partition(":")
    if not colon or not epoch.isdigit():
        epoch, rest = "0", version.strip()
    upstream, hyphen, revision = rest.rpartition("-")
    return int(epoch), upstream if hyphen else rest, revision if hyphen else "0"


def _compare_part(one: str, other: str) -> int:
    """Turns of what is no digit, by letter, and of digits, by number."""
    while one or other:
        text, one = _taken(one, digits=False)
        text_other, other = _taken(other, digits=False)
        for i in range(max(len(text), len(text_other))):
            difference = _weight(text[i : i + 1]) - _weight(text_other[i : i + 1])
            if difference:
                return difference
        number, one = _taken(one, digits=True)
        number_other, other = _taken(other, digits=True)
        if difference := int(number or "0") - int(number_other or "0"):
            return difference
    return 0


def _taken(text: str, *, digits: bool) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end].isdecimal() == digits:
        end += 1
    return text[:end], text[end:]


def _weight(character: str) -> int:
    """A tilde is before the end, the end before letters, letters before the rest."""
    if not character:
        return 0
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """deb822 paragraphs; a signature around them is passed over. Names of fields are in lower case."""
    fields: dict[str, str] = {}
    name = ""
    for line in _unsigned(text):
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line
        elif not line.startswith("#"):
            name, colon, value = line.partition(":")
            name = name.strip().lower()
            if colon:
                fields[name] = value.strip()
            else:
                name = ""
    if fields:
        yield fields


def _unsigned(text: str) -> Iterator[str]:
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("-----BEGIN PGP SIGNATURE-----"):
            return
        if line.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
            for head in lines:  # Hash: and so on, up to an empty line
                if not head.strip():
                    break
            continue
        yield line


def listed_files(fields: Mapping[str, str]) -> list[str]:
    """The names in the Files field of a .changes or a .dsc. Rejected: one is no plain name."""
    names = []
    for line in fields.get("files", "").splitlines():
        words = line.split()
        if not words:
            continue
        name = words[-1]
        if "/" in name or name in (".", ".."):
            raise Rejected(f"{name!r} is no plain name of a file")
        names.append(name)
    return names
