"""A stage while it is built, and RUN: a command in the stage's tree, with the build's own way to the network."""

from __future__ import annotations

from typing import NamedTuple

from contractor.buildd.builds.checkout import package_fail
from contractor.buildd.builds.dockerfile import SCRIPT
from contractor.buildd.builds.dockerfile_model import Run
from contractor.buildd.builds.oci_image import Line
from contractor.buildd.inside.oci import FROM, ROOT
from contractor.buildd.target.target import LIMITS, Target
from contractor.core.errors import Broken
from contractor.sandbox.spec import Mount, SandboxSpec
from contractor.sandbox.stage import DEV

__all__ = ["FROM", "ROOT", "OciStage", "run_step"]
_BUNDLE_MAX = 4 << 20  # bytes of a stage's own certificates


class OciStage(NamedTuple):
    """layers: their paths, the lowest first. history: what made them, and the configuration."""

    layers: list[str]
    history: list[Line]


def run_step(target: Target, step: Run) -> None:
    """Run a command in the tree at ROOT. Failed: it failed, or its user is not there."""
    uid, gid = target.call("oci-ids", at=ROOT, owner=step.user or "0:0")
    target.call("oci-workdir", at=ROOT, path=step.workdir)
    trusted, trust = _fetch_service(target, step)
    spec = SandboxSpec(
        argv=step.argv,
        mounts=(
            Mount("bind", "/", ROOT),
            Mount("proc", "/proc"),
            Mount("dev-bind", "/dev", DEV),
            Mount("tmpfs", "/dev/shm", size=1 << 30, mode=0o1777),
            *trusted,
            *([Mount("file", SCRIPT, data=step.script.encode(), mode=0o555)] if step.script else []),
        ),
        env={
            "HOME": "/root" if uid == 0 else "/",
            **target.network_environment(step.network),
            **trust,
            **step.env,
        },
        limits=LIMITS,
        user=uid,
        group=gid,
        cwd=step.workdir,
        network=step.network,
    )
    exit_ = target.run_spec(spec, step.network)
    if not exit_.started and not target.call("oci-has", at=ROOT, name=step.argv[0], path=spec.env["PATH"]):
        raise package_fail(f"RUN: the stage has no program {step.argv[0][:200]}")
    if not exit_.started:
        raise Broken(f"the sandbox could not be set up (bwrap ended with {exit_.code})")
    if exit_.code or exit_.limit:
        what = "a program was not found" if exit_.code in (126, 127) else "the command failed"
        raise package_fail(f"RUN: {what} (exit code {exit_.code})")


def _fetch_service(target: Target, step: Run) -> tuple[tuple[Mount, ...], dict[str, str]]:
    """Mounts and environment by which a command trusts the fetch service, and no layer has its certificate."""
    if not step.network or target.proxy is None or not target.arguments.use_fetch_service:
        return (), {}
    from contractor.buildd.target import fetch_service

    pem = fetch_service.certificate_of(target.arguments.secrets)
    bundle = target.call("oci-read", at=ROOT, path=fetch_service.BUNDLE, limit=_BUNDLE_MAX)
    return fetch_service.stage_mounts(pem, bundle), fetch_service.STAGE_ENVIRONMENT
