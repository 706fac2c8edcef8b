"""What all builds of one command line share: where, what, with which options; and a build of it, planned and run."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

from contractor.build.context import Emit, Exporter, Options
from contractor.build.executor import execute
from contractor.build.prepare import make_plans
from contractor.build.steer import steer
from contractor.cli import config
from contractor.cli.options import open_store, request_of
from contractor.cli.secrets import read_secrets
from contractor.cli.steering import opener, require_terminal, wish_of
from contractor.cli.stop import Stop
from contractor.core import events
from contractor.core.errors import EXIT_CODES, Outcome, Rejected
from contractor.plan.model import Plan
from contractor.sandbox.local import choose
from contractor.store.layout import Store
from contractor.store.records import Record


class Building:
    """A command line that builds, once or again and again."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.stop = Stop()
        self.settings = config.load()
        self.store = open_store(args, self.settings)
        self.sandbox = choose(one_id=args.one_id)
        written = [path for path in (args.output, args.events) if path and path != "-"]
        leave = tuple(os.path.abspath(path) for path in written)  # we write there: it is no source
        self.request = request_of(args, self.settings)._replace(leave=leave)
        self.secrets = read_secrets(args.secret)
        self._wish = wish_of(args)

    def plan(self) -> list[Plan]:
        """The plans, as everything is now. Rejected: a secret or a step that none of them has."""
        plans = make_plans(self.request, self.store, self.sandbox)
        _require_used(self.secrets, plans)
        self._steering = [steer(plan, self._wish, opener(self.settings)) for plan in plans]
        if any(part.shells for part in self._steering):
            require_terminal()
        return plans

    def run(self, plans: list[Plan], emit: Emit, tick: Callable[[float], None]) -> int:
        """Run what was planned last, one after the other; the worst exit code. tick: `Console.tick`."""
        args = self.args

        def tick_all() -> None:
            self.stop.check()
            tick(time.time())

        options = Options(
            folder=self.request.folder,
            fresh=args.fresh or args.fresh_bases,
            fresh_bases=args.fresh_bases,
            keep=args.keep,
            secrets=self.secrets,
            upstream_proxy=self.settings.proxy,
            offline=args.offline,
            tick=tick_all,
        )
        records: list[Record] = []
        for plan, part in zip(plans, self._steering, strict=True):
            export = _exporter(args.output, plan, self.store, len(plans) > 1)
            records.append(
                execute(plan, self.store, self.sandbox, emit, options._replace(export=export, steering=part))
            )
            if records[-1].outcome == Outcome.ABORTED.value:
                break
        _settle(self.store, self.sandbox.ids, records)
        return max(EXIT_CODES[Outcome(record.outcome)] for record in records)


def _exporter(output: str | None, plan: Plan, store: Store, many: bool) -> Exporter | None:
    """What copies a finished build's artifacts to -o DIR."""
    if output is None:
        return None

    def copy(artifacts: tuple[events.ArtifactInfo, ...]) -> tuple[events.ArtifactInfo, ...]:
        from contractor.build.export import export_artifacts, target_folder

        return export_artifacts(artifacts, store, target_folder(output, plan.matrix, many), plan.epoch)

    return copy


def _require_used(secrets: dict[str, bytes], plans: list[Plan]) -> None:
    """A secret that no step asks for was meant to have another name."""
    asked = {name for plan in plans for action in plan.actions for name in action.step.secrets}
    for name in secrets:
        if name not in asked:
            known = ", ".join(sorted(asked)) or "none"
            raise Rejected(f"--secret {name}: no step asks for it", hint=f"secrets that steps ask for: {known}")


def _settle(store: Store, ids: str, records: list[Record]) -> None:
    """Sync what ran, and make its results lasting; a build where nothing ran has nothing to sync."""
    if not any(step.outcome == "succeeded" for record in records for step in record.steps):
        return
    from contractor.build.settle import settle_in_background

    settle_in_background(store, ids)
