"""Bytes -> a tree of YAML nodes that know their places. What is dangerous in YAML is refused before it costs anything.

A specification is a small part of YAML: mappings, lists and scalars. Anchors, aliases, merge keys, tags and several
documents are refused. The tree is made from the parser's events, one at a time: nothing is expanded, recursed into or
resolved, so that a hostile text costs no more than reading it, and YAML 1.1's guesses (`no` is false, 1.10 is 1.1)
never happen.
"""

from __future__ import annotations

from typing import NoReturn

import yaml

from contractor.spec.nodes import BROKEN, LIST, MAPPING, SCALAR, Node
from contractor.spec.problems import Problems, shown

MAX_BYTES = 1 << 20
MAX_DEPTH = 32  # nested lists and mappings
MAX_NODES = 50_000
ONE_DOCUMENT = "write one specification a file, without further --- lines"

LOADER: type[yaml.CSafeLoader] | type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Stop(Exception):
    """The text is refused as a whole; its problem has been added."""


def parse(text: bytes | str, name: str, problems: Problems) -> Node | None:
    """The root node of a text, or None when it cannot be read; what is wrong is added to problems. Never raises."""
    top = Node(SCALAR, "", 1, 1, name, problems)
    source = ""
    try:
        source = _decoded(text, top)
        return _tree(source, top)
    except _Stop:
        return None
    except yaml.YAMLError as error:
        from contractor.spec.syntax import syntax_problem  # only when there is a problem: start-up time

        line, column, message, hint = syntax_problem(error, source)
        top.at(line, column).problem(message, hint)
        return None


def _decoded(text: bytes | str, top: Node) -> str:
    """The text's characters, all of them printable."""
    if len(text) > MAX_BYTES:
        unit = "bytes" if isinstance(text, bytes) else "characters"
        _refuse(
            top, f"the file has {len(text)} {unit}, more than {MAX_BYTES}", "long scripts belong in files of their own"
        )
    characters = _characters(text, top) if isinstance(text, bytes) else text
    characters = characters.removeprefix("\ufeff")  # a byte order mark: editors write it, people do not see it
    bad = yaml.reader.Reader.NON_PRINTABLE.search(characters)
    if bad:
        start = characters.rfind("\n", 0, bad.start()) + 1
        place = top.at(characters.count("\n", 0, bad.start()) + 1, bad.start() - start + 1)
        _refuse(
            place, f"the character U+{ord(bad.group()):04X} is not allowed in YAML", "remove it; is this a text file?"
        )
    return characters


def _characters(text: bytes, top: Node) -> str:
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse(top, "the file is UTF-16", "save it as UTF-8")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        place = top.at(before.count(b"\n") + 1, column)
        _refuse(place, f"the byte 0x{text[error.start]:02x} is not UTF-8", "save the file as UTF-8")


def _tree(text: str, top: Node) -> Node | None:
    """The one document's root. Open lists and mappings are on a stack of our own, so that we choose the depth."""
    stack: list[Node] = []
    root: Node | None = None
    count = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.NodeEvent):
            count += 1
            node = _node(event, top)
            if stack:
                stack[-1].children.append(node)
            elif root is not None:
                _refuse(node, "a second document begins here", ONE_DOCUMENT)
            else:
                root = node
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(node)
            if len(stack) > MAX_DEPTH:
                _refuse(
                    node,
                    f"lists and mappings are nested deeper than {MAX_DEPTH}",
                    "nothing in a specification is that deep",
                )
            if count > MAX_NODES:
                _refuse(node, f"the file has more than {MAX_NODES} values", "split the build, or write a script")
        elif isinstance(event, yaml.CollectionEndEvent):
            _finish(stack.pop())
    return root


def _node(event: yaml.NodeEvent, top: Node) -> Node:
    """One node; a refused one is BROKEN, which every getter passes over in silence: its problem has been told."""
    mark = event.start_mark
    assert mark is not None
    node = Node(SCALAR, "", mark.line + 1, mark.column + 1, top.file, top.problems)
    if isinstance(event, yaml.AliasEvent):
        node.kind = BROKEN
        node.problem(
            f"the alias *{_cut(event.anchor)} is not allowed: a specification says everything where it is",
            f"quote it if it is a glob: '*{_cut(event.anchor)}'; for what is said twice, use a parameter or a pipeline",
        )
        return node
    if event.anchor is not None:
        node.problem(
            f"the anchor &{_cut(event.anchor)} is not allowed: a specification says everything where it is",
            "for what is said twice, use a parameter or a pipeline; quote a text that begins with &",
        )
    tag = getattr(event, "tag", None)
    if tag is not None:
        tag = tag.replace("tag:yaml.org,2002:", "!!")
        node.problem(f"the tag {shown(tag)} is not allowed", "leave it out; quote a value to make it a text")
        node.kind = BROKEN
    elif isinstance(event, yaml.ScalarEvent):
        node.text, node.plain = event.value, bool(event.implicit[0])
        _check_characters(node)
    if isinstance(event, yaml.CollectionStartEvent) and node.kind != BROKEN:
        node.kind = LIST if isinstance(event, yaml.SequenceStartEvent) else MAPPING
    return node


def _check_characters(node: Node) -> None:
    """Escapes of double-quoted texts can make what no program takes as an argument or a file name."""
    text = node.text
    if "\0" in text:
        node.problem("the text holds a NUL character", "no program can be given one: leave it out")
    elif not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        node.problem("the text holds half a character (a surrogate)", "write the character itself")
    else:
        return
    node.kind = BROKEN


def _finish(node: Node) -> None:
    """A finished mapping: its children are keys and values in turn. Keys are texts, each there once."""
    if node.kind != MAPPING:
        return
    children, node.children = node.children, []
    for key, value in zip(children[::2], children[1::2], strict=True):
        if key.kind == BROKEN:
            continue
        if key.kind != SCALAR:
            key.problem(
                "a key must be a text, not a list or a mapping", "write KEY: VALUE; quote a key that begins with [ or {"
            )
        elif key.plain and key.text == "<<":
            key.problem(
                "the merge key << is not allowed: a specification says everything where it is", "write the keys out"
            )
        elif key.text in node.entries:
            first = node.entries[key.text][0]
            key.problem(f"the key {_cut(key.text)} is given twice, first in line {first.line}", "keep one of the two")
        else:
            node.entries[key.text] = (key, value)


def _refuse(node: Node, message: str, hint: str) -> NoReturn:
    node.problem(message, hint)
    raise _Stop


def _cut(text: str | None) -> str:
    text = text or ""
    return text if text.isprintable() and len(text) < 40 else shown(text, 40)[1:-1]
