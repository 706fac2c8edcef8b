"""A small image for real builds, offline: a shell, some tools and git of this machine, as a chroot's tar.

    chroot-autobuild/usr/bin, usr/lib, etc, ...      and programs of a test's own

A source is a git repository that is served on the loopback as plain files, which git's dumb protocol reads.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

PROGRAMS = (
    "basename", "bash", "sh", "cat", "chmod", "chown", "cp", "env", "git", "gzip", "head", "id", "ln", "ls", "mkdir",
    "mkfifo", "mv", "rm", "sha512sum", "sleep", "sort", "tar", "touch", "true",
)  # fmt: skip
GIT_CORE = ("git-remote-http",)
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
WHEN = "2024-05-06T07:08:09Z"
EPOCH = 1714979289


def make_image(folder: Path, programs: Mapping[str, str] = {}) -> Path:
    """The image's tar in a folder. programs: name -> script, in /usr/bin."""
    tree = folder / "chroot-autobuild"
    for name in (
        "usr/bin",
        "usr/sbin",
        "usr/lib/git-core",
        "etc",
        "tmp",
        "var/tmp",
        "proc",
        "dev",
        "sys",
        "run",
        "root",
        "home",
    ):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (tree / name).symlink_to("usr/lib" if name.startswith("lib") else "usr/bin")
    for program in PROGRAMS:
        path = shutil.which(program, path="/usr/bin:/bin")
        assert path, f"{program} is not on this machine"
        _copy(path, tree / "usr/bin" / program, tree)
    for program in GIT_CORE:
        _copy(f"/usr/lib/git-core/{program}", tree / "usr/lib/git-core" / program, tree)
    for name, script in programs.items():
        (tree / "usr/bin" / name).write_text(script)
        (tree / "usr/bin" / name).chmod(0o755)
    (tree / "tmp").chmod(0o1777)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:77:77::/:/bin/sh\nodd:x:78:79::/:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\napp:x:77:\nstaff:x:50:\n")
    (tree / "etc/os-release").write_text(OS_RELEASE)
    subprocess.run(["chmod", "-R", "a+rX", tree], check=True)
    image = folder / "image.tar"
    owner = ["--owner=0", "--group=0", "--numeric-owner"]
    subprocess.run(["tar", *owner, "-C", folder, "-cf", image, "chroot-autobuild"], check=True)
    shutil.rmtree(tree)
    return image


def _copy(path: str, to: Path, tree: Path) -> None:
    shutil.copy2(path, to)
    for word in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split():
        library = tree / "usr/lib" / Path(word).name
        if word.startswith("/") and not library.exists():
            shutil.copy2(word, library)


def make_repository(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """A bare repository with one commit of these files; a value that begins with "-> " is a link."""
    work = folder / "work"
    work.mkdir(parents=True)
    for name, content in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755 if content[:2] in ("#!", b"#!") else 0o644)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "A Person"), ("EMAIL", "person@example.org"), ("DATE", WHEN))},
    }  # fmt: skip
    bare = folder / "source.git"
    for argv in (
        ["git", "init", "-q", "-b", "main", "."],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "all"],
        ["git", "clone", "-q", "--bare", ".", str(bare)],
        ["git", "-C", str(bare), "update-server-info"],
    ):
        subprocess.run(argv, cwd=work, env=env, check=True)
    return bare


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL at which a folder's files are served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
