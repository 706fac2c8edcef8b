"""The base of every value that travels: a frozen msgspec struct (docs: https://jcristharif.com/msgspec/structs.html).

`msgspec.Struct` and not a dataclass: it imports in the same time, and brings validation, JSON and a JSON Schema.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record that compares by value and knows its JSON."""
