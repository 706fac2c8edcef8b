"""ensurepresent: every info string, and that nothing waits for it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from builder_kit import ARGUMENTS, Daemon
from file_server import Librarian

BODY = os.urandom(3 << 20)
SMALL = (hashlib.sha1(b"an image").hexdigest(), {"x.dsc": hashlib.sha1(b"a source").hexdigest()}, ARGUMENTS)
SHA1, SHA256 = hashlib.sha1(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def empty(daemon: Daemon) -> None:
    for path in daemon.cache.iterdir():
        if not path.name.startswith("."):
            path.unlink()


def left(daemon: Daemon) -> list[str]:
    return sorted(path.name for path in daemon.cache.iterdir() if path.name not in (".lock", ".state.json"))


@pytest.mark.parametrize("name", [SHA1, SHA256], ids=["sha1", "sha256"])
def test_download_then_cache(daemon: Daemon, librarian: Librarian, name: str) -> None:
    librarian.files["/file"] = BODY
    assert daemon.rpc.ensurepresent(name, None, "", "") == [False, "No URL"]
    assert daemon.rpc.ensurepresent(name, f"{librarian.url}/file", "", "") == [True, "Download"]
    assert (daemon.cache / name).read_bytes() == BODY
    assert daemon.rpc.ensurepresent(name, f"{librarian.url}/file", None, None) == [True, "Cache"]
    assert daemon.rpc.ensurepresent(name, None, None, None) == [True, "No URL"]
    assert len(librarian.asked) == 1


def test_names_need_not_be_hexadecimal(daemon: Daemon, librarian: Librarian) -> None:
    (daemon.cache / "an-image").write_bytes(b"x")
    assert daemon.rpc.ensurepresent("an-image", f"{librarian.url}/file", "", "") == [True, "Cache"]


@pytest.mark.parametrize(
    ("path", "info"),
    [
        ("/page", "Digests did not match, removing again!"),
        ("/to/page", "Digests did not match, removing again!"),
        ("/none", "Error accessing Librarian: HTTP Error 404: Not Found"),
        ("/round", "Error accessing Librarian: "),
        ("/short/file", "Error accessing Librarian: "),
        ("/private/file", "Error accessing Librarian: HTTP Error 401: Unauthorized"),
    ],
)
def test_what_goes_wrong(daemon: Daemon, librarian: Librarian, path: str, info: str) -> None:
    librarian.files["/file"] = BODY
    present, said = daemon.rpc.ensurepresent(SHA1, librarian.url + path.replace("/to/", "/to//"), "", "")
    assert not present and said.startswith(info)
    assert left(daemon) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://h/x",
        "http://127.0.0.1:1/x",
        "http://[",
        "http://u:secret@127.0.0.1:1/",
        "nonsense",
    ],
)
def test_urls_that_lead_nowhere(daemon: Daemon, url: str) -> None:
    present, said = daemon.rpc.ensurepresent(SHA1, url, "user", "secret")
    assert not present and said.startswith("Error accessing Librarian: ") and len(said) > 27
    assert "secret" not in said
    assert left(daemon) == []


def test_redirects_and_encodings(daemon: Daemon, librarian: Librarian) -> None:
    librarian.files["/file"] = BODY
    assert daemon.rpc.ensurepresent(SHA1, f"{librarian.url}/to//file", "", "") == [True, "Download"]
    assert daemon.rpc.ensurepresent(SHA256, f"{librarian.url}/zipped/file", "", "") == [True, "Download"]


@pytest.mark.parametrize(("user", "password"), [("user", "secret"), ("", "macaroon"), ("user", "")])
def test_credentials_go_with_the_first_request_and_nowhere_else(
    daemon: Daemon,
    librarian: Librarian,
    user: str,
    password: str,
) -> None:
    librarian.files["/file"] = BODY
    url = f"{librarian.url}/private/file"
    assert daemon.rpc.ensurepresent(SHA1, url, user, password) == [True, "Download"]
    assert librarian.asked == [("/private/file", f"{user}:{password}")]
    elsewhere = librarian.url.replace("127.0.0.1", "localhost")
    assert daemon.rpc.ensurepresent(SHA256, f"{librarian.url}/to/{elsewhere}/file", user, password)[0]
    assert [user for path, user in librarian.asked if path == "/file"] == [""]
    text = daemon.log.read_text()
    assert SHA1 in text and "secret" not in text and "macaroon" not in text


def test_nothing_waits_for_a_download(daemon: Daemon, librarian: Librarian) -> None:
    librarian.files["/file"] = BODY
    with ThreadPoolExecutor() as pool:
        clients = [xmlrpc.client.ServerProxy(f"{daemon.url}/rpc") for _ in range(4)]
        answers = [pool.submit(client.ensurepresent, SHA1, f"{librarian.url}/slow/file", "", "") for client in clients]
        assert librarian.began.wait(10)
        assert daemon.rpc.status()["builder_status"] == "BuilderStatus.IDLE"
        assert daemon.build("say-ok")[0] == "BuilderStatus.BUILDING"
        daemon.wait()
        assert daemon.rpc.clean() == "BuilderStatus.IDLE"
        assert not any(answer.done() for answer in answers)
        assert not any(SHA1 in name and not name.startswith(".") for name in left(daemon))
        librarian.go_on.set()
        said = sorted(answer.result(20)[1] for answer in answers)
        for client in clients:
            client("close")()
    assert said == ["Cache"] * 3 + ["Download"]
    assert len(librarian.asked) == 1


def test_a_client_that_goes_away_does_not_end_its_download(daemon: Daemon, librarian: Librarian) -> None:
    librarian.files["/file"] = BODY
    body = xmlrpc.client.dumps((SHA1, f"{librarian.url}/slow/file", "", ""), "ensurepresent").encode()
    import socket

    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        client.sendall(b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert librarian.began.wait(10)
    librarian.go_on.set()
    assert daemon.rpc.ensurepresent(SHA1, f"{librarian.url}/file", "", "")[0] is True


@pytest.mark.skipif(os.getuid() != 0, reason="a small file system is mounted by root")
def test_a_full_disk(
    tmp_path: Path,
    start: Callable[..., Daemon],
    librarian: Librarian,
) -> None:
    librarian.files["/file"] = BODY
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        daemon = start(cache=str(small))
        answer = daemon.rpc.ensurepresent(SHA1, f"{librarian.url}/file", "", "")
        assert answer == [False, "Error accessing Librarian: the disk of the file cache is full"]
        assert [path.name for path in small.iterdir() if path.name not in (".lock", ".state.json")] == []
        daemon.put(b"an image")
        daemon.put(b"a source")
        with contextlib.suppress(OSError), open(small / "full", "wb") as file:
            file.write(BODY)
        with pytest.raises(xmlrpc.client.Fault, match="error"):
            daemon.rpc.build("ok", "binarypackage", *SMALL)
        assert daemon.rpc.status()["builder_status"] == "BuilderStatus.IDLE"
        (small / "full").unlink()
        assert daemon.rpc.build("ok", "binarypackage", *SMALL)[0] == "BuilderStatus.BUILDING"
        assert daemon.wait()["build_status"] == "BuildStatus.OK"
        daemon.end()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_stopped_daemon_gives_up_its_downloads(start: Callable[..., Daemon], librarian: Librarian) -> None:
    librarian.files["/file"] = BODY
    daemon = start()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(daemon.rpc.ensurepresent, SHA1, f"{librarian.url}/slow/file", "", "")
        assert librarian.began.wait(10)
        assert daemon.end() == 0
        with pytest.raises((ConnectionError, xmlrpc.client.Error, OSError)):
            asked.result(20)
    assert left(daemon) == []


def test_a_killed_download_leaves_nothing(start: Callable[..., Daemon], librarian: Librarian) -> None:
    librarian.files["/file"] = BODY
    daemon = start()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(daemon.rpc.ensurepresent, SHA1, f"{librarian.url}/slow/file", "", "")
        assert librarian.began.wait(10)
        end = time.monotonic() + 10
        while not any(name.endswith(".tmp") for name in left(daemon)):
            assert time.monotonic() < end
        daemon.process.kill()
        with pytest.raises((ConnectionError, xmlrpc.client.Error, OSError)):
            asked.result(20)
    daemon.kill()
    again = start()
    assert left(again) == []
    assert again.rpc.ensurepresent(SHA1, f"{librarian.url}/file", "", "") == [True, "Download"]
