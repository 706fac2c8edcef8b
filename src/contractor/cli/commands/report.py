"""contractor report: one build as one HTML file, to read, send and print; it asks nothing of anyone to be opened."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator

from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, talk
from contractor.cli.text import human_size, sanitize
from contractor.core.errors import Broken, Rejected
from contractor.store.records import Records


def parser() -> Parser:
    made = Parser(
        "report",
        "Write a build as one HTML file: steps, times, logs, fetches, artifacts, environment, and what differs from "
        "the last good build of the same name.",
    )
    made.add_argument("build", nargs="?", default="last", help="an id, its beginning, or a name (default: the last)")
    made.add_argument("-o", "--output", metavar="FILE", help='the file, "-" for standard output (default: ID.html)')
    made.add_argument("--full-logs", action="store_true", help="all of every log, not only the ends of long ones")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    store = open_store(args, config.load())
    build = Records(store).find(args.build)
    from contractor.cli.report.collect import page
    from contractor.cli.report.page import write

    made = page(store, build, full=args.full_logs)
    if args.output == "-":
        sys.stdout.flush()
        write(made, sys.stdout.buffer.write)
        return 0
    path = args.output or f"{build}.html"
    with _replacing(path) as fd:
        size = write(made, lambda data: _write(fd, data, path))
    put([sanitize(path)])
    talk(f"the report of {sanitize(build)}, {human_size(size)}: open it in any browser")
    return 0


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[int]:
    """A descriptor whose bytes become the file when all of them are there; a device or pipe gets them as they come.

    Rejected when the place cannot be written to, Broken when the disk says no.
    """
    final = os.path.realpath(path)
    try:
        mode = os.stat(final).st_mode
    except OSError:
        mode = 0
    if stat.S_ISDIR(mode):
        raise Rejected(f"{path} is a folder", hint=f"name a file: -o {path.rstrip('/')}/report.html")
    direct = bool(mode) and not stat.S_ISREG(mode)
    temporary = final if direct else f"{final}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if direct else os.O_CREAT | os.O_EXCL)
    try:
        fd = os.open(temporary, flags, 0o666)
    except OSError as error:
        raise Rejected(
            f"the report cannot be written to {path}: {error.strerror}", hint="choose another place: -o FILE"
        ) from error
    try:
        if stat.S_ISREG(mode):
            os.fchmod(fd, stat.S_IMODE(mode))  # who could read it before can read it now, and nobody else
        yield fd
        if not direct:
            os.rename(temporary, final)
    except BaseException:
        if not direct:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise
    finally:
        os.close(fd)


def _write(fd: int, data: bytes, path: str) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Broken(f"the report cannot be written to {path}: {error.strerror}", hint="free some space") from error
