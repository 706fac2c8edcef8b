"""XML-RPC as launchpad-buildd speaks it: bytes -> a call, a value or a fault -> bytes.

Faults: 8001 for an unknown method, 8002 "error" for everything that goes wrong in one. Entities and document types are
refused before anything is parsed; what an XML document cannot hold is replaced in answers.
"""

from __future__ import annotations

import re
import xmlrpc.client
from collections.abc import Callable
from typing import Any, NamedTuple

from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

LARGEST = 4 << 20  # bytes of a request
UNKNOWN, FAILED = 8001, 8002
_DEEPEST = 64  # arrays and structs in one another

_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = '<?xml version="1.0"?>\n'


class Call(NamedTuple):
    method: str
    params: tuple[Any, ...]


class Fault(Exception):
    """What a client gets instead of a value."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class _Unmarshaller(xmlrpc.client.Unmarshaller):
    """The library's, with a limit to the depth, and bytes that are bytes."""

    def __init__(self) -> None:
        super().__init__(use_builtin_types=False)
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        if tag in ("array", "struct"):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise ValueError(f"more than {_DEEPEST} arrays in one another")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        if tag in ("array", "struct"):
            self._depth -= 1
        super().end(tag)


def parse(data: bytes) -> Call:
    """A request. Raises Fault for what is none."""
    if _FORBIDDEN.search(data):
        raise _unreadable("it has a document type or an entity")
    target = _Unmarshaller()
    try:
        parser = DefusedExpatParser(target, forbid_dtd=True)
        parser.feed(data)
        parser.close()
        params = target.close()
    except DefusedXmlException:
        raise _unreadable("it has a document type or an entity") from None
    except Exception as error:  # expat's, and whatever the library raises for a value of a wrong form
        raise _unreadable(str(error)[:200] or type(error).__name__) from error
    method = target.getmethodname()
    if not method:
        raise _unreadable("it calls no method")
    return Call(method, params)


def _unreadable(why: str) -> Fault:
    return Fault(FAILED, f"Can't deserialize input: {why}")


def unknown(method: str) -> Fault:
    prefix, dot, _rest = method.partition(".")
    return Fault(UNKNOWN, f"no such subHandler {prefix}" if dot else f"procedure {method} not found")


def failed() -> Fault:
    """What went wrong is in the daemon's own log."""
    return Fault(FAILED, "error")


class _Marshaller(xmlrpc.client.Marshaller):
    """The library's, with integers of eight bytes, and without characters that XML cannot hold."""

    dispatch: dict[Any, Any] = dict(xmlrpc.client.Marshaller.dispatch)

    def __init__(self) -> None:
        super().__init__("utf-8", allow_none=True)

    def _integer(self, value: int, write: Callable[[str], object]) -> None:
        if not -(1 << 63) <= value < 1 << 63:
            raise OverflowError("an integer of more than 64 bits")
        kind = "int" if -(1 << 31) <= value < 1 << 31 else "i8"
        write(f"<value><{kind}>{value}</{kind}></value>\n")

    def _text(self, value: str, write: Callable[[str], object]) -> None:
        write(f"<value><string>{_escaped(value)}</string></value>\n")

    def _struct(self, value: dict[str, Any], write: Callable[[str], object]) -> None:
        self.dump_struct({_legal(str(key)): item for key, item in value.items()}, write)

    dispatch[int] = _integer
    dispatch[str] = _text
    dispatch[dict] = _struct
    del dispatch["_arbitrary_instance"]  # an object is no value


def _legal(text: str) -> str:
    return text if text.isprintable() else _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _escaped(text: str) -> str:
    escaped = _legal(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\r", "&#13;")  # a parser makes another end of line of it


def answer(value: Any) -> bytes:
    """A response with a value: tuples as arrays, bytes as Binary. Raises TypeError, OverflowError, RecursionError for
    what XML-RPC has no form for."""
    body = _Marshaller().dumps((value,))
    return f"{_HEAD}<methodResponse>\n{body}</methodResponse>\n".encode()


def fault(error: Fault) -> bytes:
    body = _Marshaller().dumps(({"faultCode": error.code, "faultString": error.text},))
    inner = body.removeprefix("<params>\n<param>\n").removesuffix("</param>\n</params>\n")
    return f"{_HEAD}<methodResponse>\n<fault>\n{inner}</fault>\n</methodResponse>\n".encode()
