"""Credentials are taken out of a build's log before its bytes touch the disk.

`://user:password@` becomes `://`, and `,proxyauth=user:token` goes. Neither has white space in it, so a text is safe
to cut at white space, and nowhere else without looking.
"""

from __future__ import annotations

import re

LONGEST_LINE = 64 << 10  # bytes that are held while a line is not complete

# A password with an @ or a / in it is not quoted as it should be, but people do it. A port before a path is none.
_USER = rb"://[^\s:/?#@\"'<>]*:"
_CREDENTIAL = re.compile(_USER + rb"(?:[^\s/?#]*@|(?!\d{1,5}[/?#])[^\s@]*@)")
_PROXY_AUTH = re.compile(rb",proxyauth=[^\s:,]*:[^\s,\"']*")
# What may be the beginning of one of them, up to the end of the text.
_OPEN = re.compile(rb"(?:://[^\s:/?#@\"'<>]*(?::\S*)?|,proxyauth=\S*)\Z")
_BEGUN = re.compile(rb"(?:://[^\s:/?#@\"'<>]*:\S*|,proxyauth=\S*)\Z")
_WORD = re.compile(rb"://\S*")
_HELD = len(b",proxyauth=") - 1
_LAST_WHITE = re.compile(rb".*\s", re.DOTALL)
_WHITE = re.compile(rb"\s")


def clean(data: bytes) -> bytes:
    """Whole lines, or text cut at white space, without credentials."""
    if b"://" in data and b"@" in data:
        data = _WORD.sub(_clean_word, data)
    if b",proxyauth=" in data:
        data = _PROXY_AUTH.sub(b"", data)
    return data


def _clean_word(word: re.Match[bytes]) -> bytes:
    # Behind the last @ nothing can match: not looking there keeps it linear in what a build may write.
    before, at, after = word[0].rpartition(b"@")
    return _CREDENTIAL.sub(b"://", before + at) + after if at else word[0]


def clean_end(data: bytes) -> bytes:
    """The same of a text that goes on: what may be the beginning of a credential at its end is left out as well."""
    return _BEGUN.sub(b"", clean(data))


class Sieve:
    """A stream without credentials: give it bytes in any pieces, write what it returns, and `rest` at the end.

    A line goes out when it is complete, a carriage return ends one as well; of one longer than LONGEST_LINE, what
    surely holds no part of a credential.
    """

    def __init__(self) -> None:
        self._held = b""
        self._swallows = False

    def feed(self, data: bytes) -> bytes:
        if self._swallows:
            data = self._swallow(data)
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end:
            self._held += data
            return self._cut() if len(self._held) > LONGEST_LINE else b""
        whole = clean(self._held + data[:end])
        self._held = data[end:]
        return whole + self._cut() if len(self._held) > LONGEST_LINE else whole

    def rest(self) -> bytes:
        """What is held: the text has ended."""
        held, self._held = self._held, b""
        return clean(held)

    def _swallow(self, data: bytes) -> bytes:
        white = _WHITE.search(data)
        self._swallows = white is None
        return data[white.start() :] if white else b""

    def _cut(self) -> bytes:
        """Parts of a line that is too long, as much as is safe."""
        parts = []
        while len(self._held) > LONGEST_LINE and not self._swallows:
            place = self._place()
            if place:
                parts.append(clean(self._held[:place]))
                self._held = self._held[place:]
            else:
                parts.append(self._without_first())
        return b"".join(parts)

    def _place(self) -> int:
        """Where to cut: behind the last white space, or before what may be a credential; 0 when that is the start."""
        if white := _LAST_WHITE.match(self._held):
            return white.end()
        begun = _OPEN.search(self._held)
        return begun.start() if begun else len(self._held) - _HELD

    def _without_first(self) -> bytes:
        """The text begins with what may be a credential, and goes on for a whole LONGEST_LINE without white space."""
        if found := _CREDENTIAL.match(self._held):
            self._held = self._held[found.end() :]
            return b"://"
        if (found := _PROXY_AUTH.match(self._held)) and found.end() < len(self._held):
            self._held = self._held[found.end() :]
            return b""
        self._held, self._swallows = b"", True  # neither an address nor a token is so long: nothing of it is shown
        return b"[a very long word was left out]"
