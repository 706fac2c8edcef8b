"""A builder's methods, typed. Faults, lost connections and answers of the wrong shape are errors of three kinds."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from contractor.buildd.client.answers import (
    Info,
    Presence,
    Status,
    Unfit,
    read_info,
    read_presence,
    read_reply,
    read_state,
    read_status,
)
from contractor.buildd.client.link import Answer, Lost, Nonsense, Request, Sink, Tick, ask
from contractor.buildd.client.place import parse_place
from contractor.buildd.client.xmlrpc import NoAnswer, Refusal, read_answer, write_call
from contractor.core.errors import Broken

TIMEOUT = 40.0  # seconds, as Launchpad's manager allows
PRESENT_FACTOR = 20  # ensurepresent takes as long as the builder's download
LARGEST = 16 << 20  # bytes of an answer
UNKNOWN_METHOD = 8001
ERROR = 8002  # whatever went wrong in launchpad-buildd
_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before the next attempt; the last one again and again
_SLICE = 0.1

_T = TypeVar("_T")


class Fault(Broken):
    """The builder answered a call with a fault."""

    def __init__(self, url: str, method: str, code: int, text: str) -> None:
        said = f"says: {text}" if text and text != "error" else "does not say why"
        super().__init__(
            f"the builder at {url} refused {method}() and {said}", hint="the builder's own log may have the reason"
        )
        self.code = code
        self.text = text


class Builder:
    """timeout: seconds for a call. tick: see link.Tick; it may be changed while nothing is asked."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT, tick: Tick = lambda: None) -> None:
        self.place = parse_place(url)
        self.url = self.place.url
        self.timeout = timeout
        self.tick = tick

    def info(self) -> Info:
        return self._read(read_info, self._call("info"))

    def status(self) -> Status:
        return self._read(read_status, self._call("status"))

    def ensure_present(self, name: str, url: str | None, user: str = "", password: str = "") -> Presence:
        """Have the builder fetch a file into its cache; url None: only look. Safe to repeat."""
        call = self._call("ensurepresent", name, url, user, password, timeout=self.timeout * PRESENT_FACTOR)
        return self._read(read_presence, call)

    def build(self, build: str, tag: str, image: str, files: Mapping[str, str], arguments: Mapping[str, Any]) -> Any:
        """BUILDING, UNKNOWNBUILDER or UNKNOWNSUM, with a text. After Lost with `sent`, status() tells what happened."""
        return self._read(read_reply, self._call("build", build, tag, image, dict(files), dict(arguments)))

    def abort(self) -> str:
        return self._read(read_state, self._call("abort"))

    def clean(self) -> str:
        return self._read(read_state, self._call("clean"))

    def get(self, name: str, headers: Mapping[str, str], sink: Sink) -> Answer:
        """A file of the cache, its 200 or 206 to the sink; the timeout is for a silence."""
        path = f"/filecache/{urllib.parse.quote(name, safe='')}"
        return ask(self.place, Request("GET", path, self.timeout, LARGEST, headers=headers), self.tick, sink)

    def patiently(
        self, work: Callable[[], _T], seconds: float, tell: Callable[[Lost], object] = lambda _lost: None
    ) -> _T:
        """Do what is safe to repeat, again while the connection is lost, for so many seconds; tell: of the first loss.

        Raises the last Lost.
        """
        until, attempt = time.monotonic() + seconds, 0
        while True:
            try:
                return work()
            except Lost as lost:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                if time.monotonic() + pause > until:
                    raise
                if not attempt:
                    tell(lost)
                attempt += 1
            self.sleep(pause)

    def sleep(self, seconds: float) -> None:
        """Wait, and look who wants to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(left, _SLICE))

    def _call(self, method: str, *parameters: Any, timeout: float = 0) -> Any:
        """The value that a method returned; raises Fault, Lost, Nonsense, Rejected."""
        body = write_call(method, parameters)
        headers = {"Content-Type": "text/xml"}
        answer = ask(self.place, Request("POST", "/rpc", timeout or self.timeout, LARGEST, body, headers), self.tick)
        if answer.status >= 500:
            raise Lost(self.place, f"HTTP status {answer.status}", sent=True)
        if answer.status != 200:
            raise Nonsense(self.place, f"HTTP status {answer.status} for {method}()")
        if not answer.body.strip():
            raise Lost(self.place, f"an empty answer to {method}()", sent=True)
        try:
            return read_answer(answer.body)
        except Refusal as refusal:
            raise Fault(self.url, method, refusal.code, refusal.text) from None
        except NoAnswer as error:
            raise Nonsense(self.place, str(error)) from None

    def _read(self, read: Callable[[Any], _T], value: Any) -> _T:
        try:
            return read(value)
        except Unfit as error:
            raise Nonsense(self.place, str(error)) from None
