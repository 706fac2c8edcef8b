"""Images of root file systems: a minimal system of the series, made as Contractor's own bases are, in the sandbox.

    livecd.PROJECT[-SUBARCH].EXT and .manifest     EXT: rootfs.tar.gz (plain, tar), squashfs, ext2, ext3, ext4

mmdebstrap, mksquashfs and mke2fs are the host's, on a read-only tree of its programs; the archives and their keys are
the build's. What livecd-rootfs does with snaps and stores has no counterpart here, and is refused.
"""

from __future__ import annotations

import calendar
import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence

from contractor.buildd.arguments import LiveFS
from contractor.buildd.builds.checkout import package_fail
from contractor.buildd.inside.livefs import OUT
from contractor.buildd.target.preparation import hosts_of, key_of
from contractor.buildd.target.target import LIMITS, Failed, Target
from contractor.core.errors import Broken, Unavailable
from contractor.sandbox import process
from contractor.sandbox.hosttree import mounts
from contractor.sandbox.spec import ROOT_ID, Mount, SandboxSpec
from contractor.sandbox.stage import WORKSPACE

FORMATS = {
    "": "squashfs",
    "plain": "rootfs.tar.gz",
    "tar": "rootfs.tar.gz",
    "squashfs": "squashfs",
    "ext2": "ext2",
    "ext3": "ext3",
    "ext4": "ext4",
}
_KEYS = "/run/contractor/keys"
_TIMES = "/run/contractor/times"
_KEYRINGS = ("debian-archive-keyring.gpg", "ubuntu-archive-keyring.gpg")
_MIRROR = "http://deb.debian.org/debian"
_PPA = "http://ppa.launchpadcontent.net"
_NAME = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_SPARE = (64 << 20) // 4096  # blocks
_NAMESPACE = uuid.UUID("8a3c0a52-5c3e-4d0f-9d0e-3f3c8f1f6a11")  # of the file systems' ids, which their names decide
_NOT_HERE = {
    "extra_snaps": "snaps cannot be put into an image",
    "cohort_key": "there is no snap store, and so no cohort-key",
    "image_targets": "ubuntu-image's targets cannot be made",
    "repo_snapshot_stamp": "the archive cannot be asked for an older state",
    "snapshot_service_timestamp": "the archive cannot be asked for an older state",
}


def build(target: Target, arguments: LiveFS) -> str:
    """Make the system, its image, and the list of its packages."""
    ending = _require_possible(arguments)
    epoch = epoch_of(arguments.datestamp)
    lines = sources(arguments)
    target.allow = tuple(dict.fromkeys([*target.allow, *hosts_of(lines)]))
    _make_system(target, arguments, lines, epoch)
    target.call("livefs-settle", epoch=epoch)
    packages = target.call("packages", workspace=True)
    if not packages:
        raise package_fail("mmdebstrap left a system without packages")
    name = "livecd." + "-".join(part for part in (arguments.project, arguments.subarch) if part)
    with _new_file(target) as fd:
        if ending == "rootfs.tar.gz":
            target.call("gzip-tree", [fd], tree=None, epoch=epoch, whiteouts=False)
        else:
            _make_image(target, ending, name, epoch)
            target.call("livefs-take", [fd], name="image")
        target.result_path(f"{name}.{ending}", f"/proc/self/fd/{fd}")
    target.result_bytes(f"{name}.manifest", manifest(packages))
    return "OK"


def _require_possible(arguments: LiveFS) -> str:
    """The ending of the image's name."""
    refused = [f"{field.replace('_', '-')}: {why}" for field, why in _NOT_HERE.items() if getattr(arguments, field)]
    if arguments.image_format not in FORMATS:
        known = ", ".join(name for name in FORMATS if name)
        refused.append(f"image_format: {arguments.image_format[:60]!r} is none of {known}")
    for field in ("project", "subarch"):
        value = getattr(arguments, field)
        if value and not _NAME.fullmatch(value):
            refused.append(f"{field}: {value[:60]!r} is no name of a-z, 0-9, ., +, _ and -")
    if refused:
        raise package_fail("this image cannot be built here", *refused)
    return FORMATS[arguments.image_format]


def epoch_of(datestamp: str) -> int:
    """The day of a datestamp, 20240506 or 20240506.1, in seconds since 1970; today's without one."""
    if not datestamp:
        return int(time.time()) // 86400 * 86400
    try:
        return calendar.timegm(time.strptime(datestamp.partition(".")[0], "%Y%m%d"))
    except ValueError as error:
        raise package_fail(f"datestamp: {datestamp[:40]!r} is no day, like 20240506") from error


def sources(arguments: LiveFS) -> list[str]:
    """The lines of sources.list that the system is made from."""
    lines = [line for line in arguments.archives if line.startswith("deb ")]
    if not lines:
        lines = [f"deb {_MIRROR} {arguments.series} main"]
    for ppa in arguments.extra_ppas:
        owner, _, name = ppa.removeprefix("ppa:").partition("/")
        if not _NAME.fullmatch(owner) or not _NAME.fullmatch(name):
            raise package_fail(f"extra_ppas: {ppa[:80]!r} is not OWNER/NAME")
        lines.append(f"deb {_PPA}/{owner}/{name}/ubuntu {arguments.series} main")
    return lines


def manifest(packages: Sequence[str]) -> bytes:
    """name:arch=version, sorted -> a line `name<TAB>version` each."""
    pairs = [package.partition("=") for package in packages]
    return "".join(f"{name.partition(':')[0]}\t{version}\n" for name, _, version in pairs).encode()


def _make_system(target: Target, arguments: LiveFS, lines: list[str], epoch: int) -> None:
    try:
        program = process.require_tool("mmdebstrap", "mmdebstrap")
    except Unavailable as error:
        raise Failed("CHROOTFAIL", error.message) from error
    keys = []
    for number, text in enumerate(arguments.trusted_keys):
        kind, data = key_of(text, number)
        keys.append(Mount("file", f"{_KEYS}/{number}.{kind}", data=data, mode=0o444))
    known = [f"/usr/share/keyrings/{name}" for name in _KEYRINGS]
    options = [f"--keyring={path}" for path in known if os.path.exists(path)] + ([f"--keyring={_KEYS}"] if keys else [])
    argv = [
        program,
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f"--architectures={arguments.arch_tag}",
        "--skip=check/empty",
        '--aptopt=Acquire::Retries "3"',
        *options,
        arguments.series,
        "/workspace",
        *lines,
    ]
    env = {**_environment(epoch), **target.network_environment("archives")}
    _run(target, argv, env, keys, network=True)


def _make_image(target: Target, kind: str, name: str, epoch: int) -> None:
    """An image of the workspace at OUT/image."""
    target.call("livefs-out")
    image = "/out/image"
    if kind == "squashfs":
        tool = process.require_tool("mksquashfs", "squashfs-tools")
        argv = [tool, "/workspace", image, "-noappend", "-no-progress", "-quiet"]
    else:
        tool = process.require_tool("mke2fs", "e2fsprogs")
        size = target.call("tree-size")
        # Room for inodes, folders and the journal, and a quarter more: the same for the same system.
        blocks = size["blocks"] * 5 // 4 + size["entries"] // 4 + _SPARE
        number = uuid.uuid5(_NAMESPACE, f"{name} {epoch}")
        argv = [tool, "-q", "-t", kind, "-b", "4096", "-U", str(number), "-E", f"hash_seed={number},root_owner=0:0"]
        argv += ["-d", "/workspace", image, str(blocks)]
    out = Mount("bind", "/out", OUT)
    _run(target, argv, _environment(epoch), [out], network=False)
    if kind != "squashfs":
        script = Mount("file", _TIMES, data=times(size["entries"], epoch), mode=0o444)
        tool = process.require_tool("debugfs", "e2fsprogs")
        argv = ["/bin/sh", "-c", 'exec "$0" -w -f "$1" "$2" >/dev/null', tool, _TIMES, image]
        _run(target, argv, _environment(epoch), [out, script], network=False)


def times(entries: int, epoch: int) -> bytes:
    """What debugfs is told: mke2fs copies the times of access and change, which no program can set. Inodes are taken
    in turn, from the first that is not reserved."""
    lines = (f"sif <{n}> {field} @{epoch}\n" for n in range(11, entries + 13) for field in ("atime", "ctime"))
    return "".join(lines).encode()


def _environment(epoch: int) -> dict[str, str]:
    return {
        "PATH": process.HOST_PATH,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/root",
        "TMPDIR": "/tmp",
        "SOURCE_DATE_EPOCH": str(epoch),
        "E2FSPROGS_FAKE_TIME": str(epoch),
    }


def _run(target: Target, argv: list[str], env: dict[str, str], more: Sequence[Mount], *, network: bool) -> None:
    """A program of the host, as root of the sandbox, with the system at /workspace."""
    target.log.run(argv)
    spec = SandboxSpec(
        argv=tuple(argv),
        mounts=(*mounts(), Mount("bind", "/workspace", WORKSPACE), *more),
        env=env,
        limits=LIMITS,
        user=ROOT_ID,
        network=network,
        trusted=True,
    )
    exit_ = target.run_spec(spec, "archives" if network else False)
    if not exit_.started:
        raise Broken(f"the sandbox could not be set up (bwrap ended with {exit_.code})")
    if exit_.code or exit_.limit:
        raise package_fail(f"{os.path.basename(argv[0])} failed with exit code {exit_.code}")


@contextlib.contextmanager
def _new_file(target: Target) -> Iterator[int]:
    """A file of the cache that has no name yet."""
    fd = os.open(target.job.cache, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)
