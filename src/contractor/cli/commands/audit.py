"""contractor audit: the store's audit journal, shown, verified, and handed to somebody else to keep."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from contractor.cli import config
from contractor.cli.commands.keys import Part, write_out
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk, when
from contractor.cli.proving import ring_of, witness_of
from contractor.cli.text import sanitize
from contractor.core.errors import Rejected
from contractor.core.words import count
from contractor.proof.audit import Heads, accept, entries, judge, look
from contractor.proof.errors import Refuted
from contractor.proof.journal import read_head
from contractor.proof.journal_check import Report, check
from contractor.proof.keyring import read_keys
from contractor.proof.keys import Keys, by_id

if TYPE_CHECKING:
    from contractor.cli.config import Settings
    from contractor.proof.journal_line import Entry

JSON_VERSION = 1
_DEFAULT = 20


def parser() -> Parser:
    made = Parser(
        "audit",
        "The audit journal of the store: builds, networks and secrets that steps were given, shells, verdicts. Each "
        "entry is signed, and chained to the one before.",
    )
    kinds = made.add_subparsers(dest="do", required=True, metavar="show|verify|export|accept", parser_class=Part)
    show = kinds.add_parser("show", help="the newest entries", description="Show the newest entries, oldest first.")
    show.add_argument("-n", "--number", type=int, default=_DEFAULT, metavar="N", help="at most N, 0: all (default 20)")
    show.add_argument("--kind", metavar="KIND", help="of this kind only, such as grant or shell-entered")
    show.add_argument("--build", metavar="ID", help="of this build only: an id or its beginning")
    show.add_argument("--json", action="store_true", help="as JSON lines")
    verify = kinds.add_parser(
        "verify",
        help="whether it is whole",
        description="Find every change, cut and reordering, and say where. Records and provenance of builds are "
        "compared with what the journal has of them. Exit code 0 if all is as it was written, 3 if not.",
    )
    verify.add_argument("file", nargs="?", help="an exported journal (default: the store's)")
    verify.add_argument("--head", metavar="FILE", help="a head that was kept elsewhere: the journal must have it")
    verify.add_argument("--trust", metavar="FILE", help="trust the keys in FILE, and no others")
    verify.add_argument("--every", action="store_true", help="check every signature, not only those that decide")
    verify.add_argument("--json", action="store_true", help="as JSON")
    export = kinds.add_parser(
        "export", help="for others to keep", description="Write out the journal, or only its head."
    )
    export.add_argument("--head", action="store_true", help="only the last lines: enough to see later what was cut")
    export.add_argument("-o", "--output", metavar="FILE", help="where to (default: standard output)")
    accepting = kinds.add_parser(
        "accept",
        help="findings that are known",
        description="Note in the journal that what `verify` finds now is known, and why it is no worry. `verify` goes "
        "on showing it, and no longer fails for it.",
    )
    accepting.add_argument("--reason", metavar="TEXT", required=True, help="for whoever looks later")
    for part in (show, verify, export, accepting):
        part.add_argument("--store", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    do = {"show": _show, "verify": _verify, "export": _export, "accept": _accept}[args.do]
    return do(args, settings)


def _show(args: argparse.Namespace, settings: Settings) -> int:
    found = [
        entry
        for entry in entries(look(open_store(args, settings), settings.heads).data)
        if (args.kind is None or entry.kind == args.kind)
        and (args.build is None or str(entry.body.get("build", "")).startswith(args.build))
    ]
    for entry in found[-args.number :] if args.number > 0 else found:
        put([msgspec.json.encode(entry).decode() if args.json else _line(entry)])
    if 0 < args.number < len(found):
        talk(f"the newest {args.number} of {len(found)}; `contractor audit show -n 0` shows all")
    return 0


def _line(entry: Entry) -> str:
    return f"{entry.seq:>6}  {when(entry.at)}  {entry.kind:<14}  {sanitize(' '.join(_words(entry.body)))}".rstrip()


def _words(body: dict[str, Any]) -> Iterator[str]:
    """The body in a line: what names the entry first, digests by their beginning."""
    for name, value in body.items():
        if value in ("", [], {}):
            continue
        if name in ("build", "why", "reason", "outcome", "name"):
            yield str(value)
        elif isinstance(value, str) and len(value) == 64:
            yield f"{name}={value[:12]}"
        elif isinstance(value, dict):
            yield f"{name}={','.join(f'{key}:{_short(item)}' for key, item in value.items())}"
        else:
            yield f"{name}={_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    return text[:12] if len(text) == 64 else text


def _verify(args: argparse.Namespace, settings: Settings) -> int:
    keys = _keys(args, settings)
    more = _given(args.head)
    began = time.monotonic()
    if args.file:
        report = check(_read(args.file), more, keys, every=args.every)
    else:
        report = judge(open_store(args, settings), settings.heads, keys, every=args.every, more=more)
    if args.json:
        put_json({"version": JSON_VERSION, "whole": report.whole, **msgspec.to_builtins(report)})
        return 0 if report.whole else Refuted("").exit_code
    _tell(report)
    if not report.whole:
        raise _error(report)
    put([f"whole: {_size(report)}, checked in {time.monotonic() - began:.1f} s"])
    return 0


def _keys(args: argparse.Namespace, settings: Settings) -> Keys:
    return by_id(read_keys(args.trust)) if args.trust else ring_of(settings, args.store).trusted()


def _given(path: str | None) -> Heads:
    if path is None:
        return {}
    head = read_head(path)
    if head is None:
        raise Rejected(f"{path} is not the head of an audit journal", hint="`contractor audit export --head` writes it")
    return {f"in {path}": head}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error


def _tell(report: Report) -> None:
    for note in report.notes:
        talk(f"note: {sanitize(note)}")
    for finding in report.findings:
        if finding.accepted:
            talk(f"known: {sanitize(finding.text)} (accepted: {sanitize(finding.accepted)})")


def _size(report: Report) -> str:
    if not report.entries:
        return "no entry"
    names = ", ".join(sanitize(name) for name in report.signed)
    number = "1 entry" if report.entries == 1 else f"{report.entries} entries"
    return f"{number} from {when(report.first)} to {when(report.last)}, signed by {names}"


def _error(report: Report) -> Refuted:
    wrong = [finding.text for finding in report.findings if not finding.accepted]
    return Refuted(
        f"the audit journal is not as it was written: {count(len(wrong), 'finding')}",
        details=tuple(wrong[:50]),
        hint="if you know whose key it is: `contractor keys trust FILE`"
        if any("not trusted" in text for text in wrong)
        else "find out what happened; `contractor audit accept --reason TEXT` then notes that it is known",
    )


def _export(args: argparse.Namespace, settings: Settings) -> int:
    data = look(open_store(args, settings), settings.heads).data
    if args.head:
        data = data[data.rfind(b"\n", 0, len(data) - 1) + 1 :]
    write_out(data, args.output)
    return 0


def _accept(args: argparse.Namespace, settings: Settings) -> int:
    store = open_store(args, settings)
    journal, number = witness_of(store, settings).journal, 0
    keys = ring_of(settings, args.store).trusted()
    while more := accept(journal, judge(store, settings.heads, keys), sanitize(args.reason)):
        number += more  # the entry itself may have to say that the end before it is not what it was
    put([f"accepted: {count(number, 'finding')}" if number else "there is nothing to accept: the journal is whole"])
    return 0
