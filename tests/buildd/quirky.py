"""A builder of the tests: launchpad-buildd as its page describes it, written on xmlrpc.server and nothing of ours.

It hides every reason behind fault 8002 "error", answers one request at a time (so ensurepresent blocks everything),
tells the end of the log as Binary of 2048 bytes, and has names in its cache that are no digests. Its builds follow a
script, and `Troubles` break its answers.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import threading
import urllib.parse
import urllib.request
import xmlrpc.client
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TAGS = ["binarypackage", "sourcepackagerecipe", "translation-templates", "livefs", "snap", "oci", "charm", "ci"]
TAGS += ["rock", "craft"]


@dataclass
class Script:
    """What a build does: bytes go to the log, an Event is waited for. files: what it leaves."""

    steps: Sequence[bytes | threading.Event] = (b"hello\n",)
    status: str = "OK"
    files: Mapping[str, bytes] = field(default_factory=dict)
    dependencies: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    filemap: Mapping[str, str] | None = None  # in place of the one of the files
    without_filemap: bool = False
    stubborn: bool = False  # an abort does not end it


@dataclass
class Troubles:
    """How often the next answers to a method (or "GET") go wrong, by kind: empty, cut, drop (before it is done), late
    (done, but the answer is dropped), page (an HTML error page), broken (no XML)."""

    left: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, method: str, kind: str, times: int = 1) -> None:
        self.left[method, kind] += times

    def take(self, method: str) -> str:
        for (name, kind), times in self.left.items():
            if name == method and times > 0:
                self.left[name, kind] -= 1
                return kind
        return ""


class Builder:
    """The state that launchpad-buildd has. One call at a time."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.lock = threading.Lock()
        self.script = Script()
        self.calls: list[tuple[str, Any]] = []
        self._state = "IDLE"
        self._build = ""
        self._ended = ""
        self._abort = threading.Event()
        self._files: dict[str, str] = {}

    def echo(self, *args: Any) -> Any:
        return args

    def info(self) -> Any:
        return "1.0", "amd64", TAGS

    def status(self) -> Any:
        found: dict[str, Any] = {"builder_status": f"BuilderStatus.{self._state}", "builder_version": "254"}
        if self._state == "BUILDING":
            found |= {"build_id": self._build, "logtail": xmlrpc.client.Binary(self._log().read_bytes()[-2048:])}
        elif self._state == "WAITING":
            found |= {"build_id": self._build, "build_status": f"BuildStatus.{self._ended}"}
            if self._ended in ("OK", "PACKAGEFAIL", "DEPFAIL") and not self.script.without_filemap:
                found |= {"filemap": self._files, "dependencies": self.script.dependencies}
        elif self._state == "ABORTING":
            found["build_id"] = self._build
        return found if self._state == "IDLE" else {**found, **self.script.extra}

    def proxy_info(self) -> Any:
        if self._state == "IDLE":
            raise ValueError("no build manager")
        return {"use_fetch_service": None, "revocation_endpoint": None}

    def ensurepresent(self, sha1: str, url: str | None, user: str, password: str) -> Any:
        path, info = self.cache / sha1, "No URL"
        if url is not None:
            info = "Cache" if path.exists() else self._download(path, url, user, password)
        return path.exists(), info

    def _download(self, path: Path, url: str, user: str, password: str) -> str:
        try:
            request = urllib.request.Request(url)
            if user or password:
                word = base64.b64encode(f"{user}:{password}".encode()).decode()
                request.add_header("Authorization", f"Basic {word}")
            data = urllib.request.urlopen(request, timeout=10).read()
        except Exception as error:
            return f"Error accessing Librarian: {error}"
        if hashlib.sha1(data).hexdigest() != path.name:
            return "Digests did not match, removing again!"
        path.write_bytes(data)
        return "Download"

    def build(self, build_id: Any, tag: str, chroot: str, files: dict[str, str], args: dict[str, Any]) -> Any:
        if tag not in TAGS:
            return "BuilderStatus.UNKNOWNBUILDER", f"{tag} not in {TAGS!r}"
        for kind, sha1 in [("CHROOTSUM", chroot), *(("FILESUM", name) for name in files.values())]:
            if not (self.cache / sha1).exists():
                return "BuilderStatus.UNKNOWNSUM", f"{kind} -> {sha1}\n***** INFO *****\n"
        if not build_id or self._state != "IDLE":
            raise ValueError("no build id, or not idle")
        self._state, self._build = "BUILDING", build_id
        self._log().write_bytes(b"")
        args["series"]  # the original sees only now that one is missing, and stays BUILDING
        self._abort = threading.Event()
        threading.Thread(target=self._run, args=(self._abort,), daemon=True).start()
        return "BuilderStatus.BUILDING", build_id

    def abort(self) -> Any:
        if self._state not in ("BUILDING", "ABORTING"):
            raise ValueError("nothing to abort")
        self._state = "ABORTING"
        self._abort.set()
        return "BuilderStatus.ABORTING"

    def clean(self) -> Any:
        if self._state != "WAITING":
            raise ValueError("not waiting")
        for sha1 in self._files.values():
            if "/" not in sha1:
                (self.cache / sha1).unlink(missing_ok=True)
        self._log().unlink(missing_ok=True)
        self._state, self._build, self._files = "IDLE", "", {}
        return "BuilderStatus.IDLE"

    def _log(self) -> Path:
        return self.cache / "buildlog"

    def _run(self, abort: threading.Event) -> None:
        script, status = self.script, self.script.status
        for step in script.steps:
            if isinstance(step, bytes):
                with self._log().open("ab") as log:
                    log.write(step)
                continue
            while not step.wait(0.01):
                if abort.is_set() and not script.stubborn:
                    break
        with self.lock:
            if abort.is_set():
                status = "ABORTED"
            for name, data in script.files.items():
                self._files[name] = hashlib.sha1(data).hexdigest()
                (self.cache / self._files[name]).write_bytes(data)
            self._files.update(script.filemap or {})
            self._state, self._ended = "WAITING", status


METHODS = ("echo", "info", "status", "proxy_info", "ensurepresent", "build", "abort", "clean")


class Quirky(http.server.ThreadingHTTPServer):
    """A context manager; `url` is where it listens."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, cache: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.builder = Builder(cache)
        self.troubles = Troubles()
        self.ranges = True
        self.asked: list[str] = []  # methods, also those that wait for their turn
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Quirky:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class _Visit(http.server.BaseHTTPRequestHandler):
    server: Quirky

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.rstrip("/") != "/rpc":
            return self.send_error(404)
        params, method = xmlrpc.client.loads(data)
        self.server.asked.append(str(method))
        trouble = self.server.troubles.take(str(method))
        if trouble == "drop":
            return None
        answer = self._answer(str(method), params)
        if trouble == "late":
            return None
        if trouble == "page":
            return self.send_error(502)
        if trouble in ("empty", "broken"):
            answer = b"" if trouble == "empty" else b"<html>moved</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if trouble == "cut" else answer)
        return None

    def _answer(self, method: str, params: tuple[Any, ...]) -> bytes:
        builder = self.server.builder
        try:
            if method not in METHODS:
                raise xmlrpc.client.Fault(8001, f"procedure {method} not found")
            with builder.lock:
                builder.calls.append((method, params))
                result = _sendable(getattr(builder, method)(*params))
            text = xmlrpc.client.dumps((result,), methodresponse=True, allow_none=True)
        except xmlrpc.client.Fault as fault:
            text = xmlrpc.client.dumps(fault)
        except Exception:
            text = xmlrpc.client.dumps(xmlrpc.client.Fault(8002, "error"))
        return text.encode()

    def do_GET(self) -> None:
        trouble = self.server.troubles.take("GET")
        name = urllib.parse.unquote(self.path.removeprefix("/filecache/"))
        path = self.server.builder.cache / name
        with self.server.builder.lock:  # the same single thread as the calls
            if trouble == "drop" or not self.path.startswith("/filecache/") or "/" in name or not path.is_file():
                return None if trouble == "drop" else self.send_error(404)
            data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.server.ranges else None
        start = int(asked[1]) if asked else 0
        if asked and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        end = min(int(asked[2]) + 1, len(data)) if asked and asked[2] else len(data)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        body = data[start:end]
        if trouble == "other":
            body = bytes(len(body))
        self.wfile.write(body[: len(body) // 2] if trouble == "cut" else body)
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


def _sendable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
