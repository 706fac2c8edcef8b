"""What this machine can isolate: each check really tries, and each failure has its exact fix.

`contractor doctor` shows all of them; `explain_unavailable` and `explain_refusal` are what a build says when
there is no tier for it. The store's file system is looked at in probe_store.py. Nothing here weakens anything.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from contractor.core.errors import ContractorError, Unavailable
from contractor.core.values import Value
from contractor.sandbox import idmap, memory, process
from contractor.sandbox.probe_bwrap import bwrap_trouble, numbers

OK, WARN, FAIL = "ok", "warn", "FAIL"
_OLDEST_KERNEL = (5, 11)  # overlayfs in a user namespace, with userxattr

APPARMOR_PROFILE = """abi <abi/4.0>,
include <tunables/global>
profile contractor {program} flags=(unconfined) {{
  userns,
}}
"""


class Check(Value, frozen=True):
    """found: what was seen; fix: the commands that help, empty when all is well. verdict: ok, warn or FAIL."""

    name: str
    verdict: str
    found: str
    fix: str = ""


def host_checks() -> Iterator[Check]:
    """Everything but the store, in the order in which things are needed; the namespaces are really made."""
    yield check_kernel()
    yield check_bwrap()
    if os.getuid() != 0:
        yield from check_id_tools()
    yield check_ids()
    yield from check_settings()
    started = check_start()
    yield check_nested(works=started.verdict != FAIL)
    yield started
    yield check_memory()
    yield from check_tools()


def check_kernel() -> Check:
    release = os.uname().release
    machine = os.uname().machine
    if machine not in ("x86_64", "aarch64"):
        return Check("kernel", FAIL, f"{release} on {machine}", "build on x86_64 or aarch64: no filter for others")
    if numbers(release) < _OLDEST_KERNEL:
        return Check("kernel", FAIL, release, "a kernel of 5.11 or later: overlayfs in user namespaces")
    return Check("kernel", OK, f"{release} on {machine}")


def check_bwrap() -> Check:
    path = process.which("bwrap")
    if path is None:
        return Check("bubblewrap", FAIL, f"no bwrap in {process.HOST_PATH}", "sudo apt-get install bubblewrap")
    version = process.run([path, "--version"], timeout=10).output.decode(errors="replace").strip()
    real = os.path.realpath(path)
    if trouble := bwrap_trouble(real, version):
        return Check("bubblewrap", FAIL, *trouble)
    if os.stat(real).st_mode & stat.S_ISUID:
        return Check("bubblewrap", WARN, f"{version}, setuid root: not needed", f"sudo chmod u-s {real}")
    return Check("bubblewrap", OK, f"{version}, {real}")


def check_id_tools() -> Iterator[Check]:
    for tool in ("newuidmap", "newgidmap"):
        path = process.which(tool)
        if path is None:
            verdict = FAIL if idmap.range_maps() else WARN
            yield Check(tool, verdict, "not installed, and subordinate ids need it", "sudo apt-get install uidmap")
            continue
        privileged = os.stat(path).st_mode & stat.S_ISUID and os.stat(path).st_uid == 0
        with contextlib.suppress(OSError):
            privileged = privileged or bool(os.getxattr(path, "security.capability"))
        if privileged and not os.statvfs(path).f_flag & os.ST_NOSUID:
            yield Check(tool, OK, path)
        else:
            where = "on a file system that is mounted nosuid" if privileged else "neither setuid nor with capabilities"
            fix = "mount it without nosuid" if privileged else f"sudo chmod u+s {path}"
            yield Check(tool, WARN, f"{path} is {where}", fix)


def check_ids() -> Check:
    uid = os.getuid()
    maps = idmap.range_maps()
    if maps is not None:
        start = maps.uids[0][1]
        return Check("ids", OK, f"{maps.tier}: {start}-{start + idmap.RANGE - 1}")
    if uid == 0:
        return Check(
            "ids",
            WARN,
            "this root has fewer than 65536 ids (a container): only the degraded tier with one id",
            "start the container with a larger id range, or run contractor on the host",
        )
    name = idmap.user_name(uid)
    first = free_range()
    last = first + idmap.RANGE - 1
    return Check(
        "ids",
        WARN,
        f"{name} has no 65536 ids in /etc/subuid and /etc/subgid: only the degraded tier with one id",
        f"sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {name}",
    )


def free_range() -> int:
    """The first 65536 ids from 100000 on that /etc/subuid and /etc/subgid give to nobody."""
    taken: list[tuple[int, int]] = []
    for path in ("/etc/subuid", "/etc/subgid"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                _who, _, rest = line.strip().partition(":")
                start, _, count = rest.partition(":")
                if start.isdigit() and count.isdigit():
                    taken.append((int(start), int(start) + int(count)))
    first = 100000
    for begin, end in sorted(taken):
        if begin < first + idmap.RANGE and end > first:
            first = end
    return first


def check_settings() -> Iterator[Check]:
    """The kernel's settings that forbid user namespaces; those that this kernel does not have are left out."""
    if _setting("/proc/sys/user/max_user_namespaces") == 0:
        fix = "sudo sysctl -w user.max_user_namespaces=15000  # and in /etc/sysctl.d/, to last"
        yield Check("user.max_user_namespaces", FAIL, "0: nobody may make one", fix)
    if os.getuid() == 0:
        return
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        fix = "sudo sysctl -w kernel.unprivileged_userns_clone=1  # and in /etc/sysctl.d/, to last"
        yield Check("kernel.unprivileged_userns_clone", FAIL, "0: only root may make user namespaces", fix)
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"):
        yield _check_apparmor()


def _check_apparmor() -> Check:
    import sys

    program = os.path.realpath(sys.executable)
    name = "AppArmor"
    label = ""
    with contextlib.suppress(OSError), open("/proc/self/attr/apparmor/current", encoding="utf-8") as file:
        label = file.read().strip().rstrip("\0")
    if label and not label.startswith("unconfined"):
        return Check(name, OK, f"restricts user namespaces, and this program has the profile {label}")
    profile = APPARMOR_PROFILE.format(program=program)
    fix = (
        f"sudo tee /etc/apparmor.d/contractor <<'END'\n{profile}END\n"
        "sudo apparmor_parser -r /etc/apparmor.d/contractor\n"
        "or, for every program: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    )
    return Check(name, WARN, f"restricts user namespaces, and {program} has no profile", fix)


def _setting(path: str) -> int | None:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        return int(file.read())
    return None


def check_nested(*, works: bool = False) -> Check:
    """A container around us, and what it withholds: its filter, and parts of /proc. works: a step ran in it."""
    name = container()
    masked = [target for target in _mount_targets() if target.startswith("/proc/")]
    if works or (not name and not masked):
        return Check("container", OK, f"{name}, which allows what is needed" if name else "none")
    options = " ".join(f"--security-opt {name}=unconfined" for name in ("seccomp", "apparmor", "systempaths"))
    fix = f"docker run {options} ...; or podman run --security-opt seccomp=unconfined --security-opt unmask=ALL ..."
    if masked:
        return Check("container", WARN, f"{name or 'some'}; {masked[0]} is masked, so bwrap cannot mount /proc", fix)
    return Check("container", WARN, name, fix)


def container() -> str:
    """What kind of container this runs in, empty for none."""
    for path, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if os.path.exists(path):
            return name
    with contextlib.suppress(OSError), open("/run/systemd/container", encoding="ascii") as file:
        return file.read().strip()
    with contextlib.suppress(OSError), open("/proc/1/environ", "rb") as file:
        for item in file.read().split(b"\0"):
            if item.startswith(b"container="):
                return item[10:].decode(errors="replace")
    return ""


def _mount_targets() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return [line.split()[4] for line in file if len(line.split()) > 4 and "binfmt_misc" not in line]


def check_start(*, one_id: bool = False) -> Check:
    """Start the supervisor, and a step in it that does nothing."""
    from contractor.sandbox.trial import start_and_run

    try:
        tier = start_and_run(one_id=one_id)
    except ContractorError as error:
        return Check("namespaces", FAIL, "; ".join((error.message, *error.details)), error.hint)
    if tier == "one-id":
        return Check("namespaces", WARN, "one-id: DEGRADED, see `ids`", "")
    return Check("namespaces", OK, f"a step ran in the tier {tier}")


def check_memory() -> Check:
    kind = memory.kind()
    if kind != "watched":
        return Check("memory limit", OK, f"held by {kind}")
    fix = "run contractor in a delegated group: systemd-run --user --scope -p Delegate=yes contractor build ..."
    return Check("memory limit", WARN, "watched: no cgroup may be made, so a step may overshoot for half a second", fix)


def check_tools() -> Iterator[Check]:
    for name, package, why in (
        ("mmdebstrap", "mmdebstrap", "the action debootstrap, and the bases, need it"),
        ("git", "git", "sources by git need it"),
        ("mksquashfs", "squashfs-tools", "artifacts of the format squashfs need it"),
    ):
        path = process.which(name)
        fix = f"sudo apt-get install {package}"
        yield Check(name, OK, path) if path else Check(name, WARN, f"not installed: {why}", fix)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    if os.path.exists(keyring):
        yield Check("archive keys", OK, keyring)
    else:
        fix = "sudo apt-get install debian-archive-keyring"
        yield Check("archive keys", WARN, f"no {keyring}: no Debian tree can be made", fix)


def explain_unavailable() -> Unavailable | None:
    """The first thing that leaves this machine without any tier, as an error with its fix; None when none does."""
    for check in (check_kernel(), check_bwrap(), *check_settings()):
        if check.verdict == FAIL:
            return Unavailable(f"{check.name}: {check.found}", hint=check.fix)
    return None


def explain_refusal(error: Unavailable) -> Unavailable:
    """A refused user namespace, with the setting or the container that most probably refused it."""
    suspects = (*check_settings(), *(check_id_tools() if os.getuid() else ()), check_nested())
    for check in suspects:
        if check.verdict != OK:
            return Unavailable(
                error.message, details=(*error.details, f"{check.name}: {check.found}"), hint=check.fix or error.hint
            )
    return error
