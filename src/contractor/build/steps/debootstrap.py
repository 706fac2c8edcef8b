"""debootstrap: a Debian tree into the workspace, by the host's mmdebstrap in bwrap on a read-only host tree.

mmdebstrap and not debootstrap: twice as fast, and the same bytes every time. Its only network is the mirror.
https://manpages.debian.org/bookworm/mmdebstrap/mmdebstrap.1.en.html
"""

from __future__ import annotations

import os

import msgspec

from contractor.build.context import StepContext
from contractor.build.mirror import explain_mirror_trouble, held_files, require_held
from contractor.build.options import Made
from contractor.core.errors import Unavailable
from contractor.plan.environment import PROXY
from contractor.plan.planner import DEFAULT_MIRROR
from contractor.sandbox import process
from contractor.sandbox.spec import ROOT_ID
from contractor.spec.model import Debootstrap

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# What apt is told under a lock (lock/replay.py) is in the tree while it is made, and not in what comes out of it.
_HOLD = """cd "$1/etc/apt" &&
cp /run/contractor/apt.conf apt.conf.d/01contractor &&
cp /run/contractor/sources.list sources.list.d/contractor.list &&
cp /run/contractor/preferences preferences.d/contractor"""
_RELEASE = 'cd "$1/etc/apt" && rm apt.conf.d/01contractor sources.list.d/contractor.list preferences.d/contractor'


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, Debootstrap)
    process.require_tool("mmdebstrap", "mmdebstrap")
    if not os.path.exists(KEYRING):
        raise Unavailable("Debian's archive keys are not installed", hint="sudo apt-get install debian-archive-keyring")
    environment = {
        "PATH": process.HOST_PATH,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/root",
        "TMPDIR": "/tmp",
        "SOURCE_DATE_EPOCH": str(context.plan.epoch),
        **PROXY,
    }
    files = held_files(context)
    spec = context.host_spec(_argv(action, context, held=bool(files)), environment, user=ROOT_ID, trusted=True)
    spec = msgspec.structs.replace(spec, mounts=(*spec.mounts, *files))
    with explain_mirror_trouble(context):
        exit_ = context.run(spec)
    context.place.call("own-workspace")
    packages = tuple(context.place.call("packages", {"workspace": True}))
    require_held(context, packages)
    return Made(exit=exit_, packages=packages)


def _argv(action: Debootstrap, context: StepContext, *, held: bool) -> list[str]:
    argv = [
        "/usr/bin/mmdebstrap",
        "--mode=root",
        f"--variant={action.variant}",
        "--format=directory",
        f"--architectures={action.arch or context.action.arch}",
        f"--keyring={KEYRING}",
        "--skip=check/empty",
        '--aptopt=Acquire::Retries "3"',
        *([f"--setup-hook={_HOLD}", f"--customize-hook={_RELEASE}"] if held else []),
    ]
    if action.include:
        argv.append(f"--include={','.join(action.include)}")
    return [*argv, action.suite, "/workspace", *_sources(action)]


def _sources(action: Debootstrap) -> list[str]:
    """The lines of sources.list: what mmdebstrap would write for Debian's own mirror, or the one that was asked for."""
    suite, mirror = action.suite, action.mirror or DEFAULT_MIRROR
    lines = [f"deb {mirror} {suite} main"]
    if not action.mirror and suite not in ("sid", "unstable", "experimental"):
        security = mirror.removesuffix("/debian") + "/debian-security"
        lines += [f"deb {mirror} {suite}-updates main", f"deb {security} {suite}-security main"]
    return lines
