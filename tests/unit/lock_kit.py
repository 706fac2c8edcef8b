"""Locks without a mirror: plans with a base, and steps that say what they were answered."""

from __future__ import annotations

import hashlib

from plan_kit import planned

from contractor.core.fetch import Fetch
from contractor.plan.lock import Answered, Lock, LockedBase, LockedStep, Package
from contractor.plan.locked import asks
from contractor.plan.model import Action, Plan
from contractor.spec import model

MIRROR = "http://deb.debian.org/debian"
APT = model.Apt(packages=("hello",))
BOOT = model.Debootstrap("bookworm")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def deb(name: str, version: str, archive: str = MIRROR) -> str:
    return f"{archive}/pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb"


def base_plan(*more: model.AnyAction, include: tuple[str, ...] = (), suite: str = "bookworm") -> Plan:
    boot = model.Debootstrap(suite, include=include)
    return planned(model.EmptyWorkspace(), boot, *more, model.CreateArtifact("debian-12"), name="debian-12")


def plan(*actions: model.AnyAction, base: Plan | None = None, **more) -> Plan:
    made = base or base_plan()
    return planned(model.CreateSystree(base="debian-12"), *actions, base=lambda name, step: made, **more)


def answered(url: str, text: str = "", status: int = 200) -> Answered:
    body = text or url
    return Answered(url, status, len(body), sha(body))


def index(archive: str = MIRROR, suite: str = "bookworm", day: str = "1") -> tuple[Answered, ...]:
    """What apt asks of an archive before it asks for packages."""
    inside = f"{archive}/dists/{suite}"
    return (
        answered(f"{inside}/InRelease", f"release {day} of {suite}"),
        answered(f"{inside}/main/binary-amd64/by-hash/SHA256/{sha(day)}", f"packages {day}"),
    )


def entry(action: Action, whole: Plan, versions: dict[str, str], base: str = "", **more) -> LockedStep:
    """The entry of an action as it is in the plan (or its base's)."""
    ask = asks(whole)[action.key]
    packages = tuple(Package(n, v, "amd64", sha(deb(n, v)), deb(n, v)) for n, v in versions.items())
    answers = (*index(), *(answered(package.url) for package in packages))
    values = {"packages": packages, "answers": answers, "base": base, **more}
    return LockedStep(action.step.name, action.kind, action.arch, ask.key, dict(ask.inputs), **values)


def steps_of(whole: Plan, kind: str) -> list[Action]:
    inside = [action for base in whole.bases.values() for action in base.actions]
    return [action for action in (*inside, *whole.actions) if action.kind == kind]


def lock_of(whole: Plan, hello: str = "1.0", libc: str = "2.36", **more) -> Lock:
    """A lock of a plan with a base and `apt: [hello]`."""
    boot, apt = steps_of(whole, "debootstrap")[0], steps_of(whole, "apt")[0]
    steps = (entry(boot, whole, {"libc6": libc}, "debian-12"), entry(apt, whole, {"hello": hello}))
    return Lock("b", steps, **{"bases": (LockedBase("debian-12", "amd64", sha("base")),), **more})


def fetch(one: Answered, **more) -> Fetch:
    return Fetch("GET", one.url, "allowed", one.status, one.size, one.sha256, kept=True, headers=one.headers, **more)
