"""The secrets of a build: taken out of what is said and written down, and looked for in what is stored.

Nothing is prepared before it is needed, and for a build without secrets nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import msgspec

from contractor.core.fetch import Fetch

if TYPE_CHECKING:
    from contractor.build.secrets.redactor import Marks
    from contractor.build.secrets.scan import Finder

SHORTEST_SECRET = 4  # bytes: hiding shorter ones would only mark every place where they stand by chance


class Stream(Protocol):
    """What a step writes, on its way to the log."""

    def feed(self, data: bytes) -> bytes: ...

    def rest(self) -> bytes: ...


class Plain:
    """A stream in which there is nothing to hide."""

    def feed(self, data: bytes) -> bytes:
        return data

    def rest(self) -> bytes:
        return b""


class Secrets:
    """values: by name, as they were given."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self.values = values

    def stream(self) -> Stream:
        """For what one step writes."""
        if not self.values:
            return Plain()
        from contractor.build.secrets.redactor import Redactor

        return Redactor(self._marks)

    def hide(self, text: str) -> str:
        """A text, such as a URL or a path, without them."""
        if not self.values:
            return text
        return self._marks.hide(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def clean(self, fetch: Fetch) -> Fetch:
        """A request as it may be written down."""
        if not self.values:
            return fetch
        headers = tuple((name, self.hide(value)) for name, value in fetch.headers)
        return msgspec.structs.replace(fetch, url=self.hide(fetch.url), reason=self.hide(fetch.reason), headers=headers)

    def of(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of these names that were given."""
        return {name: self.values[name] for name in names if name in self.values}

    @cached_property
    def finder(self) -> Finder:
        """Finds them in what is to be stored."""
        from contractor.build.secrets.scan import Finder

        return Finder(self.values)

    @cached_property
    def _marks(self) -> Marks:
        from contractor.build.secrets.forms import marks_to_hide
        from contractor.build.secrets.redactor import Marks

        return Marks(mark for name, value in self.values.items() for mark in marks_to_hide(name, value))
