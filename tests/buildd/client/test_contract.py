"""One contract for every builder: the independent one of the tests, and our daemon. What the page says, no more.

Each test is given a builder that is idle. The words of a build are its id, which says what our daemon's worker does;
the other has a script of the same meaning.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from builder_kit import SCRIPTED, Daemon
from quirky import Quirky, Script

from contractor.buildd.client.answers import Status
from contractor.buildd.client.builder import Builder, Fault
from contractor.buildd.client.files import Missing, Reader, Shrunk
from contractor.buildd.client.folder import Folder
from contractor.buildd.client.offer import Offer, open_file
from contractor.buildd.client.results import take
from contractor.buildd.client.run import clean_up
from contractor.buildd.model import BuilderState, BuildStatus

_ARGUMENTS = {"series": "noble", "suite": "noble", "ogrecomponent": "main"}
_RESULT, _TEXT = b"a result\n", b"hello from the build \xff\xfe\n"
_SCRIPTS: Mapping[str, Callable[[], Script]] = {
    "say-result-ok": lambda: Script((_TEXT,), files={"hello.deb": _RESULT}),
    "say-depfail": lambda: Script((_TEXT,), status="DEPFAIL", dependencies="libx (>= 2)"),
    "chrootfail": lambda: Script((), status="CHROOTFAIL"),
    "extra-say-wait": lambda: Script((_TEXT, threading.Event()), extra={"revision_id": "abc"}),
    "loud1-wait": lambda: Script(((b"x" * 99 + b"\n") * 10486, threading.Event())),
}


class Subject:
    """A builder of one kind."""

    def __init__(self, url: str, cache: Path, quirky: Quirky | None) -> None:
        self.url = url
        self.cache = cache
        self.client = Builder(url, timeout=20)
        self.rpc: Any = xmlrpc.client.ServerProxy(f"{url}/rpc", allow_none=True)
        self._quirky = quirky

    def put(self, name: str, data: bytes) -> str:
        self.cache.mkdir(exist_ok=True)
        (self.cache / name).write_bytes(data)
        return name

    def begin(self, words: str) -> Any:
        """build(), of what the words say."""
        if self._quirky is not None:
            self._quirky.builder.script = _SCRIPTS[words]()
        files = {"hello.dsc": self.put("dsc", b"d")}
        return self.client.build(words, "binarypackage", self.put("an image", b"i"), files, _ARGUMENTS)

    def wait(self, state: BuilderState = BuilderState.WAITING) -> Status:
        return self.until(lambda status: status.state is state)

    def until(self, holds: Callable[[Status], bool]) -> Status:
        until = time.monotonic() + 20
        while not holds(status := self.client.status()):
            assert time.monotonic() < until, status
            time.sleep(0.01)
        return status

    def log(self, start: int = 0) -> bytes:
        got: list[bytes] = []
        reader = Reader(self.client, "buildlog", got.append)
        reader.at = start
        reader.read()
        return b"".join(got)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("daemon"), [SCRIPTED])
    yield made
    made.end(signal.SIGKILL)


@pytest.fixture(params=["quirky", "ours"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "quirky":
        quirky: Quirky = request.getfixturevalue("quirky")
        made = Subject(quirky.url, quirky.builder.cache, quirky)
        yield made
        made.rpc("close")()
        return
    ours: Daemon = request.getfixturevalue("daemon")
    made = Subject(ours.url, ours.cache, None)
    yield made
    if (state := made.client.status().state) is BuilderState.BUILDING:
        made.client.abort()
    if state is not BuilderState.IDLE:
        made.wait()
        made.client.clean()
    made.rpc("close")()


def fault(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        call()
    return caught.value.faultCode, caught.value.faultString


def test_the_short_calls(subject: Subject) -> None:
    assert subject.rpc.echo("ping", 1, [True, None]) == ["ping", 1, [True, None]]
    assert subject.rpc.echo() == []
    info = subject.client.info()
    assert (info.protocol, info.architecture) == ("1.0", "amd64")
    tags = "binarypackage sourcepackagerecipe translation-templates livefs snap oci charm ci rock craft"
    assert " ".join(info.types) == tags
    status = subject.rpc.status()
    assert status.pop("builder_version") and status == {"builder_status": "BuilderStatus.IDLE"}


def test_faults_have_the_codes_and_texts_of_the_page(subject: Subject) -> None:
    assert fault(lambda: subject.rpc.no_such()) == (8001, "procedure no_such not found")
    for call in (subject.rpc.abort, subject.rpc.clean, subject.rpc.proxy_info, lambda: subject.rpc.status(1)):
        assert fault(call) == (8002, "error")
    with pytest.raises(Fault, match="does not say why"):
        subject.client.clean()


def test_ensurepresent(subject: Subject, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    path = tmp_path / "input"
    path.write_bytes(data)
    file, ensure = open_file(str(path)), subject.client.ensure_present
    assert hashlib.sha1(data).hexdigest() == file.name
    with Offer([file], "127.0.0.1") as offer:
        assert (ensure_words(ensure(file.name, None))) == (False, "No URL")
        assert (ensure_words(ensure("0" * 40, offer.url(file.name)))) == (
            False,
            "Digests did not match, removing again!",
        )
        assert (ensure_words(ensure(file.name, offer.url(file.name)))) == (True, "Download")
    assert (ensure_words(ensure(file.name, "http://127.0.0.1:9/gone"))) == (True, "Cache")
    found = ensure("1" * 40, "http://127.0.0.1:9/gone")
    assert not found.present and found.info.startswith("Error accessing Librarian: ")
    assert ensure("2" * 40, "").info.startswith("Error accessing Librarian: ")
    assert (ensure_words(ensure(subject.put("any name", b"x"), None))) == (True, "No URL")


def ensure_words(found: Any) -> tuple[bool, str]:
    return found.present, found.info


def test_build_refuses_in_the_order_of_the_page(subject: Subject) -> None:
    build, image = subject.rpc.build, subject.put("an image", b"i")
    assert build("", "deb", "gone", {}, {})[0] == "BuilderStatus.UNKNOWNBUILDER"
    state, text = build("", "binarypackage", "gone", {"x": "gone too"}, {})
    assert state == "BuilderStatus.UNKNOWNSUM" and text.startswith("CHROOTSUM -> gone\n***** INFO *****")
    state, text = build("", "binarypackage", image, {"x": "gone too"}, {})
    assert state == "BuilderStatus.UNKNOWNSUM" and text.startswith("FILESUM -> gone too\n***** INFO *****")
    for build_id in (None, "", 0):
        wrong = (build_id, "binarypackage", image, {}, _ARGUMENTS)
        assert fault(lambda wrong=wrong: build(*wrong)) == (8002, "error")
    assert subject.client.status().is_idle


def test_a_build_from_its_beginning_to_clean(subject: Subject, tmp_path: Path) -> None:
    assert subject.begin("say-result-ok") == ("BUILDING", "say-result-ok")
    status = subject.wait()
    sha1 = hashlib.sha1(_RESULT).hexdigest()
    assert (status.build, status.ended, status.dependencies) == ("say-result-ok", BuildStatus.OK, "")
    assert status.files == {"hello.deb": sha1} and not status.tail
    assert _TEXT in subject.log()
    with Folder(str(tmp_path / "out")) as folder:
        end = take(subject.client, status, folder, "", _Silent())
    assert [(file.name, file.digest) for file in end.fetched] == [("hello.deb", sha1)]
    assert (tmp_path / "out" / "hello.deb").read_bytes() == _RESULT
    assert fault(subject.rpc.abort) == (8002, "error")
    assert subject.client.clean() == "IDLE"
    for name in (sha1, "buildlog"):
        with pytest.raises(Missing):
            Reader(subject.client, name, lambda _data: None).read()
    assert (subject.cache / "an image").exists()


class _Silent:
    def say(self, text: str) -> None:
        raise AssertionError(text)

    def log(self, data: bytes) -> None:
        raise AssertionError(data)


def test_only_some_ends_have_files(subject: Subject) -> None:
    subject.begin("say-depfail")
    status = subject.rpc.status() if subject.wait() else {}
    assert (status["build_status"], status["dependencies"]) == ("BuildStatus.DEPFAIL", "libx (>= 2)")
    assert status["filemap"] == {}
    clean_up(subject.client)
    subject.begin("chrootfail")
    subject.wait()
    status = subject.rpc.status()
    assert status["build_status"] == "BuildStatus.CHROOTFAIL"
    assert "filemap" not in status and "dependencies" not in status


def test_while_it_builds(subject: Subject) -> None:
    subject.begin("extra-say-wait")
    status = subject.until(lambda status: _TEXT in status.tail and bool(status.extra))
    assert (status.state, status.build) == (BuilderState.BUILDING, "extra-say-wait")
    assert (status.ended, status.files) == (None, None)
    assert status.extra["revision_id"] == "abc"
    assert isinstance(subject.rpc.status()["logtail"], xmlrpc.client.Binary)
    again = ("other", "binarypackage", "an image", {"hello.dsc": "dsc"}, _ARGUMENTS)
    for call in (subject.rpc.clean, lambda: subject.rpc.build(*again)):
        assert fault(call) == (8002, "error")
    assert _TEXT in subject.log()
    assert subject.client.status().build == "extra-say-wait"


def test_abort_may_be_asked_again(subject: Subject) -> None:
    subject.begin("extra-say-wait")
    subject.until(lambda status: _TEXT in status.tail)
    assert subject.client.abort() == "ABORTING"
    try:
        assert subject.client.abort() == "ABORTING"
    except Fault:  # it was quick
        assert subject.client.status().state is BuilderState.WAITING
    status = subject.wait()
    assert status.ended is BuildStatus.ABORTED and status.files is None
    assert fault(subject.rpc.abort) == (8002, "error")


def test_the_log_is_read_from_anywhere(subject: Subject) -> None:
    subject.begin("loud1-wait")
    whole = (b"x" * 99 + b"\n") * 10486
    subject.until(lambda status: len(subject.log()) >= len(whole))
    assert len(subject.client.status().tail) <= 2048
    size = len(subject.log())
    assert subject.log(size - 10) == subject.log()[-10:]
    reader = Reader(subject.client, "buildlog", lambda _data: None)
    assert reader.read(1000) == 1000 and reader.read(500) == 500 and reader.at == 1500
    reader.at = size
    assert reader.read() == 0
    reader.at = size + 10
    with pytest.raises(Shrunk):
        reader.read()


def test_paths_stay_in_the_cache(subject: Subject) -> None:
    place = subject.client.place
    for path in ("/filecache/../x", "/filecache/%2e%2e%2fx", "/filecache/a%2fb", "/etc/passwd", "/filecache/none"):
        connection = http.client.HTTPConnection(place.host, place.port, timeout=10)
        connection.request("GET", path)
        with connection.getresponse() as response:
            assert response.status in (403, 404), path
        connection.close()
