"""The values of a report -> one HTML file that needs nothing else, and in which nothing of a build can act.

Every text goes through `sanitize` and HTML's escaping where the template writes it, without the template asking for
it. The page's policy allows its own style sheet, by digest, and nothing else: no script, no image, no request.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from contractor.cli.report import logs
from contractor.cli.report.facts import took
from contractor.cli.report.model import Page
from contractor.cli.text import human_size, sanitize
from contractor.core.words import count

_DATA = Path(__file__).parents[2] / "data" / "report"
_BUFFER = 1 << 18  # characters that are gathered before they are written


def write(page: Page, put: Callable[[bytes], object]) -> int:
    """Give the page to `put`, piece by piece, and return its size in bytes."""
    size, waiting, length = 0, [], 0
    for text in render(page):
        waiting.append(text)
        length += len(text)
        if length >= _BUFFER:
            size += _put(waiting, put)
            waiting, length = [], 0
    return size + _put(waiting, put)


def _put(texts: list[str], put: Callable[[bytes], object]) -> int:
    data = "".join(texts).encode()
    put(data)
    return len(data)


def render(page: Page) -> Iterator[str]:
    """The text of the page in pieces; logs are read while it is made."""
    style = (_DATA / "report.css").read_text(encoding="utf-8")
    template = _environment().get_template("report.html")
    return template.generate(page=page, style=Markup(style), policy=_policy(style))  # noqa: S704 - a file of ours


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_DATA),
        autoescape=True,
        finalize=_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(size=human_size, took=took, ours=_ours, spoken=_spoken, moment=_moment, iso=_iso, count=count)
    made.globals.update(blocks=logs.blocks)
    return made


def _inert(value: Any) -> Any:
    """What the template writes: everything but Markup is somebody else's text until it has been cleaned."""
    return value if isinstance(value, Markup) else sanitize(str(value))


def _ours(html: str) -> Markup:
    """HTML that is written as it is: only what ansi.items made, which escapes."""
    return Markup(html)  # noqa: S704


def _spoken(text: str) -> Markup:
    """A message of ours, its `commands` and words as code; a whole line that is a command is one."""
    line = sanitize(text)
    parts = line.split("`")
    if len(parts) == 1 and line.startswith("contractor "):
        return Markup("<code>{}</code>").format(line)
    if len(parts) % 2 == 0:
        return escape(line)
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _policy(style: str) -> str:
    """The Content-Security-Policy; the digest is of the style element's text, to the byte."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _moment(seconds: float) -> str:
    """In UTC: a report is read in other places than where it was made."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) if seconds else "-"


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
