"""The text of a recipe for a source package, of git-build-recipe's kind: parsed, and its version made. Pure.

    # git-build-recipe format 0.4 deb-version {debupstream}-0~{revtime}
    https://git.example.org/project main
    merge fixes https://git.example.org/project fixes
    nest packaging https://git.example.org/packaging debian v2
      merge more https://git.example.org/packaging more
    nest-part docs https://git.example.org/docs manual/en doc main

Two spaces of indentation belong to the nested repository above them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from contractor.core.errors import Rejected
from contractor.core.values import Value

FORMATS = ("0.1", "0.2", "0.3", "0.4")
_HEADER = re.compile(
    r"#\s*(?P<tool>git-build-recipe|bzr-builder)\s+format\s+(?P<format>\S+)(?:\s+deb-version\s+(?P<version>\S+))?\s*\Z"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*\Z")
_PLACE = re.compile(r"\{([a-z-]+)(?::([^}]*))?\}")
_VERSION = re.compile(r"(?:[0-9]+:)?[0-9][A-Za-z0-9.+~-]*\Z")
_MOST = 1000  # lines


class Line(Value, frozen=True):
    """A repository of a recipe. kind: base, merge, nest or nest-part. revision: branch, tag or commit; HEAD when empty.

    target: where it goes, below the one that it is nested in. part: of nest-part, the directory that is taken.
    """

    kind: str
    url: str
    name: str = ""
    revision: str = ""
    target: str = ""
    part: str = ""
    below: tuple[Line, ...] = ()


class Recipe(Value, frozen=True):
    """version: the template of the package's version, or empty for the one of its changelog."""

    base: Line
    format: str
    version: str = ""


def parse(text: str) -> Recipe:
    """A recipe of its text. Rejected, with the number of the line."""
    lines = [
        (number, line.rstrip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and (number == 1 or not line.lstrip().startswith("#"))
    ]
    if not lines or len(lines) > _MOST:
        raise Rejected(f"a recipe has from 2 to {_MOST} lines, this one has {len(lines)}")
    header = _HEADER.match(lines[0][1])
    if header is None:
        raise _wrong(lines[0][0], "is no header like `# git-build-recipe format 0.4 deb-version {debversion}`")
    if header["format"] not in FORMATS:
        raise _wrong(lines[0][0], f"format {header['format']} is not known, only {', '.join(FORMATS)}")
    if header["tool"] == "bzr-builder":
        raise _wrong(lines[0][0], "this is a recipe of Bazaar branches, and this builder has no Bazaar")
    if len(lines) < 2:
        raise _wrong(lines[0][0], "no repository follows")
    number, first = lines[1]
    words = first.split()
    if first[0].isspace() or len(words) > 2:
        raise _wrong(number, "the second line is the base: URL [REVISION], not indented")
    base = Line("base", words[0], revision=_revision(number, words[1:]))
    names: set[str] = set()
    below, rest = _block(lines[2:], 0, names)
    assert not rest
    return Recipe(_with(base, below), header["format"], header["version"] or "")


def _block(lines: list[tuple[int, str]], depth: int, names: set[str]) -> tuple[list[Line], list[tuple[int, str]]]:
    """The lines of one depth, with what is nested in them; and the rest, from the first line of a lesser depth on."""
    found: list[Line] = []
    while lines:
        number, line = lines[0]
        indent = len(line) - len(line.lstrip(" "))
        if line[indent] == "\t" or indent % 2:
            raise _wrong(number, "is not indented by two spaces a level")
        if indent // 2 < depth:
            break
        if indent // 2 > depth:
            if not found or found[-1].kind != "nest":
                raise _wrong(number, "is indented, but there is no nested repository above it")
            below, lines = _block(lines, depth + 1, names)
            found[-1] = _with(found[-1], [*found[-1].below, *below])
            continue
        made = _line(number, line.split())
        if made.name in names:
            raise _wrong(number, f"the name {made.name} is used twice")
        names.add(made.name)
        found.append(made)
        lines = lines[1:]
    return found, lines


def _line(number: int, words: list[str]) -> Line:
    kind, *given = words
    if kind == "run":
        raise _wrong(number, "`run` is not allowed here: a recipe runs no commands", "put it into debian/rules")
    least, most = {"merge": (2, 3), "nest": (3, 4), "nest-part": (3, 5)}.get(kind, (0, 0))
    if not most:
        raise _wrong(number, f"`{kind[:40]}` is none of merge, nest and nest-part")
    if not least <= len(given) <= most:
        raise _wrong(number, f"`{kind}` takes from {least} to {most} words, here are {len(given)}")
    if not _NAME.match(given[0]):
        raise _wrong(number, f"{given[0][:40]!r} is no name")
    name, url, *more = given
    if kind == "merge":
        return Line(kind, url, name, _revision(number, more))
    if kind == "nest":
        return Line(kind, url, name, _revision(number, more[1:]), target=_folder(number, more[0]))
    part = _folder(number, more[0])
    target = _folder(number, more[1]) if len(more) > 1 else part
    return Line(kind, url, name, _revision(number, more[2:]), target=target, part=part)


def _revision(number: int, words: list[str]) -> str:
    if words and (words[0].startswith("-") or ".." in words[0]):
        raise _wrong(number, f"{words[0][:40]!r} is no revision")
    return words[0] if words else ""


def _folder(number: int, path: str) -> str:
    parts = [part for part in path.split("/") if part != "."]
    if path.startswith(("/", "-")) or not parts or any(part in ("", "..", ".git") for part in parts):
        raise _wrong(number, f"{path[:80]!r} leads out of the tree")
    return "/".join(parts)


def _with(line: Line, below: list[Line]) -> Line:
    return Line(line.kind, line.url, line.name, line.revision, line.target, line.part, tuple(below))


def _wrong(number: int, text: str, hint: str = "") -> Rejected:
    return Rejected(f"line {number} of the recipe: {text}", hint=hint)


def lines_of(base: Line) -> Iterator[Line]:
    """All repositories, the base first."""
    yield base
    for line in base.below:
        yield from lines_of(line)


def manifest(recipe: Recipe, version: str, commits: Mapping[str, str]) -> str:
    """The recipe with commits in place of revisions. commits: by name, "" for the base."""

    def put(lines: tuple[Line, ...], indent: str) -> Iterator[str]:
        for line in lines:
            where = {"nest": f" {line.target}", "nest-part": f" {line.part} {line.target}"}.get(line.kind, "")
            yield f"{indent}{line.kind} {line.name} {line.url}{where} {commits[line.name]}"
            yield from put(line.below, indent + "  ")

    head = f"# git-build-recipe format {recipe.format}" + (f" deb-version {version}" if version else "")
    return "\n".join([head, f"{recipe.base.url} {commits['']}", *put(recipe.base.below, "")]) + "\n"


Look = Callable[[str, str], str]
"""What a variable is for a repository (its name; "" is the base): git-commit, revno, revtime (seconds since the epoch),
latest-tag, debversion (of the repository's own changelog). Raises KeyError for a name that is none."""


def version_of(template: str, look: Look, now: float, debversion: str) -> str:
    """A version of its template. debversion: of the changelog in the finished tree. Rejected: a variable is not known,
    or what comes out is no version."""

    def value(match: re.Match[str]) -> str:
        name, of = match[1], match[2] or ""
        try:
            return _variable(name, of, look, now, debversion)
        except KeyError as error:
            raise Rejected(f"the recipe's version has {match[0]}, which is not known: {error.args[0]}") from error

    made = _PLACE.sub(value, template)
    if not _VERSION.match(made):
        raise Rejected(f"the recipe's version {template} gives {made!r}, which is no version of a package")
    return made


def _variable(name: str, of: str, look: Look, now: float, debversion: str) -> str:
    if name in ("time", "date"):
        return _time(now, date=name == "date")
    if name in ("revtime", "revdate"):
        return _time(float(look("revtime", of)), date=name == "revdate")
    if name == "git-commit":
        return look(name, of)[:7]
    if name in ("revno", "latest-tag"):
        return look(name, of)
    if name in ("debversion", "debupstream", "debupstream-base"):
        found = look("debversion", of) if of else debversion
        if name == "debversion":
            return found
        upstream = upstream_of(found)
        return upstream if name == "debupstream" else _base_of(upstream)
    raise KeyError("there is no such variable")


def _time(when: float, *, date: bool) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y%m%d" if date else "%Y%m%d%H%M")


def upstream_of(version: str) -> str:
    """A version without its epoch and its Debian revision."""
    without_epoch = version.partition(":")[2] or version
    upstream, hyphen, _ = without_epoch.rpartition("-")
    return upstream if hyphen else without_epoch


def _base_of(upstream: str) -> str:
    """Without what marks a snapshot (1.2~git3 or 1.2+git3), and with a mark that comes after it: + or ~."""
    base = re.split(r"[~+](?:git|svn|bzr|hg|dfsg|repack)?[^~+]*\Z", upstream)[0]
    return f"{base}{upstream[len(base)]}" if len(base) < len(upstream) else f"{base}+"
