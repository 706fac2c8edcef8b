"""The eight calls, as a manager sees them."""

from __future__ import annotations

import hashlib
import os
import signal
import xmlrpc.client
from typing import Any

import pytest
from builder_kit import ARGUMENTS, Daemon
from scripted_worker import BODY, TEXT

from contractor import __version__

NO = "0" * 40


def fault(call: Any, *params: Any) -> tuple[int, str]:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        call(*params)
    return caught.value.faultCode, caught.value.faultString


def test_echo_and_info(daemon: Daemon) -> None:
    assert daemon.rpc.echo() == []
    assert daemon.rpc.echo("ping", None, {"a": [True, 1.5]}, b"\0") == [
        "ping", None, {"a": [True, 1.5]}, xmlrpc.client.Binary(b"\0"),
    ]  # fmt: skip
    protocol, architecture, tags = daemon.rpc.info()
    assert (protocol, architecture) == ("1.0", "amd64")
    assert (
        " ".join(tags) == "binarypackage sourcepackagerecipe translation-templates livefs snap oci charm ci rock craft"
    )


def test_a_build_from_its_beginning_to_its_end(daemon: Daemon) -> None:
    assert daemon.rpc.status() == {"builder_status": "BuilderStatus.IDLE", "builder_version": __version__}
    assert daemon.build("say-result-extra-wait") == ["BuilderStatus.BUILDING", "say-result-extra-wait"]
    status = daemon.until(lambda status: "revision_id" in status)
    tail = status.pop("logtail")
    assert isinstance(tail, xmlrpc.client.Binary) and tail.data == TEXT
    assert status == {
        "builder_status": "BuilderStatus.BUILDING", "builder_version": __version__, "build_id": "say-result-extra-wait",
        "revision_id": "abc", "big": 1 << 40, "jobs": {},
    }  # fmt: skip
    assert daemon.rpc.abort() == "BuilderStatus.ABORTING"
    status = daemon.wait()
    assert status["build_status"] == "BuildStatus.ABORTED" and status["revision_id"] == "abc"
    assert not {"filemap", "dependencies", "logtail"} & set(status)
    assert daemon.rpc.clean() == "BuilderStatus.IDLE"
    assert daemon.rpc.status() == {"builder_status": "BuilderStatus.IDLE", "builder_version": __version__}
    assert not (daemon.cache / hashlib.sha1(BODY).hexdigest()).exists()  # what an aborted build had made
    assert daemon.get("/filecache/buildlog")[0] == 404


@pytest.mark.parametrize(
    ("end", "files"), [("ok", True), ("packagefail", True), ("depfail", True), ("chrootfail", False),
                       ("givenback", False), ("builderfail", False)],
)  # fmt: skip
def test_how_a_build_ends(daemon: Daemon, end: str, files: bool) -> None:
    daemon.build(f"result-{end}")
    status = daemon.wait()
    assert status["build_status"] == f"BuildStatus.{end.upper()}"
    sha1 = hashlib.sha1(BODY).hexdigest()
    if files:
        assert status["filemap"] == {"hello.deb": sha1}
        assert status["dependencies"] == ("libx (>= 2)" if end == "depfail" else "")
        assert daemon.get(f"/filecache/{sha1}")[2] == BODY
    else:
        assert not {"filemap", "dependencies"} & set(status)
    daemon.rpc.clean()
    assert daemon.get(f"/filecache/{sha1}")[0] == 404


def test_inputs_stay_when_a_result_is_the_same(daemon: Daemon) -> None:
    daemon.build("input-ok")
    status = daemon.wait()
    daemon.rpc.clean()
    assert (daemon.cache / status["filemap"]["copy"]).exists()


def test_the_worker_has_what_was_asked_for(daemon: Daemon) -> None:
    image, source = daemon.put(b"an image"), daemon.put(b"a source")
    given = {**ARGUMENTS, "archives": ["deb http://a.example/ x main"], "archive_private": True, "unknown": 1}
    daemon.rpc.build("arguments-ok", "binarypackage", image, {"a.dsc": source}, given)
    status = daemon.wait()
    assert status["arguments"]["archives"] == given["archives"] and status["arguments"]["arch_tag"] == "amd64"
    assert status["files"] == {"a.dsc": str(daemon.cache / source)}


def test_what_build_refuses(daemon: Daemon) -> None:
    image = daemon.put(b"an image")
    build = daemon.rpc.build
    tags = "['binarypackage', 'sourcepackagerecipe', 'translation-templates', 'livefs', 'snap', 'oci', 'charm', 'ci', "
    assert build("b", "flatpak", NO, {}, {}) == [
        "BuilderStatus.UNKNOWNBUILDER", f"flatpak not in {tags}'rock', 'craft']",
    ]  # fmt: skip
    status, text = build("b", "snap", NO, {"x": NO}, {})
    assert status == "BuilderStatus.UNKNOWNSUM" and text.startswith(f"CHROOTSUM -> {NO}\n***** INFO *****")
    status, text = build("b", "snap", image, {"x": NO}, {})
    assert status == "BuilderStatus.UNKNOWNSUM" and text.startswith(f"FILESUM -> {NO}\n***** INFO *****")
    for name in ("../filecache/" + image, "/etc/passwd", "..", "", ".lock", ".state.json", "buildlog", "a\nb"):
        assert build("b", "snap", name, {}, {})[0] == "BuilderStatus.UNKNOWNSUM", name
        assert build("b", "snap", image, {"x": name}, {})[0] == "BuilderStatus.UNKNOWNSUM", name
    good = {**ARGUMENTS}
    for build_id in (None, "", 0, "a/b", "..", "x" * 300, ["a"]):
        assert fault(build, build_id, "binarypackage", image, {"x.dsc": image}, good) == (8002, "error"), build_id
    for name in ("../x.dsc", "a/b.dsc", "/x.dsc", "..", "", "a\nb"):
        files = {"x.dsc": image, name: image}
        assert fault(build, "b", "binarypackage", image, files, good) == (8002, "error"), name
    for wrong in ({}, {**good, "series": None}, {**good, "suite": 5}, [], None, "x"):
        assert fault(build, "b", "binarypackage", image, {"x.dsc": image}, wrong) == (8002, "error"), wrong
    assert daemon.rpc.status()["builder_status"] == "BuilderStatus.IDLE"
    assert not (daemon.cache / "buildlog").exists()


def test_a_refused_build_changes_nothing(daemon: Daemon) -> None:
    daemon.build("say-wait")
    before = daemon.until(lambda status: bool(status.get("logtail") and status["logtail"].data))
    assert fault(daemon.build, "another") == (8002, "error")
    assert daemon.rpc.status() == before
    assert fault(daemon.rpc.clean) == (8002, "error")
    assert daemon.rpc.abort() == "BuilderStatus.ABORTING"
    assert daemon.rpc.abort() == "BuilderStatus.ABORTING"
    daemon.wait()
    assert fault(daemon.rpc.abort) == (8002, "error")
    assert fault(daemon.build, "another") == (8002, "error")
    assert daemon.rpc.status()["build_id"] == "say-wait"


def test_the_order_of_the_checks(daemon: Daemon) -> None:
    """The type, the image, each file, the id, and only then the state, which leaves what is wrong a return value."""
    image = daemon.put(b"an image")
    files = {"x.dsc": image}
    for state in ("IDLE", "BUILDING"):
        if state == "BUILDING":
            daemon.build("say-wait")
        for build_id in (None, "", 0, "b"):
            assert daemon.rpc.build(build_id, "x", NO, {"x": NO}, {})[0] == "BuilderStatus.UNKNOWNBUILDER"
            assert daemon.rpc.build(build_id, "snap", NO, {"x": NO}, {})[1].startswith(f"CHROOTSUM -> {NO}")
            assert daemon.rpc.build(build_id, "snap", image, {"a": image, "x": NO}, {})[1].startswith("FILESUM -> ")
        for build_id in (None, "", 0) if state == "IDLE" else (None, "b"):
            assert fault(daemon.rpc.build, build_id, "binarypackage", image, files, ARGUMENTS) == (8002, "error")
        assert daemon.rpc.status()["builder_status"] == f"BuilderStatus.{state}"
    log = daemon.log.read_text().splitlines()
    assert "the builder is BUILDING" in log[-1] or "while the builder is BUILDING" in log[-1]


def test_what_abort_leaves_possible(daemon: Daemon) -> None:
    daemon.build("say-extra-deaf")
    daemon.until(lambda status: "revision_id" in status)
    before = daemon.get("/filecache/buildlog")[2]
    assert daemon.rpc.abort() == "BuilderStatus.ABORTING"
    status = daemon.rpc.status()
    assert status == {
        "builder_status": "BuilderStatus.ABORTING", "builder_version": __version__, "build_id": "say-extra-deaf",
        "revision_id": "abc", "big": 1 << 40, "jobs": {},
    }  # fmt: skip
    assert fault(daemon.rpc.clean) == fault(daemon.build, "another") == (8002, "error")
    assert daemon.rpc.status() == status and daemon.get("/filecache/buildlog")[2] == before
    (worker,) = daemon.children()
    os.kill(worker, signal.SIGKILL)
    assert daemon.wait()["build_status"] == "BuildStatus.ABORTED"


def test_idle_refuses_abort_and_clean(daemon: Daemon) -> None:
    assert fault(daemon.rpc.abort) == fault(daemon.rpc.clean) == fault(daemon.rpc.proxy_info) == (8002, "error")


def test_proxy_info(daemon: Daemon) -> None:
    image = daemon.put(b"an image")
    given = {
        "series": "noble", "name": "x", "git_repository": "https://g.example/x", "use_fetch_service": True,
        "proxy_url": "http://id:token@p.example:3128", "revocation_endpoint": "http://c.example/session/1/token",
    }  # fmt: skip
    for tag, answers in (("snap", True), ("charm", False)):
        daemon.rpc.build("ok", tag, image, {}, given)
        daemon.wait()
        if answers:
            info = {"use_fetch_service": True, "revocation_endpoint": given["revocation_endpoint"]}
            assert daemon.rpc.proxy_info() == info
        else:
            assert fault(daemon.rpc.proxy_info) == (8002, "error")
        daemon.rpc.clean()
        assert fault(daemon.rpc.proxy_info) == (8002, "error")
    del given["use_fetch_service"], given["revocation_endpoint"]
    daemon.rpc.build("ok", "snap", image, {}, given)
    assert daemon.rpc.proxy_info() == {"use_fetch_service": None, "revocation_endpoint": None}
    daemon.wait()


@pytest.mark.parametrize(("method", "count"), [
    ("info", 0), ("status", 0), ("proxy_info", 0), ("ensurepresent", 4), ("build", 5), ("abort", 0), ("clean", 0),
])  # fmt: skip
def test_wrong_numbers_and_types_of_parameters(daemon: Daemon, method: str, count: int) -> None:
    call = getattr(daemon.rpc, method)
    for number in {0, 1, count - 1, count + 1, 9} - {count, -1}:
        assert fault(call, *["x"] * number) == (8002, "error")
    values: list[Any] = [None, 5, 1.5, True, [], {}, b"\xff", [[]], {"a": {"b": []}}, xmlrpc.client.DateTime(0)]
    for place in range(count):
        for value in values:
            params: list[Any] = ["x"] * count
            params[place] = value
            if method == "build":
                params[2] = params[2] if place == 2 else daemon.put(b"an image")
                params[1] = params[1] if place == 1 else "snap"
            try:
                answer = call(*params)
            except xmlrpc.client.Fault as error:
                assert (error.faultCode, error.faultString) == (8002, "error")
            else:
                assert answer[0] in (False, "BuilderStatus.UNKNOWNBUILDER", "BuilderStatus.UNKNOWNSUM")
    assert daemon.rpc.status()["builder_status"] == "BuilderStatus.IDLE"


def test_unknown_methods(daemon: Daemon) -> None:
    assert fault(daemon.rpc.reboot) == (8001, "procedure reboot not found")
    assert fault(daemon.rpc._methods) == (8001, "procedure _methods not found")
    assert fault(daemon.rpc.system.listMethods)[0] == 8001


def test_a_worker_that_breaks_is_the_builders_fault(daemon: Daemon) -> None:
    for build_id, words in (("stderr-crash", b"exit code 3"), ("garbage", b"no event"), ("say", b"without a result")):
        daemon.build(build_id)
        assert daemon.wait()["build_status"] == "BuildStatus.BUILDERFAIL"
        log = daemon.get("/filecache/buildlog")[2]
        assert words in log and b"SECRET" not in log
        daemon.rpc.clean()


def test_the_tail_has_no_credentials_and_a_limit(daemon: Daemon) -> None:
    daemon.build("secret-wait")
    tail = daemon.until(lambda status: bool(status["logtail"].data))["logtail"].data
    assert tail == b"fetching http://host/x\n"
    daemon.rpc.abort()
    daemon.wait()
    daemon.rpc.clean()
    daemon.build("loud1-wait")
    size = 10486 * 100
    daemon.until(lambda _: (daemon.cache / "buildlog").stat().st_size == size)  # in the middle of a write it is cut
    tail = daemon.rpc.status()["logtail"].data
    assert 1900 < len(tail) <= 2048 and set(tail.splitlines()) == {b"x" * 99}
