"""XML-RPC's text: a call to bytes, and bytes to an answer, which may come from anybody.

The standard library writes and reads it; defusedxml's parser refuses a DTD and with it every entity.
"""

from __future__ import annotations

import xmlrpc.client
from typing import Any

from defusedxml.xmlrpc import DefusedExpatParser

from contractor.core.errors import Rejected


class NoAnswer(ValueError):
    """Bytes that are no XML-RPC answer; says why."""


class Refusal(Exception):
    """A fault: an answer that says no. launchpad-buildd hides the reason behind the text "error"."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def write_call(method: str, parameters: tuple[Any, ...]) -> bytes:
    """Raises Rejected for what XML-RPC cannot carry."""
    check(parameters)
    return xmlrpc.client.dumps(parameters, method, encoding="utf-8", allow_none=True).encode()


def check(value: Any, place: str = "") -> None:
    """Raises Rejected when a value, or one in it, cannot be sent."""
    reason = ""
    if isinstance(value, str):
        reason = "" if _is_text(value) else "has characters that XML cannot have"
    elif isinstance(value, bool | float | bytes) or value is None:
        return
    elif isinstance(value, int):
        reason = "" if -(2**31) <= value < 2**31 else "does not fit into 32 bits"
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or not _is_text(name):
                raise Rejected(f"{name!r} cannot be the name of an argument", hint="names are text")
            check(item, f"{place}.{name}" if place else name)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            check(item, f"{place}[{number}]" if place else "")
    else:
        reason = f"is a {type(value).__name__}"
    if reason:
        raise Rejected(
            f"the argument {place or 'given'} cannot be sent: it {reason}", hint="write it as text, or leave it out"
        )


def _is_text(text: str) -> bool:
    """XML 1.0, section 2.2."""
    return all(c >= " " or c in "\t\n\r" for c in text) and not any(
        "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff" for c in text
    )


def read_answer(data: bytes) -> Any:
    """The value of a methodResponse; Binary is bytes. Raises Refusal for a fault, NoAnswer for anything else."""
    if not data.strip():
        raise NoAnswer("its answer is empty")
    target = xmlrpc.client.Unmarshaller(use_builtin_types=True)
    try:
        parser = DefusedExpatParser(target, forbid_dtd=True)
        parser.feed(data)
        parser.close()
        values = target.close()
    except xmlrpc.client.Fault as fault:
        raise Refusal(_number(fault.faultCode), str(fault.faultString)[:2000]) from None
    except Exception as error:  # whatever expat, the unmarshaller and int() find wrong
        raise NoAnswer(f"its answer is no XML-RPC ({type(error).__name__})") from None
    if len(values) != 1 or target.getmethodname() is not None:
        raise NoAnswer("its answer is no methodResponse with one value")
    return values[0]


def _number(code: Any) -> int:
    return code if isinstance(code, int) else 0
