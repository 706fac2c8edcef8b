"""apt: packages into the system tree, by the tree's own apt, as root inside; a new layer on top.

Maintainer scripts of packages run here: sandboxed like any step, with no network but the mirrors.
"""

from __future__ import annotations

from contractor.build.context import StepContext
from contractor.build.mirror import explain_mirror_trouble, held_files, require_held
from contractor.build.options import Made
from contractor.core.errors import Rejected
from contractor.plan.environment import PROXY
from contractor.sandbox.hosttree import kernel_mounts
from contractor.sandbox.spec import ROOT_ID, Mount, SandboxSpec
from contractor.sandbox.stage import TREE
from contractor.spec.model import Apt

_SCRIPT = "/run/contractor/step"
# policy-rc.d: no daemon is started in a tree. What apt and ldconfig leave differs from run to run and is of no use.
# apt.conf is there under a lock: see replay.py.
_INSTALL = b"""set -eu
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
options="-q -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o Acquire::Languages=none -o Acquire::GzipIndexes=true"
options="$options -o APT::Install-Recommends=$RECOMMENDS -o Dpkg::Options::=--force-confnew"
if [ -e /run/contractor/apt.conf ]; then
  for name in sources.list preferences; do
    cat /etc/apt/$name /run/contractor/$name > /run/contractor/all-$name 2>/dev/null || true
  done
  options="$options -c /run/contractor/apt.conf -o Dir::Etc::SourceList=/run/contractor/all-sources.list"
  options="$options -o Dir::Etc::Preferences=/run/contractor/all-preferences"
fi
if [ "$FAKE_OWNERS" = true ]; then options="$options -o APT::Sandbox::User=root"; fi
if [ "$UPDATE" = true ]; then apt-get $options update; fi
apt-get $options install -- "$@"
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/cache/ldconfig/aux-cache
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/debconf/*-old /var/lib/dpkg/*-old
mkdir -p /var/lib/apt/lists/partial
"""


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, Apt)
    if not action.packages:
        raise Rejected("apt without packages", hint="name at least one: `apt: [gcc]`")
    upper = context.place.mount(context.action.layers, writable=True)
    spec = SandboxSpec(
        argv=("/bin/sh", _SCRIPT, *action.packages),
        mounts=(
            Mount("bind", "/", TREE),
            *kernel_mounts(context.limits.memory, context.limits.cpus),
            Mount("file", _SCRIPT, data=_INSTALL, mode=0o444),
            *held_files(context),
        ),
        env=_environment(action, context),
        limits=context.limits,
        user=ROOT_ID,
        cwd="/",
        network=True,
    )
    with explain_mirror_trouble(context):
        exit_ = context.run(spec)
    packages = tuple(context.place.call("packages", {"workspace": False}))
    require_held(context, packages)
    context.place.commit_layer(upper, context.action.key)
    return Made(exit=exit_, packages=packages)


def _environment(action: Apt, context: StepContext) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
        "RECOMMENDS": str(action.recommends).lower(),
        "UPDATE": str(action.update).lower(),
        "FAKE_OWNERS": str(context.action.inputs.get("ids") == "one").lower(),
        **PROXY,
    }
