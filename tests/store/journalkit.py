"""A journal with a key and heads of its own, and one judgement of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from contractor.proof.audit import look
from contractor.proof.journal import Journal, files
from contractor.proof.journal_check import Report, check
from contractor.proof.keyring import Keyring
from contractor.store.layout import Store


class Kit:
    """outside: whether a head is kept outside of the store as well."""

    def __init__(self, folder: Path, *, outside: bool = True, clock: Callable[[], float] = time.time) -> None:
        self.store = Store(str(folder / "store"))
        self.ring = Keyring(str(folder / "config"))
        self.outside = str(folder / "heads") if outside else ""
        self.clock = clock
        self.files = files(self.store, self.outside)
        self.journal = Path(self.files.journal)
        self.head = Path(self.files.head)

    def open(self) -> Journal:
        """As another process would."""
        return Journal(self.store, self.ring, self.outside, self.clock)

    def fill(self, count: int) -> None:
        """Appends of 1, 2 and 3 entries in turn, with `count` entries in all besides the first."""
        journal, done = self.open(), 0
        while done < count:
            size = min(1 + done % 3, count - done)
            journal.append_all([("test", {"number": done + n, "text": "é"}) for n in range(size)])
            done += size

    def report(self, *, every: bool = False) -> Report:
        found = look(self.store, self.outside)
        return check(found.data, found.heads, self.ring.trusted(), every=every)

    def lines(self) -> list[bytes]:
        return self.journal.read_bytes().split(b"\n")[:-1]
