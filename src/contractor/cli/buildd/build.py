"""contractor buildd build: a build on a builder from here, as one command."""

from __future__ import annotations

import argparse
import os
import re
import time
from contextlib import ExitStack
from typing import Any

import msgspec

from contractor.buildd.client.builder import Builder
from contractor.buildd.client.folder import Folder, name_problem
from contractor.buildd.client.offer import Offer, Offered, address_towards, open_file
from contractor.buildd.client.run import Run, Upload, Wish, require_idle, send
from contractor.buildd.client.xmlrpc import check
from contractor.buildd.model import BuildStatus
from contractor.cli import config
from contractor.cli.buildd.text import Screen, end_json, end_lines
from contractor.cli.output import put, put_json
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Outcome, Rejected
from contractor.network.allow import parse_authority

_OUTCOMES = {
    BuildStatus.OK: Outcome.SUCCEEDED,
    BuildStatus.PACKAGEFAIL: Outcome.FAILED,
    BuildStatus.DEPFAIL: Outcome.FAILED,
    BuildStatus.CHROOTFAIL: Outcome.BROKEN,
    BuildStatus.BUILDERFAIL: Outcome.BROKEN,
    BuildStatus.GIVENBACK: Outcome.BROKEN,
    BuildStatus.ABORTED: Outcome.ABORTED,
}
_LARGEST_DSC = 4 << 20
_LARGEST_ARGUMENTS = 4 << 20
_SHA1 = re.compile(r"[0-9a-f]{40}")


def exit_code(status: BuildStatus) -> int:
    """Whose turn it is, as for every command."""
    return EXIT_CODES[_OUTCOMES[status]]


def run(args: argparse.Namespace) -> int:
    stop, screen = Stop(), Screen(colour=config.load().colour)
    builder = Builder(args.url, timeout=args.timeout, tick=stop.check)
    arguments = arguments_of(args.args, args.arg)
    build = _id(args)
    with ExitStack() as stack:
        image = None if args.image_url or not os.path.exists(args.image) else open_file(args.image)
        files = {os.path.basename(path): open_file(path) for path in with_named(args.file)}
        name = image.name if image is not None else _image_name(args)
        wish = Wish(build, args.type, name, {base: file.name for base, file in files.items()}, arguments)
        require_idle(builder)
        folder = stack.enter_context(Folder(args.output or build))
        if folder.has("buildlog"):
            raise Rejected(f"{folder.path} has the log of another build", hint="choose another with --output DIR")
        with ExitStack() as offering:
            offered = [*([image] if image is not None else []), *files.values()]
            send(builder, _uploads(args, name, offered, offering, builder), screen)
        end = Run(builder, wish, folder, screen, args.patience).run(clean=not args.no_clean)
    screen.end()
    code = exit_code(end.status)
    if args.json:
        put_json(end_json(build, builder.url, end, code))
    else:
        put(end_lines(end))
    return code


def _id(args: argparse.Namespace) -> str:
    if args.id is None:
        return f"{time.strftime('%Y%m%d-%H%M%S')}-{args.type}-{os.urandom(2).hex()}"
    build: str = args.id
    problem = name_problem(build) or ("begins with a dot" if build.startswith(".") else "")
    if problem:  # builders make a folder of this name, and those that check it do not say what is wrong
        raise Rejected(f"--id {build!r} {problem}", hint="for example --id SNAPBUILD-7")
    return build


def _image_name(args: argparse.Namespace) -> str:
    """The image is on the builder already, or comes from elsewhere."""
    name: str = args.image
    if args.image_url and os.path.exists(name) and not _SHA1.fullmatch(name):
        raise Rejected("--image-url needs the image's sha1", hint=f"`sha1sum {name}` tells it: --image SHA1")
    if name_problem(name) or name.startswith("."):
        raise Rejected(f"there is no file {name}", hint="name a file here, or the sha1 of one in the builder's cache")
    return name


def _uploads(
    args: argparse.Namespace, image: str, offered: list[Offered], stack: ExitStack, builder: Builder
) -> list[Upload]:
    uploads: list[Upload] = []
    if args.image_url:
        url, user, password = _without_credentials(args.image_url)
        uploads.append(Upload(image, url, url, user, password))
    elif not offered or offered[0].name != image:
        uploads.append(Upload(image, None))
    if offered:
        address, port = _offer_place(args.offer, builder)
        offer = stack.enter_context(Offer(offered, address, port))
        uploads += [Upload(file.name, offer.url(file.name), sanitize(file.path)) for file in offered]
    return uploads


def _offer_place(given: str | None, builder: Builder) -> tuple[str, int]:
    if given is None:
        return address_towards(builder.place.host, builder.place.port), 0
    try:
        host, port = parse_authority(given)
    except ValueError as error:
        raise Rejected(f"--offer {given}: {error}", hint="write --offer 192.0.2.7 or --offer 192.0.2.7:8000") from None
    return host, port or 0


def _without_credentials(url: str) -> tuple[str, str, str]:
    """The builder takes user and password apart from the URL."""
    from contractor.network.location import parse_location

    location = parse_location(url)
    user, _, password = location.user.decode("utf-8", "surrogateescape").partition(":")
    return location.url, user, password


def with_named(paths: list[str]) -> list[str]:
    """The files, and after each .dsc those that it names and that lie beside it. Raises Rejected when one does not."""
    found: list[str] = []
    for path in paths:
        found.append(path)
        if path.endswith(".dsc"):
            folder = os.path.dirname(path)
            found += [os.path.join(folder, name) for name in named_in_dsc(path)]
    unique = list(dict.fromkeys(found))
    names = [os.path.basename(path) for path in unique]
    for name in names:
        if names.count(name) > 1:
            raise Rejected(f"two files have the name {name}", hint="in the build they lie side by side")
        if problem := name_problem(name):
            raise Rejected(f"the file name {name!r} {problem}", hint="rename it")
    return unique


def named_in_dsc(path: str) -> list[str]:
    """The names in the Files field of a source package's description (Debian Policy, section 5.6.21)."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST_DSC).decode("utf-8", "replace")
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error
    block = re.search(r"^Files:[^\n]*\n((?:[ \t]+[^\n]*\n?)*)", text, re.MULTILINE | re.IGNORECASE)
    lines = [line.split() for line in block[1].splitlines()] if block else []
    return [words[2] for words in lines if len(words) == 3 and not name_problem(words[2])]


def arguments_of(path: str | None, given: list[str]) -> dict[str, Any]:
    """--args and, on top, each --arg. Raises Rejected."""
    arguments = _read_arguments(path) if path else {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not name or name == "+":
            raise Rejected(f"--arg {item}: expected NAME=VALUE", hint="for example --arg series=bookworm")
        value = _value(item, text)
        if name.endswith("+"):
            before = arguments.setdefault(name[:-1], [])
            if not isinstance(before, list):
                raise Rejected(f"--arg {item}: {name[:-1]} is no list", hint=f"write --arg {name[:-1]}=... instead")
            arguments[name[:-1]] = [*before, value]
        else:
            arguments[name] = value
    check(arguments)
    return arguments


def _value(item: str, text: str) -> Any:
    """JSON for what only JSON can say; numbers too are text, because 20.04 and 007 are."""
    if text[:1] not in ("{", "[", '"') and text not in ("true", "false", "null"):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Rejected(f"--arg {item}: {error}", hint="it looks like JSON, but is none") from None


def _read_arguments(path: str) -> dict[str, Any]:
    import sys

    try:
        if path == "-":
            data = sys.stdin.buffer.read(_LARGEST_ARGUMENTS)
        else:
            with open(path, "rb") as file:
                data = file.read(_LARGEST_ARGUMENTS)
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Rejected(f"{path} has no arguments: {error}", hint="write a JSON object") from None
