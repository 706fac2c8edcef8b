"""The check of build()'s arguments: one error with all that is wrong, before anything happens."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from contractor.buildd.arguments import STRUCTS, Arguments, BinaryPackage, Ci, Proxied, Sourced, Translations
from contractor.core.errors import Rejected

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~-]{0,199}")
_NAMES = ("series", "suite", "arch_tag", "ogrecomponent")  # which become parts of paths and of lines for apt


def check(tag: str, given: dict[str, Any], files: Collection[str], architecture: str) -> Arguments:
    """The arguments of a build of a known type. files: the names in its filemap. architecture: the builder's own.

    Raises Rejected with all problems.
    """
    struct = STRUCTS[tag]
    found: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        value = _plain(given.get(name))
        if value is None or (value == "" and field.required):
            if field.required:
                problems.append(f"{name} is missing")
            continue
        if field.type is bool and value in (0, 1):
            value = bool(value)
        try:
            found[name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            problems.append(f"{name}: {_words(error)}")
    found["arch_tag"] = found.get("arch_tag") or architecture
    problems += _name_problems(found)
    if not problems:
        arguments = msgspec.convert(found, struct)
        problems += _rules(arguments, files)
    if problems:
        raise Rejected(
            f"the arguments of this {tag} build are wrong", details=tuple(problems), hint="ask again with these mended"
        )
    return arguments


def _plain(value: Any) -> Any:
    """Byte strings that are text, as text: some clients send them so."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _words(error: msgspec.ValidationError) -> str:
    text = str(error).replace("`", "").replace(" - at $", " at ")
    return text[:1].lower() + text[1:]


def _name_problems(found: dict[str, Any]) -> Iterator[str]:
    for name in _NAMES:
        if name in found and not _NAME.fullmatch(found[name]):
            yield f"{name}: {found[name][:80]!r} is not a name of letters, digits and . + - _ ~"


def _rules(arguments: Arguments, files: Collection[str]) -> Iterator[str]:
    """What a type alone does not say."""
    for number, line in enumerate(arguments.archives):
        if "\n" in line or "\r" in line:
            yield f"archives[{number}]: is more than one line"
    for number, key in enumerate(arguments.trusted_keys):
        try:
            base64.b64decode(key)
        except (binascii.Error, ValueError):
            yield f"trusted_keys[{number}]: is not base64"
    for kind, rule in _RULES:
        if isinstance(arguments, kind):
            yield from rule(arguments, files)
    name = getattr(arguments, "name", "x")
    if not name or "/" in name or name.startswith(".") or "\0" in name:
        yield f"name: {name[:80]!r} cannot be part of a file's name"


def _needs_dsc(_arguments: BinaryPackage, files: Collection[str]) -> Iterator[str]:
    sources = [name for name in files if name.endswith(".dsc")]
    if len(sources) != 1:
        yield f"the filemap has {len(sources)} .dsc files instead of one"


def _needs_source(arguments: Sourced, _files: Collection[str]) -> Iterator[str]:
    branch = arguments.branch or (arguments.branch_url if isinstance(arguments, Translations) else "")
    if not branch and not arguments.git_repository:
        yield "neither branch nor git_repository is given"
    if branch and arguments.git_repository:
        yield "both a branch and git_repository are given"
    for name in ("branch", "git_repository", "git_path", "branch_url"):
        if str(getattr(arguments, name, "")).startswith("-"):
            yield f"{name}: must not begin with -"


def _proxy(arguments: Proxied, _files: Collection[str]) -> Iterator[str]:
    for name in ("proxy_url", "revocation_endpoint"):
        url = getattr(arguments, name)
        try:
            parts = urlsplit(url)
            wrong = bool(url) and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0)
        except ValueError:
            wrong = True
        if wrong:  # it may hold a secret: not shown
            yield f"{name}: is not an http or https URL"


def _stages(arguments: Ci, _files: Collection[str]) -> Iterator[str]:
    if not any(arguments.jobs):
        yield "jobs: there is no job"
    seen = set()
    for name, index in (job for stage in arguments.jobs for job in stage):
        if not name or index < 0 or (name, index) in seen:
            yield f"jobs: [{name[:80]!r}, {index}] comes twice, has no name, or a negative index"
        seen.add((name, index))


_RULES: tuple[tuple[type[Arguments], Callable[[Any, Collection[str]], Iterator[str]]], ...] = (
    (BinaryPackage, _needs_dsc),
    (Sourced, _needs_source),
    (Proxied, _proxy),
    (Ci, _stages),
)
