"""Earlier builds with their plans, as the store's records have them: what a plan is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice

import msgspec

from contractor.core.errors import Broken, Rejected
from contractor.plan.model import Plan, decode
from contractor.plan.reasons import Earlier, reason
from contractor.store.records import VERIFY, Records

Tell = Callable[[str], None]
_COMPARED = 8  # newest builds that a build looks through while it runs: each takes a millisecond, for 50 steps


def plan_of(records: Records, build: str) -> Plan:
    """The plan of a build by its whole id. Rejected: it is not there; Broken: it cannot be read."""
    try:
        with open(f"{records.folder(build)}/plan.json", "rb") as file:
            return decode(file.read())
    except FileNotFoundError as error:
        raise Rejected(
            f"the plan of {build} is not there any more", hint="`contractor show` tells what its record knows"
        ) from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Broken(f"the plan of {build} cannot be read: {error}", hint="another build has its own plan") from error


def earlier_builds(
    records: Records, name: str, matrix: Mapping[str, str], before: str = "", tell: Tell | None = None
) -> Iterator[Earlier]:
    """Builds of the same name and combination of the matrix, newest first; those before a build, where one is given.

    A build without a readable record or plan is passed over; `tell` gets the reason.
    """
    for build in records.ids():
        if build[16:-5] != name or (before and build >= before):
            continue
        try:
            record = records.read(build)
            if record.matrix != matrix or record.asked[:1] == (VERIFY,):
                continue
            plan = plan_of(records, build)
        except (Rejected, Broken) as error:
            if tell is not None:
                tell(f"{error.message}: it is not compared with")
            continue
        yield Earlier(build, plan, tuple(step.outcome for step in record.steps), record.started)


def why_it_runs(records: Records, plan: Plan, build: str, index: int) -> str:
    """Why a step of a build that has just begun runs, in a line; "" when there is no build to compare it with."""
    earlier = earlier_builds(records, plan.name, plan.matrix, before=build)
    first = next(earlier, None)
    return reason(plan, index, chain([first], islice(earlier, _COMPARED - 1))) if first is not None else ""
