"""contractor keys: the keys that sign, and those that are trusted."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

import msgspec

from contractor.cli import config
from contractor.cli.options import Parser
from contractor.cli.output import put, put_json, talk
from contractor.cli.proving import ring_of
from contractor.cli.text import table
from contractor.core.errors import Rejected
from contractor.proof.keyring import Keyring, find, read_keys
from contractor.proof.keys import PublicKey, public_text, require_name

JSON_VERSION = 1


class Part(argparse.ArgumentParser):
    """The parser of a sub-command."""

    def error(self, message: str) -> NoReturn:
        raise Rejected(message, hint=f"{self.prog} --help")


def parser() -> Parser:
    made = Parser(
        "keys",
        "ed25519 keys: your own, which sign provenance and the audit journal, and those of others that you trust. "
        "Without a command: list them. The first own key is made by the first build.",
    )
    kinds = made.add_subparsers(dest="do", metavar="list|new|use|export|trust|until|untrust", parser_class=Part)
    listing = kinds.add_parser("list", help="all of them", description="List the own and the trusted keys.")
    listing.add_argument("--json", action="store_true", help="as JSON")
    new = kinds.add_parser("new", help="make a key", description="Make a key of your own.")
    new.add_argument("name", help="letters, digits and @ . _ + -: release-2026, ada@laptop")
    new.add_argument("--use", action="store_true", help="it signs from now on (the first one does anyway)")
    use = kinds.add_parser("use", help="choose the key that signs", description="Choose which of your keys signs.")
    use.add_argument("name", help="an own key")
    export = kinds.add_parser(
        "export", help="a public key for others", description="Write a public key, for others to trust."
    )
    export.add_argument("name", nargs="?", help="a key's name or id (default: the key that signs)")
    export.add_argument("-o", "--output", metavar="FILE", help="where to (default: standard output)")
    trust = kinds.add_parser(
        "trust", help="trust somebody's key", description="Trust the public keys in a file. Compare their ids first."
    )
    trust.add_argument("file", help="what `contractor keys export` wrote, or any trust file")
    trust.add_argument("--name", metavar="NAME", help="the name that it has here (default: its own)")
    until = kinds.add_parser(
        "until",
        help="say how long a key counts",
        description="Say until when what a key signs counts, an own one or a trusted one. What it signed before that "
        "goes on counting, years later; an own key does not sign after it.",
    )
    until.add_argument("key", help="its name, its id, or the beginning of its id")
    until.add_argument("day", help="the last day (UTC), such as 2027-12-31; or always")
    untrust = kinds.add_parser("untrust", help="no longer", description="Take a key out of the trust file.")
    untrust.add_argument("key", help="its name, its id, or the beginning of its id")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    ring = ring_of(config.load(), args.store)
    if args.do in (None, "list"):
        return _list(ring, as_json=getattr(args, "json", False))
    if args.do == "new":
        key = ring.new(args.name, use=args.use)
        put([f"made {key.name}  {key.id}"])
        if ring.default() != key.name:
            talk(f"{ring.default()} goes on signing; `contractor keys use {key.name}` changes that")
    elif args.do == "use":
        put([f"{ring.use(args.name).name} signs from now on"])
    elif args.do == "export":
        write_out(public_text(_chosen(ring, args.name)).encode(), args.output)
    elif args.do == "trust":
        _trust(ring, args.file, args.name)
    elif args.do == "until":
        key = ring.until(args.key, "" if args.day == "always" else args.day)
        put([f"{key.name} counts {f'until {key.until}' if key.until else 'always'}  {key.id}"])
    else:
        key = ring.untrust(args.key)
        put([f"no longer trusted: {key.name}  {key.id}"])
    return 0


def _list(ring: Keyring, *, as_json: bool) -> int:
    own, others = ring.own(), ring.others()
    signs = ring.default() if len(own) == 1 or own else ""
    mine = {key.id for key in own}
    rows = [(key, "own, signs" if key.name == signs else "own") for key in own]
    rows += [(key, "trusted") for key in others if key.id not in mine]
    if as_json:
        keys = [
            {
                "name": key.name,
                "id": key.id,
                "own": key.id in mine,
                "signs": key.id in mine and key.name == signs,
                "until": key.until,
            }
            for key, _role in rows
        ]
        put_json({"version": JSON_VERSION, "keys": keys, "trust_file": ring.trust_file})
        return 0
    if not rows:
        talk("no key yet: the first build makes one, or `contractor keys new NAME`")
        return 0
    put(table([("name", "", "id"), *((key.name, f"{role}{_until(key)}", key.id) for key, role in rows)]))
    return 0


def _until(key: PublicKey) -> str:
    return f", until {key.until}" if key.until else ""


def _chosen(ring: Keyring, name: str | None) -> PublicKey:
    known = [*ring.own(), *ring.others()]
    chosen = name or ring.default()
    if not chosen:
        raise Rejected("there is no key yet", hint="the first build makes one, or `contractor keys new NAME`")
    return find(known, chosen, "your keys")


def write_out(data: bytes, path: str | None) -> None:
    """To a file, or standard output."""
    if path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Rejected(f"{path} cannot be written: {error.strerror}", hint="choose another with -o FILE") from error


def _trust(ring: Keyring, path: str, name: str | None) -> None:
    keys = read_keys(path)
    if not keys:
        raise Rejected(f"there is no public key in {path}", hint="`contractor keys export` writes one")
    if name is not None:
        if len(keys) > 1:
            raise Rejected(f"{path} has {len(keys)} keys, --name names one", hint="trust them under their own names")
        keys = [msgspec.structs.replace(keys[0], name=require_name(name))]
    added = ring.trust(keys)
    for key in keys:
        put([f"{_word(key, added)} {key.name}  {key.id}"])


def _word(key: PublicKey, added: list[PublicKey]) -> str:
    return "trusted:        " if key in added else "trusted already:"
