"""A build that another store has, as far as its provenance tells: enough to build it again from a specification here.

The specification, its lock and its inputs come in a capsule, or with the project. That it is the same build is not
believed but compared: the keys of its steps, which everything that goes in decides about, must be those that were
signed.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence
from typing import NamedTuple

from contractor.build.prepare import Request, make_plans
from contractor.core.errors import Rejected
from contractor.core.events import ArtifactInfo
from contractor.plan.model import Action, Plan
from contractor.proof.errors import Refuted
from contractor.proof.provenance import keys_digest
from contractor.proof.statement import Descriptor, Statement
from contractor.proof.verdict import Original
from contractor.proof.verify import Claim
from contractor.sandbox.local import LocalSandbox
from contractor.store.layout import Store
from contractor.store.records import Record, StepRecord


class Elsewhere(NamedTuple):
    """record: what the provenance says of the build; plan: the same, made here. original: for the verdict."""

    record: Record
    plan: Plan
    original: Original


def build_of(claims: Sequence[Claim], path: str, request: Request, store: Store, sandbox: LocalSandbox) -> Elsewhere:
    """The build that signed provenance in the file `path` is about, of the specification that is asked for.

    Rejected: it is about several builds, or too old to say what its steps were. Refuted: the specification, with the
    parameters that were signed for, its lock and its sources here, gives other steps.
    """
    statements = [claim.statement for claim in claims if isinstance(claim.statement, Statement)]
    builds = sorted({claim.statement.build for claim in claims})
    if not statements or len(builds) > 1:
        what = f"about {len(builds)} builds" if len(builds) > 1 else "a verdict, and says not how it was built"
        raise Rejected(f"{path} is {what}", hint="name the provenance of one build")
    statement = statements[0]
    signed = str(statement.internal.get("keys", ""))
    if not signed:
        raise Rejected(f"{path} does not say which steps were run", hint="build with this version, or name the store")
    asked = statement.predicate.buildDefinition.externalParameters
    wanted = request._replace(parameters=asked.parameters, only=asked.matrix, lock="require", offline=True)
    plans = make_plans(wanted, store, sandbox)
    plan = next((plan for plan in plans if keys_digest(plan) == signed), None)
    if plan is None:
        raise Refuted(
            f"{request.spec} is not what {path} speaks of: its steps, or what they take, are others",
            details=tuple(_others(statement, plans[0])),
            hint="take the specification, the lock and the sources that the build was made of: a capsule has them all",
        )
    _require_answers(plan)
    return Elsewhere(_record(statement, statements, plan), plan, _original(statement, statements))


def _others(statement: Statement, plan: Plan) -> list[str]:
    """What is seen to be other, before anything is built."""
    made = statement.predicate.buildDefinition
    pairs = [
        ("the specification", made.externalParameters.specification.sha256, plan.specification),
        ("the epoch", str(statement.internal.get("epoch")), str(plan.epoch)),
        ("the architecture", str(statement.internal.get("arch")), plan.arch),
    ]
    signed = {value for item in made.resolvedDependencies for value in item.digest.values()}
    found = [f"{what}: signed {then}, here {now}" for what, then, now in pairs if then != now]
    for action in plan.actions:
        source = str(action.inputs.get("source", ""))
        if source and source not in signed:
            found.append(f"the source of the step {action.step.name}: {source} is not among the materials")
    return found


def _require_answers(plan: Plan) -> None:
    """Rejected: a step fetches, and the lock has not what."""
    lacking = [name for each in _all(plan) for action in each.actions if (name := _unanswered(each, action))]
    if lacking:
        raise Rejected(
            f"the lock of {plan.file} has not what these steps fetched",
            details=tuple(lacking),
            hint="such a build can be verified where it was made",
        )


def _unanswered(plan: Plan, action: Action) -> str:
    given = action.kind in ("source", "fetch") or not action.hosts or action.key in plan.replays
    return "" if given else action.step.name


def _all(plan: Plan) -> list[Plan]:
    return [plan, *(inner for base in plan.bases.values() for inner in _all(base))]


def _artifacts(statement: Statement, statements: Sequence[Statement]) -> dict[str, str]:
    """Every artifact of the build by name, with the digest of its archive: the subjects, and those beside them."""
    beside = statement.predicate.runDetails.byproducts
    named = [item for each in statements for item in each.subject[:1]]
    named += [item for item in beside if item.annotations.get("role") == "artifact"]
    return {item.name.removesuffix(".tar"): item.digest.get("sha256", "") for item in named}


def _record(statement: Statement, statements: Sequence[Statement], plan: Plan) -> Record:
    """What a record of it would say; nothing of its steps."""
    internal, details = statement.internal, statement.predicate.runDetails
    steps = tuple(
        StepRecord(name=action.step.name, action=action.kind, key=action.key, place="", network="", outcome="succeeded")
        for action in plan.actions
    )
    return Record(
        id=statement.build,
        name=plan.name,
        outcome="succeeded",
        started=_seconds(details.metadata.startedOn),
        finished=_seconds(details.metadata.finishedOn),
        plan=str(internal.get("plan", "")),
        arch=plan.arch,
        epoch=plan.epoch,
        epoch_origin=plan.epoch_origin,
        parameters=plan.parameters,
        matrix=plan.matrix,
        inputs={},
        tier=str(internal.get("isolation", "")),
        degraded=bool(internal.get("degraded")),
        memory="",
        limits={},
        tools=dict(details.builder.version),
        host={str(name): str(value) for name, value in dict(internal.get("host") or {}).items()},
        spec=plan.file,
        steps=steps,
        artifacts=tuple(
            ArtifactInfo(name=name, digest=digest, size=0, files=0, stored=0)
            for name, digest in sorted(_artifacts(statement, statements).items())
        ),
        asked=statement.predicate.buildDefinition.externalParameters.asked,
        tainted=statement.tainted,
    )


def _seconds(moment: str) -> float:
    """Of a time as provenance has it; 0 for anything else, which is then long ago."""
    try:
        return float(calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return 0.0


def _original(statement: Statement, statements: Sequence[Statement]) -> Original:
    byproducts = {item.name: item.digest.get("sha256", "") for item in statement.predicate.runDetails.byproducts}
    internal = statement.internal
    subjects = tuple(
        Descriptor(name=f"{name}.tar", digest={"sha256": digest})
        for name, digest in sorted(_artifacts(statement, statements).items())
    )
    copies = tuple(item for each in statements for item in each.subject[1:])
    return Original(
        subjects=(*subjects, *copies),
        record=byproducts.get("record.json", ""),
        plan=str(internal.get("plan", "")),
        isolation=str(internal.get("isolation", "")),
    )
