"""A worker that does what its build's id says; it speaks the descriptors' contract and builds nothing.

    python scripted_worker.py      with a Job on standard input

The id is a list of words with dashes between them:
  say            a line, and bytes that are no text, to the log
  secret         a line with a credential, to the log
  loud           64 MB to the log (loud1000: that many megabytes)
  steady         100 kB a second to the log, until it is told to end; then ABORTED
  result         a file hello.deb in the cache
  input          a result that is an input as well
  extra          an extra status
  unspeakable    an extra status with a number that XML-RPC does not have
  deep           an extra status that is nested ten thousand times
  arguments      what it was given, as the extra status
  stderr         last words
  wait           until it is told to end; then ABORTED
  deaf           forever, whatever it is told
  linger         ends well, and does not go
  garbage        an event that is none
  crash          ends without a result
  ok packagefail depfail chrootfail givenback builderfail   how it ends
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from contractor.buildd.daemon.cache import announce

BODY = b"a result\n"
TEXT = b"hello from the build \xff\xfe\n"
ENDS = ("ok", "packagefail", "depfail", "chrootfail", "givenback", "builderfail")


class Script:
    """What the words mean: a method each."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.log: int = job["log"]
        self.files: dict[str, str] = {}
        self.stop = False
        signal.signal(signal.SIGTERM, self._told_to_stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the daemon starts workers with it blocked

    def _told_to_stop(self, *_: object) -> None:
        self.stop = True

    def tell(self, **event: object) -> None:
        os.write(self.job["events"], json.dumps(event).encode() + b"\n")

    def keep(self, name: str, body: bytes) -> None:
        sha1 = hashlib.sha1(body).hexdigest()
        announce(self.job["cache"], sha1)
        unfinished = Path(self.job["cache"], f".{sha1}.new")
        unfinished.write_bytes(body)
        unfinished.rename(Path(self.job["cache"], sha1))
        self.files[name] = sha1

    def end(self, word: str) -> None:
        waits_for = "libx (>= 2)" if word == "depfail" else ""
        self.tell(ended={"status": word.upper(), "files": self.files, "dependencies": waits_for})

    def say(self) -> None:
        self.tell(step="BUILD")
        os.write(self.log, TEXT)

    def secret(self) -> None:
        os.write(self.log, b"fetching http://user:SECRET@host/x\n")  # the tail is cleaned whatever a worker did

    def loud(self, size: int = 64) -> None:
        for _ in range(size):
            os.write(self.log, (b"x" * 99 + b"\n") * 10486)

    def steady(self) -> None:
        while not self.stop:
            os.write(self.log, (b"x" * 99 + b"\n") * 10)
            time.sleep(0.01)
        self.wait()

    def result(self) -> None:
        self.keep("hello.deb", BODY)

    def input(self) -> None:
        self.keep("copy", Path(next(iter(self.job["files"].values()))).read_bytes())

    def extra(self) -> None:
        self.tell(extra={"revision_id": "abc", "builder_status": "a lie", "big": 1 << 40, "jobs": {}})

    def unspeakable(self) -> None:
        self.tell(extra={"large": 1 << 70})

    def deep(self) -> None:
        os.write(self.job["events"], b'{"extra": {"large": ' + b"[" * 10000 + b"]" * 10000 + b"}}\n")

    def arguments(self) -> None:
        self.tell(extra={name: self.job[name] for name in ("arguments", "files")})

    def stderr(self) -> None:
        os.write(2, b"Traceback: went wrong at http://u:SECRET@host/\n")

    def wait(self) -> None:
        while not self.stop:
            time.sleep(0.01)
        self.tell(ended={"status": "ABORTED"})
        sys.exit()

    def deaf(self) -> None:
        while True:
            time.sleep(1)

    def linger(self) -> None:
        self.end("ok")
        self.deaf()

    def garbage(self) -> None:
        os.write(self.job["events"], b"not json\n")
        self.deaf()

    def crash(self) -> None:
        os._exit(3)


if __name__ == "__main__":
    script = Script(json.load(sys.stdin))
    for word in script.job["id"].split("-"):
        if word in ENDS:
            script.end(word)
        elif word.startswith("loud") and word != "loud":
            script.loud(int(word[4:]))
        else:
            getattr(script, word)()
