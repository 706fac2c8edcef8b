"""A builder at a Python prompt: `contractor buildd serve` on an installation's own configuration, and xmlrpc.client.

The lines are those with which launchpad-buildd's own documentation tries a builder, word for word but for the port, the
image's sha1 and where things come from; `xmlrpclib` is called xmlrpc.client today.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_image
from test_real_types import PROJECT_TOOL

INI = """\
[builder]
architecturetag = amd64
filecache = {folder}/filecache-default
bindhost = localhost
bindport = {port}
sharepath = {folder}/share
ntphost = ntp.ubuntu.com

[binarypackagemanager]
sbuildpath = /usr/bin/sbuild
sbuildargs = --nolog --batch --archive=ubuntu --chroot-setup=%e

[translationtemplatesmanager]
resultarchive = translation-templates.tar.gz
"""
CONNECT = """
proxy = xmlrpclib.ServerProxy("http://localhost:8221/rpc")
proxy.status()
"""
LOCALLY = """
proxy.build('1-3', 'oci', '<sha1sum of base, possibly from previous section>', {}, {'name': 'test-build', 'series': 'bionic', 'arch_tag': 'amd64', 'git_repository': 'https://github.com/tomwardill/test-docker-repo.git', 'archives': ['deb http://archive.ubuntu.com/ubuntu bionic main restricted', 'deb http://archive.ubuntu.com/ubuntu bionic-updates main restricted', 'deb http://archive.ubuntu.com/ubuntu bionic universe']})
"""  # noqa: E501
STAGING = """
# Inject the backend image we retrieved before.
proxy.ensurepresent("<sha1sum from the previous step>", "<url from the previous step>", "admin", "admin")

# Start the build.
proxy.build('1-3', 'snap', '<sha1sum from the previous step>', {}, {'name': 'test-build', 'image_type': 'lxd', 'series': 'bionic', 'arch_tag': 'amd64', 'git_repository': 'https://github.com/tomwardill/test-docker-repo.git', 'archives': ['deb http://archive.ubuntu.com/ubuntu bionic main restricted', 'deb http://archive.ubuntu.com/ubuntu bionic-updates main restricted', 'deb http://archive.ubuntu.com/ubuntu bionic universe']})
"""  # noqa: E501
CLEAN = """
# Clean the builder after a failure or a success.
proxy.clean()
"""
APT = '#!/bin/sh\necho apt-get "$@"\n'


class Prompt:
    """A Python prompt: `says` runs lines there, and is what the last one shows."""

    def __init__(self, changes: dict[str, str]) -> None:
        self.names: dict[str, Any] = {"xmlrpclib": xmlrpc.client}
        self._changes = changes

    def says(self, lines: str) -> Any:
        for old, new in self._changes.items():
            lines = lines.replace(old, new)
        *before, last = [line for line in lines.splitlines() if line and not line.startswith("#")]
        exec("\n".join(before), self.names)
        return eval(last, self.names)

    def until_it_waits(self) -> dict[str, Any]:
        end = time.monotonic() + 60
        while (status := self.names["proxy"].status())["builder_status"] != "BuilderStatus.WAITING":
            assert status["builder_status"] == "BuilderStatus.BUILDING" and time.monotonic() < end
            time.sleep(0.05)
        found: dict[str, Any] = status
        return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    return small_image.make_image(folder, {"apt-get": APT, "snapcraft": PROJECT_TOOL})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """serve(variable): the daemon with its configuration named by an environment variable; its port."""
    running = []

    def begin(variable: str) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        (tmp_path / "buildd.conf").write_text(INI.format(folder=tmp_path, port=port))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            variable: "buildd.conf",
        }
        environment |= {"HOME": str(tmp_path), "CONTRACTOR_STORE": str(tmp_path / "store")}
        process = subprocess.Popen(
            [sys.executable, "-c", "from contractor.cli.main import run; run()", "buildd", "serve"],
            cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("builder for amd64: http://") and f":{port}/rpc" in line
        return port

    yield begin
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_the_walk_through(serve: Callable[[str], int], tmp_path: Path, image: Path) -> None:
    (tmp_path / "share/bin").mkdir(parents=True)
    (tmp_path / "share/bin/builder-prep").write_text("#!/bin/sh\necho the installation prepares\n")
    (tmp_path / "share/bin/builder-prep").chmod(0o755)
    cache = tmp_path / "filecache-default"
    cache.mkdir()
    (cache / "buildlog.unsanitized").write_text("what the other daemon left")
    port = serve("BUILDD_CONFIG")
    assert not (cache / "buildlog.unsanitized").exists()
    small_image.make_repository(
        tmp_path / "repository", {"Dockerfile": 'FROM scratch\nCOPY a /a\nCMD ["/a"]\n', "a": "x", "snapcraft.yaml": ""}
    )
    sha1 = hashlib.sha1(image.read_bytes()).hexdigest()
    with small_image.served(tmp_path / "repository") as sources, small_image.served(image.parent) as librarian:
        prompt = Prompt({
            "8221": str(port),
            "<sha1sum of base, possibly from previous section>": sha1,
            "<sha1sum from the previous step>": sha1,
            "<url from the previous step>": f"{librarian}/image.tar",
            "https://github.com/tomwardill/test-docker-repo.git": f"{sources}/source.git",
        })  # fmt: skip
        assert prompt.says(CONNECT)["builder_status"] == "BuilderStatus.IDLE"
        assert prompt.says(LOCALLY)[0] == "BuilderStatus.UNKNOWNSUM"
        assert prompt.says(STAGING.partition("# Start")[0]) == [True, "Download"]
        assert prompt.says(LOCALLY) == ["BuilderStatus.BUILDING", "1-3"]
        status = prompt.until_it_waits()
        log = (cache / "buildlog").read_text()
        assert status["build_status"] == "BuildStatus.OK", log
        assert "the installation prepares" in log
        assert {"manifest.json", "digests.json"} < set(status["filemap"])
        assert prompt.says(CLEAN) == "BuilderStatus.IDLE"
        assert prompt.says(STAGING) == ["BuilderStatus.BUILDING", "1-3"]
        status = prompt.until_it_waits()
        assert status["build_status"] == "BuildStatus.OK", (cache / "buildlog").read_text()
        assert "hello_1_amd64.snap" in status["filemap"]
        assert prompt.says(CLEAN) == "BuilderStatus.IDLE"
        assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == [sha1]
        prompt.names["proxy"]("close")()


def test_the_variable_of_old_installations(serve: Callable[[str], int]) -> None:
    prompt = Prompt({"8221": str(serve("BUILDD_SLAVE_CONFIG"))})
    assert prompt.says(CONNECT)["builder_status"] == "BuilderStatus.IDLE"
    prompt.names["proxy"]("close")()
