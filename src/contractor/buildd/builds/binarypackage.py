"""binarypackage: a source package of Debian, built in the target into .changes, .buildinfo and packages.

Where the protocol's own daemon calls sbuild, this does what sbuild would, in the same stages, words and exit codes: the
build dependencies by apt with the archives' hosts alone, then dpkg-buildpackage as the build user without any network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from contractor.buildd.arguments import BinaryPackage
from contractor.buildd.builds import depwait
from contractor.buildd.debian import listed_files, paragraphs
from contractor.buildd.target.preparation import APT_ENV
from contractor.buildd.target.target import Failed, Target
from contractor.core.errors import Rejected

_WHERE = "/build"
_DSC_MAX = 1 << 20
_CHANGES_MAX = 4 << 20
_GIVEN_BACK = 3
_ATTEMPTS = 3
_PAUSE = 10.0  # seconds between two
_HEARD = 4 << 20  # bytes of the end of what installing said
_WIDTH = 78
_VERSIONS = "dpkg-query -W -f '${Package}_${Version} ' -- "
_TOOLCHAIN = ("binutils", "dpkg-dev", "gcc", "g++", "libc6-dev", "linux-libc-dev", "libstdc++-12-dev")


class Source(NamedTuple):
    """A source package. folder: where its files are in the target."""

    dsc: str
    name: str
    version: str
    fields: dict[str, str]
    architecture: str  # of the builder

    @property
    def folder(self) -> str:
        return f"{_WHERE}/{self.name}-{self.without_epoch}"

    @property
    def without_epoch(self) -> str:
        return self.version.partition(":")[2] or self.version


class _Stage(Exception):
    """A stage failed. code: sbuild's."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(name)
        self.name = name
        self.code = code


def build(target: Target, args: BinaryPackage) -> str:
    """Build it; the name of a BuildStatus. Failed: DEPFAIL with what it waits for, or what the stage's code means."""
    source = _take_in(target, args)
    began = time.monotonic()
    try:
        with target.listening(_HEARD) as heard:
            _install_dependencies(target, args, source)
        _unpack(target, source)
        _compile(target, args, source)
    except _Stage as stage:
        summary = _summary(source, args, time.monotonic() - began, stage)
        target.log.line(summary)
        if stage.code == _GIVEN_BACK:
            return _why_given_back(target, args, source, bytes(heard) + b"\n" + summary.encode())
        raise Failed(stage.code, f"the stage {stage.name} failed") from None
    with target.collecting():
        _collect(target, source)
    target.log.line(_summary(source, args, time.monotonic() - began, None))
    return "OK"


def _take_in(target: Target, args: BinaryPackage) -> Source:
    """The files into the target, and the .dsc read. Failed(1): it is none."""
    for name, path in target.job.files.items():
        target.add_file(path, f"{_WHERE}/{name}", user="buildd")
    dsc = next(name for name in target.job.files if name.endswith(".dsc"))
    try:
        fields = next(paragraphs(target.read(f"{_WHERE}/{dsc}", _DSC_MAX).decode("utf-8", "replace")), {})
        name, version = fields.get("source", ""), fields.get("version", "")
        if not name or not version or "/" in name + version:
            raise Rejected(f"{dsc} names no source and version")
    except Rejected as error:
        raise Failed(1, f"{dsc} cannot be used: {error.message}") from error
    lines = [f"Package: {name}", f"Component: {args.ogrecomponent}", f"Suite: {args.suite}"]
    lines += [f"Purpose: {args.archive_purpose}"]
    lines += ["Build-Debug-Symbols: yes"] if args.build_debug_symbols else []
    target.write("/CurrentlyBuilding", "".join(f"{line}\n" for line in lines).encode())
    return Source(dsc, name, version, fields, args.arch_tag)


def _install_dependencies(target: Target, args: BinaryPackage, source: Source) -> None:
    """_Stage(install-deps, 3): they cannot be installed."""
    _heading(target, "Install package build dependencies")
    options = ["-y", "--no-install-recommends", *([] if args.arch_indep else ["--arch-only"])]
    argv = ["apt-get", "build-dep", *options, f"{_WHERE}/{source.dsc}"]
    for attempt in range(1, _ATTEMPTS + 1):
        with target.listening(_HEARD) as heard:
            code = target.run(argv, env=APT_ENV, network="archives").code
        if code == 0:
            return
        if b"Failed to fetch" not in heard:
            break
        target.log.line(f"The archives did not answer (attempt {attempt} of {_ATTEMPTS}).")
        target.wait(_PAUSE)
    raise _Stage("install-deps", _GIVEN_BACK)


def _unpack(target: Target, source: Source) -> None:
    _heading(target, "Build environment")
    names = " ".join(_TOOLCHAIN)
    target.log.line(f"Toolchain package versions: {_versions(target, names)}")
    target.log.line(f"Package versions: {_versions(target, '')}")
    _heading(target, "Build")
    argv = ["dpkg-source", "-x", source.dsc, source.folder]
    if target.run(argv, user="buildd", cwd=_WHERE).code:
        raise _Stage("unpack", 1)


def _versions(target: Target, names: str) -> str:
    """The versions of packages, those that are not there passed over."""
    argv = ["/bin/sh", "-c", f"{_VERSIONS}{names} 2>/dev/null || true"]
    return target.run(argv, echo=False, get_output=True).decode("utf-8", "replace").strip()


def _compile(target: Target, args: BinaryPackage, source: Source) -> None:
    """_Stage(build, 2): attempted, and failed."""
    options = f"parallel={len(os.sched_getaffinity(0))}"
    if not args.build_debug_symbols:
        options += " noautodbgsym"
    argv = ["dpkg-buildpackage", "-us", "-uc", "-rfakeroot", "-b" if args.arch_indep else "-B"]
    argv += [f"--changes-option=-DDistribution={args.suite}"]
    env = {"DEB_BUILD_OPTIONS": options}
    if target.run(argv, user="buildd", cwd=source.folder, env=env).code:
        raise _Stage("build", 2)


def _collect(target: Target, source: Source) -> None:
    """The .changes, and every file that it lists. Rejected: one is not there."""
    beginning = f"{source.name}_{source.without_epoch}_"
    found = [name for name in target.list(_WHERE) if name.startswith(beginning) and name.endswith(".changes")]
    if len(found) != 1:
        raise Rejected(f"the build left {len(found)} .changes files instead of one")
    text = target.read(f"{_WHERE}/{found[0]}", _CHANGES_MAX).decode("utf-8", "replace")
    _heading(target, "Changes")
    target.log.line(text)
    for name in (found[0], *listed_files(next(paragraphs(text), {}))):
        if not target.result(f"{_WHERE}/{name}"):
            raise Rejected(f"{name}, which {found[0]} lists, is no file")


def _why_given_back(target: Target, args: BinaryPackage, source: Source, log: bytes) -> str:
    """Whether it waits for a package: Failed(DEPFAIL), with what it waits for. log: from installing to the summary."""

    def unmet() -> Iterator[str]:
        try:
            wanted = depwait.build_depends(source.fields, arch_indep=args.arch_indep)
        except Rejected as error:
            target.log.line(error.message)
            return
        dump = target.run(["/bin/sh", "-c", depwait.DUMP], echo=False, get_output=True).decode("utf-8", "replace")
        yield from depwait.missing(wanted, depwait.available_of(dump), args.arch_tag)

    reason = depwait.reason(log, unmet())
    if reason.status == "DEPFAIL":
        raise Failed("DEPFAIL", f"The build waits for: {reason.dependencies}", reason.dependencies)
    return reason.status


def _summary(source: Source, args: BinaryPackage, seconds: float, stage: _Stage | None) -> str:
    """The end of the log, in sbuild's words."""
    status = "successful" if stage is None else "given-back" if stage.code == _GIVEN_BACK else "attempted"
    lines = [
        f"Build Architecture: {args.arch_tag}",
        f"Build-Time: {seconds:.0f}",
        f"Distribution: {args.suite}",
        *([f"Fail-Stage: {stage.name}"] if stage is not None else []),
        f"Host Architecture: {args.arch_tag}",
        f"Job: {source.dsc}",
        f"Package: {source.name}",
        f"Source-Version: {source.version}",
        f"Status: {status}",
        f"Version: {source.version}",
        "-" * (_WIDTH + 2),
    ]
    return _box("Summary") + "\n".join(lines)


def _heading(target: Target, text: str) -> None:
    target.log.line(_box(text))


def _box(text: str) -> str:
    edge = f"+{'-' * _WIDTH}+"
    return f"\n{edge}\n| {text:<{_WIDTH - 2}} |\n{edge}\n\n"
