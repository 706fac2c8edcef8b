"""Small images made of this machine's own programs, and targets on them as root and as an ordinary user."""

from __future__ import annotations

import io
import json
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ordinary_user import ordinary_user

ROOT = Path(__file__).parents[2]
PROGRAMS = ("bash", "sh", "cat", "id", "ls", "mkdir", "rm", "sleep", "true", "touch", "seq", "setsid", "ln", "truncate")
_PRELUDE = """
import json, os, sys
from contractor.buildd.arguments import typed
from contractor.buildd.log import Log
from contractor.buildd.model import Job
from contractor.buildd.target.target import Failed, Target, TargetFailed
from contractor.core.errors import ContractorError, Rejected
def say(value): print(json.dumps(value), flush=True)
job = Job(id="T-1", tag="binarypackage", image=sys.argv[1], image_name="image", files={}, cache=sys.argv[2],
          arguments={"series": "s", "suite": "s", "ogrecomponent": "main"}, store=sys.argv[3], log=2, events=2,
          architecture="amd64")
t = Target(job, Log(2), typed(job.tag, job.arguments), say)
t.open()
try:
    t.unpack(); t.mount()
"""
_END = """
except ContractorError as error:
    say({"error": type(error).__name__, "text": error.message})
finally:
    say({"closed": t.close()})
    t.log.close()
"""


class Account:
    """Who has targets: root, or an ordinary user. A folder of his own with `cache` and `store`."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir(parents=True)
        self.prefix: list[str] = []
        if kind == "user" and os.getuid() == 0:
            entry = pwd.getpwnam(ordinary_user())
            for path in (folder, self.cache):
                os.chown(path, entry.pw_uid, entry.pw_gid)
            self.prefix = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]

    def target(self, image: Path, body: str) -> Said:
        """Run lines of Python in which `t` is a mounted target; what they `say`."""
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        argv = [*self.prefix, sys.executable, "-c", _PRELUDE + lines + _END, str(image), str(self.cache),
                str(self.folder / "store")]  # fmt: skip
        env = {"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]}
        done = subprocess.run(argv, capture_output=True, env=env, timeout=120, check=False, cwd="/")
        return Said(done)

    def leftovers(self) -> list[str]:
        work = self.folder / "store" / "work"
        return sorted(os.listdir(work)) if work.is_dir() else []


class Said:
    """values: what was said; log: what the target's log got."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.log = done.stderr.decode(errors="replace")
        self.values: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
        self.code = done.returncode

    @property
    def error(self) -> str:
        found = [value["text"] for value in self.values if isinstance(value, dict) and "error" in value]
        return found[0] if found else ""

    def __repr__(self) -> str:
        return f"exit {self.code} {self.values}\n{self.log[-3000:]}"


def kinds() -> tuple[str, ...]:
    return ("root", "user") if os.getuid() == 0 else ("user",)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A temporary folder that every account may walk into, on a disk."""
    top = Path(tempfile.mkdtemp(prefix="contractor-buildd-", dir="/var/tmp"))
    top.chmod(0o755)
    try:
        yield top
    finally:
        from contractor.build.removal import removal

        with removal() as hands:
            hands.remove(str(top.parent), [top.name])


def small_tree(tree: Path, scripts: dict[str, str]) -> None:
    """A tree with a shell and some tools. scripts: further programs of /usr/bin, as what sh runs."""
    for name in ("usr/bin", "usr/sbin", "usr/lib", "etc/apt/sources.list.d", "tmp", "home", "proc", "dev", "run"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name.removesuffix('64')}")
    for program in PROGRAMS:
        path = shutil.which(program, path="/usr/bin:/bin")
        assert path, f"{program} is not on this machine"
        shutil.copy2(path, tree / "usr/bin" / program)
        for word in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split():
            if word.startswith("/"):
                shutil.copy2(word, tree / "usr/lib" / Path(word).name)
    for name, text in scripts.items():
        (tree / "usr/bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tree / "usr/bin" / name).chmod(0o755)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")


def image_of(tree: Path, path: Path, top: str = "chroot-autobuild", compression: str = "gz") -> Path:
    """A tree as an image: with this top directory, all of it root's."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{'' if compression in ('zst', 'none') else compression}") as archive:
        if top == "rootfs":
            archive.addfile(member("metadata.yaml", b"architecture: x86_64\n"), io.BytesIO(b"architecture: x86_64\n"))
            archive.addfile(member("templates/x.tpl", b"x"), io.BytesIO(b"x"))
        archive.add(tree, top, filter=owned)
        device = tarfile.TarInfo(f"{top}/dev/mem")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 1
        archive.addfile(device)
    content = data.getvalue()
    if compression == "zst":
        import zstandard

        content = zstandard.ZstdCompressor().compress(content)
    path.write_bytes(content)
    path.chmod(0o644)
    return path


def member(name: str, data: bytes = b"", **more: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size = len(data)
    found.mode = 0o644
    for key, value in more.items():
        setattr(found, key, value)
    return found
