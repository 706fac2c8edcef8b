"""A small Debian archive of our own, signed by our own key, which is what the tests want it to be at any moment.

It is served as the proxy that the machine needs (http_proxy), under the name of Debian's own mirror; so nobody who
builds can tell it from that.
"""

from __future__ import annotations

import base64
import email.utils
import gzip
import hashlib
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ARCHIVE = "http://deb.debian.org/debian"
SUITE = "test"
ARCH = "amd64"


class Mirror:
    """packages: name -> (version, what it depends on). Its files are made again by `publish`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "gnupg"
        self._home.mkdir(mode=0o700)
        self._gpg("--quick-gen-key", "--passphrase", "", "Tests <tests@example.org>", "default", "sign", "never")
        self.key = base64.b64encode(self._gpg("--export")).decode()
        self.packages: dict[str, tuple[str, str]] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._known: dict[str, bytes] = {}

    def answer(self, url: str) -> tuple[int, str, bytes]:
        self.asked.append(url)
        path = url.removeprefix(f"{ARCHIVE}/")
        if path in self.files:
            return 200, "application/octet-stream", self.files[path]
        if f"/dists/{SUITE}/" in url or (path.startswith("pool/main/") and path.count("/") == 2):
            return 404, "text/plain", b"not here\n"
        return self._real(url)

    def _real(self, url: str) -> tuple[int, str, bytes]:
        """What bases are made of is Debian's own."""
        if url not in self._known:
            try:
                with urllib.request.urlopen(url, timeout=60) as found:
                    self._known[url] = found.read()
            except urllib.error.HTTPError as error:
                return error.code, "text/plain", b""
        return 200, "application/octet-stream", self._known[url]

    def set(self, text: str) -> None:
        """ "greeter 1.0 (greeter-data), greeter-data 1.0": what there is from now on, and nothing else."""
        self.packages = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, version, *depends = item.split(" ", 2)
            self.packages[name] = (version, depends[0][1:-1] if depends else "")
        self.publish()

    def publish(self, *, dated: float = 0.0, valid: float | None = None, again: bytes = b"") -> None:
        """dated, valid: seconds from now of its date and of its end. again: makes the packages other bytes."""
        self.files = {}
        index = "".join(self._package(name, *about, again) for name, about in sorted(self.packages.items())).encode()
        inside = f"main/binary-{ARCH}/Packages"
        listed = {inside: index, f"{inside}.gz": gzip.compress(index, mtime=0)}
        for name, data in listed.items():
            self.files[f"dists/{SUITE}/{name}"] = data
        now = time.time()
        lines = [f"Suite: {SUITE}", f"Codename: {SUITE}", f"Date: {_date(now + dated)}"]
        lines += [f"Valid-Until: {_date(now + valid)}"] if valid is not None else []
        lines += [f"Architectures: {ARCH}", "Components: main", "SHA256:"]
        lines += [f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in listed.items()]
        release = "\n".join(lines).encode() + b"\n"
        self.files[f"dists/{SUITE}/InRelease"] = self._gpg("--clearsign", data=release)

    def _package(self, name: str, version: str, depends: str, again: bytes) -> str:
        data = _deb(name, version, depends, again)
        path = f"pool/main/{name}_{version}_{ARCH}.deb"
        self.files[path] = data
        control = _control(name, version, depends)
        return f"{control}Filename: {path}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"

    def _gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        argv = ["gpg", "--batch", "--yes", "--homedir", str(self._home), "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(argv, input=data, capture_output=True, check=True).stdout


def _date(moment: float) -> str:
    return email.utils.formatdate(moment, usegmt=True).replace("GMT", "UTC")


def _control(name: str, version: str, depends: str) -> str:
    lines = [
        f"Package: {name}",
        f"Version: {version}",
        f"Architecture: {ARCH}",
        "Maintainer: Tests <tests@example.org>",
    ]
    lines += [f"Depends: {depends}"] if depends else []
    return "\n".join([*lines, f"Description: {name} in version {version}"]) + "\n"


def _deb(name: str, version: str, depends: str, again: bytes) -> bytes:
    """A package with a file that says which version it is."""
    with tempfile.TemporaryDirectory() as top:
        root = Path(top, "root")
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN" / "control").write_text(_control(name, version, depends))
        (root / "usr" / "share" / "versions").mkdir(parents=True)
        (root / "usr" / "share" / "versions" / name).write_bytes(f"{version}\n".encode() + again)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), f"{top}/out.deb"],
            check=True, capture_output=True, env={"SOURCE_DATE_EPOCH": "1700000000", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        return Path(top, "out.deb").read_bytes()
