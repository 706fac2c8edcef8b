"""A target in memory: files are a dictionary, commands scripts in Python. test_fake_target.py holds it to the real one.

A command's script gets the fake, the words behind the program's name, and the call; what it returns is the exit code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from contractor.buildd.arguments import typed
from contractor.buildd.log import Log
from contractor.buildd.model import Job
from contractor.buildd.target.target import TargetFailed
from contractor.core.errors import Rejected
from contractor.sandbox.spec import Exit

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Call(NamedTuple):
    """One command. env: what it was given on top."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    user: str
    network: bool
    stdin: bytes


Script = Callable[["FakeTarget", Sequence[str], Call], int | bytes]


class FakeTarget:
    """programs: name -> script; they are in /usr/bin. source: the files that a clone brings; a value that begins with
    "-> " is a link."""

    def __init__(
        self,
        folder: Path,
        tag: str,
        arguments: Mapping[str, Any],
        programs: Mapping[str, Script] = {},
        source: Mapping[str, str] = {},
    ) -> None:
        given = {"series": "bookworm", "arch_tag": "amd64", **arguments}
        self.cache = folder / "cache"
        self.cache.mkdir(exist_ok=True)
        self.log_path = folder / "buildlog"
        fd = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.job = Job(
            id="T-1", tag=tag, image="", image_name="", files={}, arguments=dict(given), cache=str(self.cache),
            store="", log=fd, events=-1, architecture="amd64",
        )  # fmt: skip
        self.log = Log(fd)
        self.arguments: Any = typed(tag, dict(given))
        self.allow: tuple[str, ...] = ()
        self.files: dict[str, str] = {}
        self.extras: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.calls: list[Call] = []
        self.revoked_before: int | None = None  # the number of commands that had run by then
        self.aborted = False
        self.tree: dict[str, bytes] = {}
        self.links: dict[str, str] = {}
        self.folders = {"/", "/build", "/tmp"}
        self.source = source
        self.programs: dict[str, Script] = {**_BUILT_IN, **programs}
        for name in self.programs:
            self.write(f"/usr/bin/{name}", b"#!", 0o755)

    # files

    def write(self, path: str, data: bytes, mode: int = 0o644, *, user: str = "root") -> None:
        path = self._real(path, last=False)
        if path in self.folders:
            raise IsADirectoryError(path)
        self.mkdir(posixpath.dirname(path))
        self.links.pop(path, None)
        self.tree[path] = data

    def read(self, path: str, limit: int) -> bytes:
        data = self.tree.get(self._real(path))
        if data is None or len(data) > limit:
            raise Rejected(f"{path} {'is no regular file of the target' if data is None else 'is larger'}")
        return data

    def exists(self, path: str) -> bool:
        return bool(self.kind(path))

    def kind(self, path: str, *, follow: bool = True) -> str:
        path = self._real(path, last=follow)
        if path in self.links:
            return "link" if not follow else ""
        return "file" if path in self.tree else "dir" if path in self.folders else ""

    def list(self, path: str) -> list[str]:
        top = self._real(path).rstrip("/") + "/"
        every = [*self.tree, *self.links, *self.folders]
        return sorted({name[len(top) :].partition("/")[0] for name in every if name.startswith(top) and name != top})

    def mkdir(self, path: str, *, user: str = "root") -> None:
        parts = [part for part in path.split("/") if part]
        self.folders.update("/" + "/".join(parts[:end]) for end in range(1, len(parts) + 1))

    def remove(self, path: str) -> None:
        gone = [name for name in (*self.tree, *self.links, *self.folders) if f"{name}/".startswith(f"{path}/")]
        for name in gone:
            self.tree.pop(name, None)
            self.links.pop(name, None)
            self.folders.discard(name)

    def link(self, path: str, to: str) -> None:
        self.mkdir(posixpath.dirname(path))
        self.links[path] = to

    def add_file(self, source: str, path: str, *, user: str = "root") -> None:
        self.write(path, Path(source).read_bytes())

    def result(self, path: str, name: str | None = None) -> bool:
        if self.kind(path, follow=False) != "file":
            return False
        self.result_bytes(posixpath.basename(path) if name is None else name, self.read(path, 1 << 30))
        return True

    def result_bytes(self, name: str, data: bytes) -> None:
        sha1 = hashlib.sha1(data).hexdigest()
        (self.cache / sha1).write_bytes(data)
        self.files[name] = sha1

    def result_path(self, name: str, host_path: str) -> None:
        self.result_bytes(name, Path(host_path).read_bytes())

    def content(self, name: str) -> bytes:
        return (self.cache / self.files[name]).read_bytes()

    def _real(self, path: str, *, last: bool = True) -> str:
        """The path without links, as the tree has it; a link at its end stays unless `last`."""
        found = "/"
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for hops in range(1000):
            if not parts or hops > 900:
                return found
            part = parts.pop(0)
            here = posixpath.dirname(found) if part == ".." else posixpath.join(found, part)
            if here in self.links and (parts or last):
                to = self.links[here]
                parts = [word for word in to.split("/") if word not in ("", ".")] + parts
                found = "/" if to.startswith("/") else found
            else:
                found = here
        return found

    # the supervisor's operations that types use

    def call(self, operation: str, fds: Sequence[int] = (), **args: Any) -> Any:
        if operation == "files":
            top = args["path"] + "/"
            return sorted(os.fsencode(name[len(top) :]) for name in self.tree if name.startswith(top))
        if operation == "below":
            path, top = args["path"], args["top"]
            if path.startswith("/") or ".." in path.split("/"):
                return None
            real = self._real(f"{top}/{path}")
            return self.kind(real) if f"{real}/".startswith(f"{top}/") else None
        raise AssertionError(operation)

    # commands

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        cwd: str = "/",
        user: str = "root",
        network: bool = False,
        stdin: bytes = b"",
        echo: bool = True,
        get_output: bool = False,
        check: bool = False,
    ) -> Any:
        if echo:
            self.log.run(argv)
        call = Call(tuple(argv), dict(env), cwd, user, network, stdin)
        self.calls.append(call)
        name = posixpath.basename(argv[0])
        outcome = self.programs[name](self, argv[1:], call) if name in self.programs else 127
        code, output = (0, outcome) if isinstance(outcome, bytes) else (outcome, b"")
        if not get_output:
            self.log.write(output)
        if code and (check or get_output):
            raise TargetFailed(argv, code, output)
        return output if get_output else Exit(True, code, 0.0)

    def commands(self, *names: str) -> list[tuple[str, ...]]:
        """The commands of these programs, in order."""
        return [call.argv for call in self.calls if posixpath.basename(call.argv[0]) in names]

    def extra(self, **values: Any) -> None:
        self.extras.update(values)
        self.history.append(dict(self.extras))

    def tick(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        pass

    @contextlib.contextmanager
    def listening(self, _most: int) -> Iterator[bytearray]:
        yield bytearray()

    def revoke_proxy_token(self) -> None:
        self.revoked_before = len(self.calls)

    @property
    def text(self) -> str:
        self.log.close()
        return self.log_path.read_text()


def _git(target: FakeTarget, words: Sequence[str], _call: Call) -> int | bytes:
    """As much of git as sources need."""
    if words[0] == "clone" or words[0] == "init":
        folder = words[-1]
        target.write(f"{folder}/.git/config", f'[remote "origin"]\n\turl = {words[-2]}\n'.encode())
        for name, content in target.source.items():
            if content.startswith("-> "):
                target.link(f"{folder}/{name}", content[3:])
            else:
                target.write(f"{folder}/{name}", content.encode())
        return 0
    if words[0] == "-C" and words[2] == "rev-parse":
        return f"{REVISION}\n".encode()
    if words[0] == "-C" and words[2] == "log":
        return b"1714979289\n"
    return 0


def _cp(target: FakeTarget, words: Sequence[str], _call: Call) -> int:
    source, to = words[-2:]
    target.mkdir(to)
    for name in [*target.tree]:
        if name.startswith(f"{source}/"):
            target.write(to + name[len(source) :], target.tree[name])
    for name, link in [*target.links.items()]:
        if name.startswith(f"{source}/"):
            target.link(to + name[len(source) :], link)
    return 0


def _nothing(_target: FakeTarget, _words: Sequence[str], _call: Call) -> int:
    return 0


_BUILT_IN: dict[str, Script] = {"git": _git, "cp": _cp, "chown": _nothing, "sha512sum": _nothing, "true": _nothing}
