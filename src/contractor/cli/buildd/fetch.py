"""contractor buildd fetch: the log and the results of a build that was begun elsewhere, or whose client went away."""

from __future__ import annotations

import argparse

from contractor.buildd.client.answers import Status
from contractor.buildd.client.builder import Builder
from contractor.buildd.client.files import LOG
from contractor.buildd.client.folder import Folder
from contractor.buildd.client.results import take
from contractor.buildd.client.run import clean_up
from contractor.buildd.client.watch import Watch
from contractor.buildd.model import BuilderState
from contractor.cli import config
from contractor.cli.buildd.build import exit_code
from contractor.cli.buildd.text import Screen, end_json, end_lines
from contractor.cli.output import put, put_json
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import Rejected


def run(args: argparse.Namespace) -> int:
    stop, screen = Stop(), Screen(quiet=not args.wait, colour=config.load().colour)
    builder = Builder(args.url, timeout=args.timeout, tick=stop.check)
    status = builder.status()
    if status.is_idle or (status.state is not BuilderState.WAITING and not args.wait):
        raise Rejected(f"there is nothing to fetch: the builder at {builder.url} is {status.words}", hint=_hint(status))
    with Folder(args.output or sanitize(status.build).replace("/", "-").lstrip(".-") or "build") as folder:
        log = ""
        with folder.growing() as file:
            status = Watch(builder, status.build, screen, file, args.patience).until_end()
            screen.end()
            if file.size:
                file.publish(LOG)
                log = f"{folder.path}/{LOG}"
        end = take(builder, status, folder, log, screen)
    if args.clean:
        clean_up(builder)
    code = exit_code(end.status)
    if args.json:
        put_json(end_json(status.build, builder.url, end, code))
    else:
        put(end_lines(end))
    return code


def _hint(status: Status) -> str:
    return "" if status.is_idle else "--wait follows the build to its end"
