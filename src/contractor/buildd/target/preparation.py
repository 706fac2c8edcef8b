"""What a target needs before it builds: its user, its name, the archives, their keys, and the newest packages."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contractor.buildd.target.target import BUILDD, HOME, Failed, Target, TargetFailed
from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contractor.sandbox.spec import Exit

APT_ENV = {
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "TTY": "unknown",
}
_PREP_TIMEOUT = 600.0  # seconds of an installation's own builder-prep
_ATTEMPTS = 3
_PAUSE = "15"  # seconds between two
_CONF = """\
// This target is one build's: nobody answers questions, and every builder takes the same phased updates.
Acquire::Retries "3";
Acquire::Languages "none";
APT::Get::Always-Include-Phased-Updates "true";
Dpkg::Use-Pty "0";
"""
_ROOT_FETCHES = 'APT::Sandbox::User "root";\n'
_POLICY = b"#!/bin/sh\nexit 101\n"  # no daemon is started in a target
_MIRROR_TROUBLE = (b"Failed to fetch", b"Could not connect", b"Temporary failure", b"Hash Sum mismatch", b"has changed")
_HEARD = 1 << 20  # bytes of the end of what apt says
_FILE_MAX = 1 << 20
_SUITE = re.compile(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)")
_PIN = "Package: *\nPin: release a=*-{pocket}\nPin-Priority: 500\n"
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


def begin(target: Target) -> None:
    """The build's place on this machine, and what it may reach."""
    target.use_proxy()
    share = f"{target.job.share_path}/bin/builder-prep" if target.job.share_path else ""
    if share and os.access(share, os.X_OK):
        from contractor.sandbox.attended import attend

        code = attend([share], on_output=target.log.write, tick=target.tick, timeout=_PREP_TIMEOUT)
        if code:
            raise TargetFailed([share], code)
    found = os.uname()
    target.log.line(f"Kernel version: {found.sysname} {found.nodename} {found.release} {found.machine}")
    arguments = target.arguments
    repository = getattr(arguments, "git_repository", "")
    target.allow = tuple(dict.fromkeys([*target.allow, *hosts_of(arguments.archives), *host_of(repository)]))
    target.open()


def mount(target: Target) -> None:
    """The tree, with the build user and what commands look for in /etc."""
    target.mount()
    target.buildd = _build_user(target)
    target.mkdir(HOME, user="buildd")
    target.mkdir("/build", user="buildd")
    target.write("/etc/hosts", b"127.0.0.1 localhost contractor\n::1 localhost ip6-localhost ip6-loopback\n")
    target.write("/etc/apt/apt.conf.d/99contractor", (_CONF + _ROOT_FETCHES * target.degraded).encode())
    if not target.exists("/usr/sbin/policy-rc.d"):
        target.write("/usr/sbin/policy-rc.d", _POLICY, 0o755)


def _build_user(target: Target) -> int:
    """The number of the user `buildd`, who is made where the image has none."""
    passwd = target.read("/etc/passwd", _FILE_MAX) if target.exists("/etc/passwd") else b""
    numbers = set()
    for line in passwd.splitlines():
        fields = line.split(b":")
        if len(fields) >= 3 and fields[2].isdigit() and len(fields[2]) <= len("65535"):
            if fields[0] == b"buildd" and 0 < int(fields[2]) < 65536:
                return int(fields[2])
            numbers.add(int(fields[2]))
    number = next((number for number in range(BUILDD, 65534) if number not in numbers), 0)
    if not number:
        raise Rejected("the image's /etc/passwd has no number left for the build user")
    for name, entry in (
        ("passwd", f"buildd:x:{number}:{number}:Build Daemon:{HOME}:/bin/sh"),
        ("group", f"buildd:x:{number}:"),
    ):
        before = target.read(f"/etc/{name}", _FILE_MAX) if target.exists(f"/etc/{name}") else b""
        end = b"" if not before or before.endswith(b"\n") else b"\n"
        target.write(f"/etc/{name}", before + end + entry.encode() + b"\n")
    return number


def sources(target: Target) -> None:
    """The archives of this build, in place of all that the image names."""
    lines = target.arguments.archives
    for name in target.list("/etc/apt/sources.list.d"):
        target.remove(f"/etc/apt/sources.list.d/{name}")
    target.write("/etc/apt/sources.list", "".join(f"{line}\n" for line in lines).encode())
    suites = {match[2] for line in lines if (match := _SUITE.match(line))}
    for pocket in ("backports", "proposed"):  # an archive that was named is meant to be used
        if any(suite.endswith(f"-{pocket}") for suite in suites):
            target.write(f"/etc/apt/preferences.d/{pocket}.pref", _PIN.format(pocket=pocket).encode())


def keys(target: Target) -> None:
    """Trusted keys, armored or binary, to apt's own. Rejected: one is no OpenPGP key."""
    for number, text in enumerate(target.arguments.trusted_keys):
        kind, data = key_of(text, number)
        target.write(f"/etc/apt/trusted.gpg.d/launchpad-buildd-{number}.{kind}", data)
    target.log.line(f"{len(target.arguments.trusted_keys)} added.")


def key_of(text: str, number: int) -> tuple[str, bytes]:
    """How apt wants a key to be called (asc or gpg), and its bytes."""
    try:
        data = base64.b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise Rejected(f"trusted key {number + 1} is not base64: {error}") from error
    if data.lstrip().startswith(_ARMOR):
        return "asc", data.strip() + b"\n"
    if data[:1] and (data[0] & 0xFC in (0x98, 0x99 & 0xFC) or data[0] == 0xC6):  # RFC 9580, 4.2: a public key packet
        return "gpg", data
    raise Rejected(f"trusted key {number + 1} is no OpenPGP public key")


def update(target: Target) -> None:
    """The newest packages: apt-get update and dist-upgrade, with patience for mirrors. Failed when they never work."""
    if not target.arguments.archives or not target.exists("/usr/bin/apt-get"):
        why = "no archive is named" if not target.arguments.archives else "the image has no apt"
        target.log.line(f"Nothing to update: {why}.")
        return
    apt(target, ["-uy", "update"])
    apt(target, ["-o", "DPkg::Options::=--force-confold", "-uy", "--purge", "dist-upgrade"])


def apt(target: Target, arguments: list[str], *, attempts: int = _ATTEMPTS) -> Exit:
    """apt-get with the archives' hosts; again after a while when these fail. TargetFailed when it does not succeed."""
    argv = ["/usr/bin/apt-get", *arguments]
    for attempt in range(1, attempts + 1):
        with target.listening(_HEARD) as heard:
            exit_ = target.run(argv, env=APT_ENV, network="archives")
        if exit_.code == 0:
            return exit_
        if not any(word in heard for word in _MIRROR_TROUBLE):
            break
        if attempt < attempts:
            target.log.line(f"It failed; attempt {attempt + 1} of {attempts} follows in {_PAUSE} seconds.")
            target.wait(float(_PAUSE))
    raise TargetFailed(argv, exit_.code or 1)


def install(target: Target, packages: Iterable[str]) -> None:
    """Packages into the target. Failed(200): they cannot be installed."""
    wanted = [name for name in packages if name]
    if not wanted:
        return
    try:
        apt(target, ["-y", "install", "--no-install-recommends", "--", *wanted])
    except TargetFailed as error:
        raise Failed(200, f"cannot install {' '.join(wanted)}") from error


def trust_fetch_service(target: Target) -> None:
    """Where the build's proxy is a fetch service: its certificate. Failed when there is none."""
    if target.proxy is None or not target.arguments.use_fetch_service:
        return
    from contractor.buildd.target import fetch_service

    try:
        fetch_service.install(target, target.arguments.secrets)
    except Rejected as error:
        raise Failed("BUILDERFAIL", error.message) from error
    target.network_env.update(fetch_service.ENVIRONMENT)


def hosts_of(archives: Iterable[str]) -> Iterator[str]:
    """host or host:port of lines of sources.list; none for files and disks."""
    for line in archives:
        if match := _SUITE.match(line.strip()):
            yield from host_of(match[1])


def host_of(url: str) -> Iterator[str]:
    """host or host:port of an http, https or git URL, as the proxy's allow-list wants it."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        return
    if host and parts.scheme in ("http", "https", "git"):
        port = port or (9418 if parts.scheme == "git" else None)
        name = f"[{host}]" if ":" in host else host
        yield f"{name}:{port}" if port else name
