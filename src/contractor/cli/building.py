"""What all builds of one command line share: where, what, with which options; and a build of it, planned and run."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

from contractor.build.executor import execute
from contractor.build.options import Emit, Exporter, Options
from contractor.build.prepare import make_plans
from contractor.build.steer import steer
from contractor.cli import config
from contractor.cli.options import open_store, request_of
from contractor.cli.proving import witness_of
from contractor.cli.secrets import read_secrets, require_outside, require_unplanned
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
        self.records: list[Record | None] = []  # of the last run, in the order of its plans
        self._wish = wish_of(args)

    def plan(self) -> list[Plan]:
        """The plans, as everything is now. Rejected: a secret or a step that none of them has."""
        require_outside(self.args.secret, self.request, self.store)
        plans = make_plans(self.request, self.store, self.sandbox)
        _require_used(self.secrets, plans)
        require_unplanned(self.secrets, plans)
        self._steering = [steer(plan, self._wish, opener(self.settings)) for plan in plans]
        if any(part.shells for part in self._steering):
            if self.at_once(plans):
                raise Rejected("a shell needs the terminal, which --jobs gives to several builds", hint="--jobs 1")
            require_terminal()
        return plans

    def run(self, plans: list[Plan], emit: Emit, tick: Callable[[float], None]) -> int:
        """Run what was planned last; the worst exit code. tick: `Console.tick`. Afterwards there are its `records`."""
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
            locked=args.locked,
            tick=tick_all,
            witness=witness_of(self.store, self.settings),
        )

        def build(number: int, say: Emit, beat: Callable[[], None] = self.stop.check) -> Record:
            export = _exporter(args.output, plans[number], self.store, len(plans) > 1)
            own = options._replace(export=export, steering=self._steering[number], tick=beat)
            return execute(plans[number], self.store, self.sandbox, say, own)

        if self.at_once(plans):
            from contractor.cli.jobs import AtOnce, run_at_once

            how = AtOnce(self.store, self.sandbox.ids, self.at_once(plans), args.fail_fast)
            records = run_at_once(plans, build, how, emit, tick_all)
        else:
            records = [None] * len(plans)
            for number in range(len(plans)):
                records[number] = record = build(number, emit, tick_all)
                if record.outcome == Outcome.ABORTED.value or (args.fail_fast and record.outcome != Outcome.SUCCEEDED):
                    break
        return self._end(plans, records)

    def at_once(self, plans: list[Plan]) -> int:
        """How many of them run at once, but for memory; 0 when it is one after the other."""
        from contractor.cli.jobs import jobs_asked, jobs_at_once

        jobs = jobs_at_once(jobs_asked(self.args.jobs), plans)
        return jobs if jobs > 1 else 0

    def _end(self, plans: list[Plan], records: list[Record | None]) -> int:
        """What is left to do after the builds; the exit code of them all."""
        self.records = records
        _settle(self.store, self.sandbox.ids, [record for record in records if record is not None])
        if len(plans) == 1:
            return EXIT_CODES[Outcome(records[0].outcome)] if records[0] else EXIT_CODES[Outcome.ABORTED]
        from contractor.cli.jobs import exit_code, sum_up

        if self.args.output:
            sum_up(self.args.output, records)
        return exit_code(records, stopped=self.stop.asked)


def _exporter(output: str | None, plan: Plan, store: Store, many: bool) -> Exporter | None:
    """What copies a finished build's artifacts to -o DIR."""
    if output is None:
        return None

    def copy(artifacts: tuple[events.ArtifactInfo, ...]) -> tuple[events.ArtifactInfo, ...]:
        from contractor.build.export.exporting import export_artifacts, target_folder

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
