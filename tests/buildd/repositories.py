"""git repositories over HTTP, as a build's sources: a static server of bare repositories (git's "dumb" protocol)."""

from __future__ import annotations

import functools
import http.server
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
       for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "1700000000 +0000"))},
}  # fmt: skip


class Repository:
    """A repository to commit to; every commit is served at once."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        argv = ["git", "-C", str(self.folder), *arguments]
        done = subprocess.run(argv, env=_ENV, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str], message: str = "more", branch: str = "") -> str:
        """Write files and commit them; the commit's id. branch: made from the present one where it is missing."""
        if branch:
            self.git("checkout", "-q", *([] if branch in self.git("branch", "--format=%(refname:short)") else ["-b"]),
                     branch)  # fmt: skip
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if name == "debian/rules":
                path.chmod(0o755)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        self.git("update-server-info")
        return self.git("rev-parse", "HEAD")


class Server:
    """Serves what is below a folder on 127.0.0.1."""

    def __init__(self, folder: Path, port: int, scheme: str = "http") -> None:
        self._folder = folder
        self.url = f"{scheme}://127.0.0.1:{port}"

    def repository(self, name: str) -> Repository:
        return Repository(self._folder / name, f"{self.url}/{name}/.git")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def git_daemon(folder: Path) -> Iterator[Server]:
    """The same by git's own protocol, which gives single commits and any reference."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ["git", "daemon", "--export-all", f"--base-path={folder}", "--listen=127.0.0.1", f"--port={port}",
            "--verbose", str(folder)]  # fmt: skip
    process = subprocess.Popen(argv, env=_ENV, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stderr is not None
        assert b"Ready" in process.stderr.readline()
        yield Server(folder, port, "git")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Server(folder, server.server_address[1])
        server.shutdown()
