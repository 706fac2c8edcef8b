"""What differs inside the files that differ, as diffoscope sees it; in a sandbox, for it opens whatever it is given.

https://diffoscope.org/ (Debian: diffoscope or diffoscope-minimal). It gets the files that differ and nothing else, so
that a large artifact costs no more than what changed in it; time, memory and what it may write are limited.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO

from contractor.build.aside import aside
from contractor.build.inside.access import Opened
from contractor.build.members import MemberChange, Members
from contractor.core.errors import ContractorError
from contractor.core.words import count
from contractor.sandbox import process
from contractor.sandbox.hosttree import mounts
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.process import HOST_PATH
from contractor.sandbox.spec import Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import WORKSPACE
from contractor.spec.model import Limits
from contractor.store import tarformat
from contractor.store.layout import Store, in_use
from contractor.store.remove import remove_tree
from contractor.store.results import artifact_path

_SECONDS = 120.0  # for all artifacts of a verification together
_MEMORY = 2 << 30
_SCRATCH = 512 << 20  # bytes of memory for what it unpacks
_FILES = 20  # that it gets
_BYTES = 128 << 20  # of all files of one side
_TEXT = 1 << 20  # bytes that are kept of what it says
_PLAIN = re.compile(r"[A-Za-z0-9_+@=,-][A-Za-z0-9._+@=,-]{0,99}\Z")

Files = dict[bytes, str]  # members, and where each is put


class Explainer:
    """For the artifacts of one verification. tick: may raise KeyboardInterrupt, which ends it."""

    def __init__(self, store: Store, sandbox: LocalSandbox, tick: Callable[[], None] | None = None) -> None:
        self.store = store
        self._sandbox = sandbox
        self._tick = tick
        self._left = _SECONDS

    def explain(self, before: str, after: str, members: Members) -> str:
        """The differences of two artifacts (digests) as text; "" when there is nothing to look into, or no diffoscope.

        Whatever goes wrong with that is said in the text: it changes no verdict.
        """
        program = process.which("diffoscope")
        changed = [change for change in members.changes if change.how == "changed" and "content" in change.what]
        files, left = _chosen(changed)
        if program is None or not changed:
            return ""
        if not files or self._left <= 0:
            return "diffoscope was not asked: " + ("too much differs" if not files else "the time for it is over")
        began = time.monotonic()
        try:
            text = self._run(program, (before, after), files)
        except (ContractorError, OSError) as trouble:
            text = f"diffoscope could not be asked: {trouble}"
        self._left -= time.monotonic() - began
        return text + (f"\n(and {count(left, 'more file')} that it was not asked about)" if left else "")

    def _run(self, program: str, digests: Sequence[str], files: Files) -> str:
        session = f"explain-{os.getpid()}-{os.urandom(4).hex()}"
        with in_use(self.store, session):
            folder = self.store.path("work", session, "shown")
            os.mkdir(folder, 0o755)
            try:
                for side, digest in zip(("first", "second"), digests, strict=True):
                    _extract(artifact_path(self.store, digest), files, f"{folder}/{side}")
                return self._said(program, folder)
            finally:
                with Opened(os.path.dirname(folder)) as above:
                    remove_tree(above.number, "shown")

    def _said(self, program: str, folder: str) -> str:
        argv = [program, "--no-progress", "--exclude-directory-metadata=recursive", "--max-container-depth=6"]
        argv += [f"--timeout={self._left:.0f}", f"--max-text-report-size={_TEXT}", "--max-diff-block-lines=200"]
        argv += ["--text", "-", "first", "second"]
        output = bytearray()

        def collect(data: bytes) -> None:
            output.extend(data[: max(0, _TEXT - len(output))])

        with aside(self.store, self._sandbox) as place:
            own = [mount for mount in mounts() if mount.target not in ("/tmp", "/var/tmp")]
            spec = SandboxSpec(
                argv=tuple(argv),
                mounts=(
                    *own,
                    Mount("tmpfs", "/tmp", size=_SCRATCH, mode=0o1777),
                    Mount("ro-bind", "/workspace", WORKSPACE),
                    Mount("ro-bind", "/run/shown", place.show(folder)),
                ),
                env={"PATH": HOST_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/tmp"},
                limits=Limits(time=self._left, memory=_MEMORY, file_size=_SCRATCH),
                cwd="/run/shown",
            )
            exit_ = place.run(spec, Caller(collect, None, self._tick))
        return _with_end(output.decode(errors="replace"), exit_)


def _with_end(text: str, exit_: Exit) -> str:
    if exit_.limit:
        return f"{text}(diffoscope was stopped at its limit of {exit_.limit})"
    if exit_.code not in (0, 1):
        return f"{text}(diffoscope ended with {exit_.code})"
    return text or "(diffoscope sees no difference: the bytes differ, and not what they mean)"


def _chosen(changed: Sequence[MemberChange]) -> tuple[Files, int]:
    """As many as it may get, each with its place; and how many are left."""
    files: Files = {}
    size = 0
    for number, change in enumerate(changed):
        sizes = change.what.get("size", (change.size, change.size))
        size += max(int(sizes[0]), int(sizes[1]))
        if len(files) == _FILES or size > _BYTES:
            return files, len(changed) - number
        files[change.name] = _place(change.path, number)
    return files, 0


def _place(path: str, number: int) -> str:
    """The member's own path when each part of it is an ordinary name; an artifact's author chose it."""
    parts = path.split("/")
    return path if len(path) < 200 and all(map(_PLAIN.match, parts)) else f"file-{number + 1}"


def _extract(archive: str, files: Files, folder: str) -> None:
    """The members of a stored archive, as files that a step's user may read."""
    from contractor.store.compress import open_zstd
    from contractor.store.tarread import Stream, members

    with open(archive, "rb") as stored:
        stream = Stream(open_zstd(stored.fileno()), 1 << 40)
        for member in members(stream):
            place = files.get(member.name) if member.kind == tarformat.FILE else None
            if place is None:
                for _piece in stream.pieces(member.size) if member.kind == tarformat.FILE else ():
                    pass
                continue
            path = f"{folder}/{place}"
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            with open(path, "xb") as file:
                _write(file, stream.pieces(member.size))


def _write(file: BinaryIO, pieces: object) -> None:
    raise NotImplementedError
