"""What differs inside the files that differ, as diffoscope sees it; in a sandbox, for it opens whatever it is given.

https://diffoscope.org/ (Debian: diffoscope or diffoscope-minimal). It gets the files that differ and nothing else, so
that a large artifact costs no more than what changed in it; time, memory and what it may write are limited.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence

from contractor.build.aside import aside
from contractor.build.compare.members import Members, text_of
from contractor.build.inside.access import Opened
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
_LARGEST = 1 << 40  # bytes of an archive: what the store has was measured when it was made
_TEXT = 1 << 20  # bytes that are kept of what it says
_PLAIN = re.compile(r"[A-Za-z0-9_+@=,][A-Za-z0-9._+@=, -]{0,99}\Z")

Places = dict[str, str]  # members, by what compare/members.py calls them, and where each is put


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
        changed = [change.path for change in members.changes if "content" in change.what]
        if program is None or not changed:
            return ""
        if self._left <= 0:
            return "(diffoscope was not asked: the time for it is over)"
        places = {path: _place(path, number) for number, path in enumerate(changed[:_FILES])}
        began = time.monotonic()
        try:
            text = self._run(program, (before, after), places)
        except (ContractorError, OSError) as trouble:
            text = f"(diffoscope could not be asked: {trouble})"
        self._left -= time.monotonic() - began
        rest = len(changed) - len(places)
        return f"{text}\n(and {count(rest, 'more file')}, not shown to diffoscope)" if rest else text

    def _run(self, program: str, digests: Sequence[str], places: Places) -> str:
        session = f"explain-{os.getpid()}-{os.urandom(4).hex()}"
        with in_use(self.store, session):
            folder = self.store.path("work", session, "shown")
            os.mkdir(folder, 0o755)
            try:
                large: set[str] = set()
                for side, digest in zip(("first", "second"), digests, strict=True):
                    large |= _extract(artifact_path(self.store, digest), places, f"{folder}/{side}")
                for path in large:  # what is shown of one side alone would look as if it were new
                    for side in ("first", "second"):
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(f"{folder}/{side}/{places[path]}")
                for inner, _folders, _files in os.walk(folder):  # whatever the umask is
                    os.chmod(inner, 0o755)  # noqa: S103 - a step's user reads it
                said = self._said(program, folder) if len(large) < len(places) else ""
                for path, place in places.items():
                    said = said.replace(f"/{place}\n", f"/{path}\n") if path != place else said
            finally:
                with Opened(os.path.dirname(folder)) as above:
                    remove_tree(above.number, "shown")
        note = f"({count(len(large), 'file')} too large for diffoscope: {', '.join(sorted(large))})" if large else ""
        return "\n".join(filter(None, (said, note)))

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


def _place(path: str, number: int) -> str:
    """The member's own path when each part of it is an ordinary name; an artifact's author chose it."""
    parts = path.split("/")
    return path if len(path) < 200 and all(map(_PLAIN.match, parts)) else f"~{number + 1}"


def _extract(archive: str, places: Places, folder: str) -> set[str]:
    """The members of a stored archive as files that a step's user may read; returns those that are too large."""
    from contractor.store.compress import open_zstd
    from contractor.store.tarread import Stream, members

    large: set[str] = set()
    left = _BYTES
    os.mkdir(folder, 0o755)
    with open(archive, "rb") as stored:
        stream = Stream(open_zstd(stored.fileno()), _LARGEST)
        for member in members(stream):
            path = text_of(member.name)
            if member.kind != tarformat.FILE or path not in places:
                continue
            if member.size > left:
                large.add(path)
                continue
            left -= member.size
            where = f"{folder}/{places[path]}"
            os.makedirs(os.path.dirname(where), 0o755, exist_ok=True)
            with open(where, "xb") as file:
                file.writelines(stream.pieces(member.size))
            os.chmod(where, 0o644)  # a step's user reads it
    return large
