"""Whole builds with a builder proxy, over XML-RPC: what the build reaches, what nobody learns, and the token's end."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import small_image
from builder_kit import Daemon
from proxy_kit import FetchService, Service, TokenServer, proxy_of

from contractor.buildd.daemon.running import WORKER

SNAPCRAFT = """#!/bin/sh
case "$1" in
pull) env; echo pulled ;;
*) test -e fail && exit 3; test -e sleep && sleep 1000; echo snap > hello_1_amd64.snap ;;
esac
"""
APT = """#!/bin/sh
mkdir -p /usr/sbin
printf '#!/bin/sh\\ncat /usr/local/share/ca-certificates/local-ca.crt\\n' > /usr/sbin/update-ca-certificates
chmod +x /usr/sbin/update-ca-certificates
"""
SECRET = "very-secret"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    programs = {"snapcraft": SNAPCRAFT, "apt-get": APT}
    return small_image.make_image(tmp_path_factory.mktemp("image"), programs)


@pytest.fixture(scope="module")
def certificate() -> str:
    authority = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=fetch"]
    return base64.b64encode(
        subprocess.run([*authority, "-keyout", "/dev/null"], capture_output=True, check=True).stdout
    ).decode()


class Place:
    """A builder, a proxy in one of its two forms, and a repository that only the proxy reaches."""

    def __init__(self, stack: ExitStack, start: Callable[..., Daemon], image: Path, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.daemon = start([*WORKER])
        (self.daemon.cache / "image").write_bytes(image.read_bytes())

    def build(self, form: str, certificate: str, files: dict[str, str]) -> None:
        fetch_service = form == "fetch service"
        self.tokens = self._stack.enter_context(Service(FetchService if fetch_service else TokenServer))
        self.tokens.live["SNAPBUILD-7"] = SECRET
        self.proxy = self._stack.enter_context(proxy_of(self.tokens))
        small_image.make_repository(self._folder / "repository", {"snapcraft.yaml": "", **files})
        sources = self._stack.enter_context(small_image.served(self._folder / "repository"))
        path = "session/SNAPBUILD-7/token" if fetch_service else "tokens/SNAPBUILD-7"
        self.endpoint = f"http://{self.tokens.place}/{path}"
        given: dict[str, Any] = {
            "series": "x", "name": "hello", "git_repository": f"{sources}/source.git", "image_type": "lxd",
            "proxy_url": f"http://SNAPBUILD-7:{SECRET}@{self.proxy.place}", "revocation_endpoint": self.endpoint,
        }  # fmt: skip
        if fetch_service:
            given |= {"use_fetch_service": True, "secrets": {"fetch_service_mitm_certificate": certificate}}
        assert self.daemon.rpc.build("SNAPBUILD-7", "snap", "image", {}, given)[0] == "BuilderStatus.BUILDING"
        assert self.daemon.rpc.proxy_info() == {
            "use_fetch_service": True if fetch_service else None, "revocation_endpoint": self.endpoint,
        }  # fmt: skip

    def log(self) -> bytes:
        return self.daemon.get("/filecache/buildlog")[2]


@pytest.fixture
def place(start: Callable[..., Daemon], image: Path, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack, start, image, tmp_path)


@pytest.mark.parametrize(
    ("form", "end"),
    [
        ("builder proxy", "OK"),
        ("builder proxy", "PACKAGEFAIL"),
        ("fetch service", "PACKAGEFAIL"),  # it wants a shallow clone, which a server of plain files does not give
    ],
)
def test_a_build_and_its_token(place: Place, certificate: str, form: str, end: str) -> None:
    place.build(form, certificate, {"fail": ""} if end != "OK" else {})
    status = place.daemon.wait(seconds=60)
    log = place.log()
    assert status["build_status"] == f"BuildStatus.{end}", log.decode()
    assert place.daemon.rpc.proxy_info()["revocation_endpoint"] == place.endpoint  # the manager asks after the end
    assert place.tokens.live == {}
    (revocation,) = [head for head in place.tokens.heads if head[0].startswith("DELETE")]
    assert ("authorization" in revocation[1]) is (form == "builder proxy")
    asked = [head for head, _ in place.proxy.heads]
    assert any("/source.git/" in head for head in asked)
    for head in asked:
        assert f"[proxy] {head} ".encode() in log
    assert log.count(b"The proxy's token is revoked.") == 1
    assert (b"http_proxy=http://" in log) is (form == "builder proxy")
    assert (b"BEGIN CERTIFICATE" in log) is (form == "fetch service")
    for path in [place.daemon.log, *place.daemon.cache.iterdir()]:
        assert path.name == "image" or SECRET.encode() not in path.read_bytes(), path


def test_an_abort_ends_the_token_too(place: Place) -> None:
    place.build("builder proxy", "", {"sleep": ""})
    begun = b"RUN: /usr/bin/snapcraft\n"
    status = place.daemon.until(lambda s: begun in place.log() or "build_status" in s, seconds=60)
    assert status["builder_status"] == "BuilderStatus.BUILDING", place.log().decode()
    assert place.tokens.live
    place.daemon.rpc.abort()
    assert place.daemon.wait(seconds=60)["build_status"] == "BuildStatus.ABORTED"
    assert place.tokens.live == {}, place.log().decode()
