"""contractor buildd status, info, abort, clean: the short questions to a builder."""

from __future__ import annotations

import argparse

from contractor.buildd.client.answers import Status
from contractor.buildd.client.builder import Builder
from contractor.buildd.client.run import ABORT_PATIENCE, ask_abort, clean_up
from contractor.buildd.client.watch import Gone, Watch
from contractor.buildd.model import BuilderState
from contractor.cli.buildd.text import Screen, status_lines
from contractor.cli.output import put, put_json, talk
from contractor.cli.text import sanitize, table
from contractor.core.errors import Broken, Rejected

JSON_VERSION = 1
_SURE = 20.0  # seconds to find out what became of a call whose answer was lost


def run(args: argparse.Namespace) -> int:
    builder = Builder(args.url, timeout=args.timeout)
    return {"status": _status, "info": _info, "abort": _abort, "clean": _clean}[args.do](builder, args)


def _status(builder: Builder, args: argparse.Namespace) -> int:
    status = builder.status()
    if args.json:
        put_json({"version": JSON_VERSION, "url": builder.url, **as_json(status)})
    else:
        put(status_lines(builder.url, status))
    return 0


def as_json(status: Status) -> dict[str, object]:
    """What there is of it, under the names of the protocol, without their prefixes."""
    found: dict[str, object] = {
        "builder_status": status.state.value,
        "builder_version": status.version or None,
        "build_id": status.build or None,
        "build_status": status.ended.value if status.ended else None,
        "filemap": status.files,
        "dependencies": status.dependencies or None,
        "logtail": status.tail.decode("utf-8", "replace") if status.tail else None,
    }
    return {name: value for name, value in found.items() if value is not None} | _plain(status.extra)


def _plain(extra: dict[str, object]) -> dict[str, object]:
    """XML-RPC has byte strings and dates, JSON has not."""
    import msgspec

    made: dict[str, object] = msgspec.json.decode(msgspec.json.encode(extra))
    return made


def _info(builder: Builder, args: argparse.Namespace) -> int:
    info = builder.info()
    if args.json:
        types = {"protocol": info.protocol, "architecture": info.architecture, "types": info.types}
        put_json({"version": JSON_VERSION, "url": builder.url, **types})
        return 0
    rows = [("protocol", info.protocol), ("architecture", info.architecture), ("builds", ", ".join(info.types))]
    put(table([(name, sanitize(text)) for name, text in rows]))
    return 0


def _abort(builder: Builder, args: argparse.Namespace) -> int:
    status = builder.status()
    if status.state is BuilderState.BUILDING:
        ask_abort(builder, status.build, _SURE)  # it may end by itself at this moment
        talk(f"asked {builder.url} to abort {sanitize(status.build)}")
    elif status.state is not BuilderState.ABORTING:
        raise Rejected(
            f"there is nothing to abort: the builder at {builder.url} is {status.words}",
            hint=f"`contractor buildd clean {builder.url}` makes it free" if status.build else "",
        )
    if args.no_wait:
        return 0
    try:
        end = Watch(builder, status.build, Screen(quiet=True), None, args.timeout).until_end(ABORT_PATIENCE)
    except Gone:  # who had it built has made the builder free already
        put([f"{builder.url} has ended {sanitize(status.build)}"])
        return 0
    put([f"{builder.url} is {sanitize(end.words)}"])
    if end.state is not BuilderState.WAITING:
        raise Broken(f"after {ABORT_PATIENCE:g} s it has not stopped", hint="see its log, and restart it")
    return 0


def _clean(builder: Builder, _args: argparse.Namespace) -> int:
    status = builder.status()
    if status.is_idle:
        put([f"{builder.url} is IDLE already"])
        return 0
    if status.state is not BuilderState.WAITING:
        raise Rejected(
            f"the builder at {builder.url} cannot be cleaned: it is {status.words}",
            hint="`contractor buildd abort` stops the build",
        )
    clean_up(builder, _SURE)
    put([f"{builder.url} is IDLE; {sanitize(status.build)} is forgotten"])
    return 0
