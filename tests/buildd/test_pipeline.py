"""What the end of a step means, and what archives and keys become: without a sandbox."""

from __future__ import annotations

import base64
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contractor.buildd import pipeline
from contractor.buildd.arguments import typed
from contractor.buildd.builds import TYPES
from contractor.buildd.builds.translations import domain_of, sources_of
from contractor.buildd.log import Log
from contractor.buildd.model import Job
from contractor.buildd.target.preparation import host_of, hosts_of, key_of
from contractor.buildd.target.target import Failed, Target, TargetFailed
from contractor.core.errors import Aborted, Broken, ContractorError, Rejected

REQUIRED: dict[str, dict[str, Any]] = {
    "binarypackage": {"suite": "s", "ogrecomponent": "main"},
    "translation-templates": {"git_repository": "https://git.example.org/x"},
    "sourcepackagerecipe": {
        "recipe_text": "", "suite": "s", "ogrecomponent": "main", "author_name": "", "author_email": "",
        "archive_purpose": "PPA",
    },
    "rock": {"name": "x", "git_repository": "https://git.example.org/x"},
    "oci": {"name": "x", "git_repository": "https://git.example.org/x"},
}  # fmt: skip
EVERY = {"name": "x", "git_repository": "https://git.example.org/x", "project": "p", "pocket": "release", "jobs": []}


class Bare(Target):
    """A target without a tree: steps before and after the build succeed, unless `wrong` says how one fails."""

    wrong: dict[str, Exception]

    def _step(self, name: str) -> None:
        if name in self.wrong:
            raise self.wrong[name]

    def open(self) -> None:
        self._step("INIT")

    def unpack(self) -> None:
        self._step("UNPACK")

    def mount(self) -> None:
        self._step("MOUNT")

    def unmount(self) -> None:
        self._step("UMOUNT")

    def close(self, *, keep: bool = False) -> str:
        return str(self.wrong.get("CLEANUP", ""))

    def call(self, operation: str, fds: Any = (), **args: Any) -> Any:
        return {"look": "", "names": []}.get(operation)

    @property
    def degraded(self) -> bool:
        return False


def _run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: Callable[[Target, Any], str],
    tag: str = "binarypackage",
    wrong: dict[str, Exception] | None = None,
    **arguments: Any,
) -> tuple[Any, list[str], str]:
    module = types.ModuleType(TYPES[tag].module)
    module.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, TYPES[tag].module, module)
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    given = {"series": "s", "arch_tag": "amd64", **REQUIRED[tag], **arguments}
    job = Job(
        id="T-1", tag=tag, image="i", image_name="i", files={}, arguments=given, cache=str(tmp_path), store="",
        log=fd, events=0, architecture="amd64",
    )  # fmt: skip
    target = Bare(job, log, typed(tag, given), lambda _extra: None)
    target.wrong = wrong or {}
    steps: list[str] = []
    outcome = pipeline.run(target, steps.append)
    log.close()
    os.close(fd)
    return outcome, steps, (tmp_path / "log").read_text()


def _fails(error: Exception) -> Callable[[Target, Any], str]:
    def build(_target: Target, _arguments: Any) -> str:
        raise error

    return build


@pytest.mark.parametrize(
    ("tag", "code", "status"),
    [
        ("binarypackage", 1, "PACKAGEFAIL"), ("binarypackage", 2, "PACKAGEFAIL"), ("binarypackage", 3, "GIVENBACK"),
        ("binarypackage", 4, "BUILDERFAIL"), ("binarypackage", 139, "BUILDERFAIL"),
        ("sourcepackagerecipe", 200, "PACKAGEFAIL"), ("sourcepackagerecipe", 203, "PACKAGEFAIL"),
        ("sourcepackagerecipe", 204, "BUILDERFAIL"),
        ("translation-templates", 200, "CHROOTFAIL"), ("translation-templates", 201, "PACKAGEFAIL"),
        ("translation-templates", 1, "BUILDERFAIL"),
        ("oci", 200, "PACKAGEFAIL"), ("oci", 201, "PACKAGEFAIL"), ("oci", 1, "BUILDERFAIL"), ("rock", 1, "PACKAGEFAIL"),
    ],
)  # fmt: skip
def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str, code: int, status: str) -> None:
    outcome, steps, log = _run(tmp_path, monkeypatch, _fails(Failed(code, "the words")), tag)
    assert outcome.status == status
    assert "the words" in log
    own = tag.upper().replace("-", "_")
    assert steps == ["INIT", "UNPACK", "MOUNT", "UPDATE", own, "REAP", "UMOUNT", "CLEANUP"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Failed("DEPFAIL", "waits", "x (>= 1)"), "DEPFAIL"),
        (TargetFailed(["cc"], 7), "BUILDERFAIL"),  # for binarypackage 201 is no code of its own
        (Broken("the disk is full"), "BUILDERFAIL"),
        (OSError(28, "No space left on device"), "BUILDERFAIL"),
        (KeyError("a mistake in a build type"), "BUILDERFAIL"),
        (Aborted("stop"), "ABORTED"),
    ],
)
def test_other_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str) -> None:
    outcome, steps, _log = _run(tmp_path, monkeypatch, _fails(error))
    assert outcome.status == status
    assert outcome.dependencies == ("x (>= 1)" if status == "DEPFAIL" else "")
    assert outcome.files == {}
    assert steps[-3:] == ["REAP", "UMOUNT", "CLEANUP"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [("OK", True), ("PACKAGEFAIL", True), ("DEPFAIL", True), ("GIVENBACK", False), ("CHROOTFAIL", False),
     ("BUILDERFAIL", False), ("ABORTED", False)],
)  # fmt: skip
def test_what_a_failed_build_hands_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, shown: bool
) -> None:
    def build(target: Target, _arguments: Any) -> str:
        target.result_bytes("lint:0.log", b"what was wrong")
        if status != "OK":
            raise Failed(status, "it failed")
        return "OK"

    outcome, _steps, _log = _run(tmp_path, monkeypatch, build)
    assert (outcome.status, list(outcome.files)) == (status, ["lint:0.log"] if shown else [])


def test_what_is_rejected_in_the_types_own_step_is_its_packages_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, _steps, log = _run(tmp_path, monkeypatch, _fails(Rejected("'/etc' is not usable")))
    assert outcome.status == "PACKAGEFAIL"
    assert "'/etc' is not usable" in log and "Traceback" not in log


@pytest.mark.parametrize("tag", TYPES)
def test_no_log_has_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    def build(target: Target, _arguments: Any) -> str:
        target.log.run(["git", "clone", "https://user:t0ken@git.example.org/x"])
        return "OK"

    REQUIRED.setdefault(tag, EVERY)
    _outcome, _steps, log = _run(tmp_path, monkeypatch, build, tag)
    assert "https://git.example.org/x" in log and "t0ken" not in log


@pytest.mark.parametrize(
    ("step", "status"),
    [("INIT", "BUILDERFAIL"), ("UNPACK", "CHROOTFAIL"), ("MOUNT", "CHROOTFAIL"), ("UMOUNT", "BUILDERFAIL"),
     ("CLEANUP", "BUILDERFAIL")],
)  # fmt: skip
def test_a_step_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, status: str) -> None:
    error: ContractorError = Rejected(f"{step} said no")
    outcome, steps, log = _run(tmp_path, monkeypatch, lambda _t, _a: "OK", wrong={step: error})
    assert outcome.status == status
    assert f"{step} said no" in log
    assert ("BINARYPACKAGE" in steps) == (step in ("UMOUNT", "CLEANUP"))


def test_a_failure_stays_the_failure_when_the_clean_up_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: dict[str, Exception] = {"CLEANUP": Rejected("stuck")}
    outcome, _steps, log = _run(tmp_path, monkeypatch, _fails(Failed(2, "no")), wrong=wrong)
    assert outcome.status == "PACKAGEFAIL"
    assert "stuck" in log


def test_run_lines_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(target: Target, _arguments: Any) -> str:
        target.result_bytes("x.deb", b"content")
        target.extra(revision_id="r1")
        return "OK"

    constraints = ["gpu-nvidia"]
    outcome, steps, log = _run(
        tmp_path, monkeypatch, build, "oci", builder_constraints=constraints, image_type="lxd", fast_cleanup=True,
        build_url="https://user:secret@launchpad.example/b",
    )  # fmt: skip
    assert outcome.status == "OK"
    assert outcome.files == {"x.deb": "040f06fd774092478d450774f5ba30c5da78acc8"}
    assert (tmp_path / outcome.files["x.deb"]).read_bytes() == b"content"
    assert steps[-1] == "REAP"  # the machine is thrown away
    line = "RUN: in-target unpack-chroot --backend=lxd --series=s --arch=amd64 --constraint=gpu-nvidia T-1 "
    assert f"\n\n{line}--image-type lxd i\n[" in log
    assert "secret" not in log


def test_hosts_of_archives() -> None:
    lines = [
        "deb http://user:secret@ppa.example.org:8080/a/ubuntu bookworm main",
        "deb-src [signed-by=/x arch=amd64] https://deb.example.org/debian bookworm main",
        "deb [ trusted=yes ] http://[::1]:99/x y main",
        "deb file:/srv/x y main",
        "deb cdrom:[x] y main",
        "# deb http://no.example.org/ x y",
        "",
    ]
    assert list(hosts_of(lines)) == ["ppa.example.org:8080", "deb.example.org", "[::1]:99"]
    assert list(host_of("git://git.example.org/x")) == ["git.example.org:9418"]
    assert list(host_of("ssh://git.example.org/x")) == []
    assert list(host_of("http://git.example.org:99999/x")) == []


def test_keys() -> None:
    armored = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n"
    assert key_of(base64.b64encode(armored).decode(), 0) == ("asc", armored)
    for first in (0x98, 0x99, 0xC6):
        data = bytes([first, 1, 2, 3])
        assert key_of(base64.b64encode(data).decode(), 0) == ("gpg", data)
    for wrong in (b"hello", b"", b"\x00\x01"):
        with pytest.raises(Rejected, match="trusted key 4 is no OpenPGP public key"):
            key_of(base64.b64encode(wrong).decode(), 3)


@pytest.mark.parametrize(
    ("texts", "folder", "domain"),
    [
        ({"./Makevars": "# x\nDOMAIN = made\n"}, "po", "made"),
        ({"./Makevars": "DOMAIN = $(PACKAGE)\n", "configure.ac": "AC_INIT([pack], [1])\n"}, "po", "pack"),
        ({"configure.ac": 'GETTEXT_PACKAGE="gett"\nAC_INIT(x)\n'}, "po", "gett"),
        ({"./Makefile.in.in": "GETTEXT_PACKAGE = @G@\n", "configure.in": "G=g\n"}, "po", "g"),
        ({"configure.ac": "GETTEXT_PACKAGE=$A\nA=$B\nB=$A\nAC_INIT([round])\n"}, "po", "round"),
        ({"./meson.build": "i18n.gettext('mes', preset: 'glib')\n"}, "po", "mes"),
        ({"meson.build": "project('top', 'c')\n"}, "po", "top"),
        ({"./Makevars": "DOMAIN = ../../evil\n"}, "po", "repo"),
        ({}, "lib/po", "lib"),
        ({}, ".", "repo"),
    ],
)  # fmt: skip
def test_domains(texts: dict[str, str], folder: str, domain: str) -> None:
    assert domain_of(texts, folder, "https://git.example.org/team/repo.git") == domain


def test_potfiles() -> None:
    text = "# comment\n\n[encoding: UTF-8]\nsrc/main.c\n[type: gettext/glade] ui/x.ui \n"
    assert list(sources_of(text)) == ["src/main.c", "ui/x.ui"]
