"""Where benchmarks run: as an ordinary user, with the installed command and a store of their own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

USER = "contractor-bench"


class Machine:
    """Runs commands as an ordinary user: the caller, or one made for it when the caller is root."""

    def __init__(self) -> None:
        self.user = USER if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0 and subprocess.run(["id", USER], capture_output=True).returncode:
            subprocess.run(["useradd", "--create-home", USER], check=True)
        self.home = Path(pwd.getpwnam(self.user).pw_dir)
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=self.home))
        self.folder.chmod(0o755)  # mmdebstrap and sbuild walk through it with other ids
        self.own(self.folder)
        self.store = self.folder / "store"
        self.command = str(Path(sys.executable).parent / "contractor")

    def own(self, path: Path) -> None:
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{self.user}:", str(path)], check=True)

    def argv(self, argv: list[str]) -> list[str]:
        as_user = ["runuser", "-u", self.user, "--"] if os.getuid() == 0 else []
        env = [
            f"HOME={self.home}",
            f"CONTRACTOR_STORE={self.store}",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
        ]
        return [*as_user, "env", "-i", *env, *argv]

    def run(self, argv: list[str], *, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self.argv(argv), cwd=self.folder, check=check, capture_output=True)

    def timed(self, argv: list[str]) -> float:
        """Seconds of one run, without what it takes to become the user."""
        script = (
            "import os, sys, time; null = os.open('/dev/null', os.O_RDWR); began = time.perf_counter(); "
            "pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions="
            "[(os.POSIX_SPAWN_DUP2, null, 1)]); code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]); "
            "print(time.perf_counter() - began); sys.exit(code)"
        )
        return float(self.run(["/usr/bin/python3", "-c", script, *argv]).stdout)

    def build(self, spec: Path, *options: str, store: Path | None = None) -> list[str]:
        return [self.command, "build", str(spec), "-q", "--store", str(store or self.store), *options]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.own(path)
        return path

    def chroot(self, name: str) -> Path:
        """A file in the only folder where sbuild (of Debian 12) looks for its tarballs."""
        folder = self.home / ".cache" / "sbuild"
        self.run(["mkdir", "-p", str(folder)])
        for path in (self.home, folder.parent, folder):
            path.chmod(0o755)  # it reads it with other ids
        return folder / name

    def record(self, store: Path | None = None) -> dict[str, Any]:
        """The newest record of the store."""
        newest = sorted((store or self.store).glob("builds/*/record.json"), key=lambda path: path.stat().st_mtime)[-1]
        found: dict[str, Any] = json.loads(newest.read_bytes())
        return found

    def hyperfine(self, commands: list[str], runs: int = 20, prepare: str = "") -> list[float]:
        """Median seconds of each command, after three runs to warm up. prepare: run before each, and not timed."""
        out = self.folder / "hyperfine.json"
        before = ["--prepare", prepare] if prepare else []
        options = ["-N", "--warmup", "3", "--runs", str(runs), *before, "--export-json", str(out)]
        self.run(["hyperfine", *options, *commands])
        return [result["median"] for result in json.loads(out.read_bytes())["results"]]

    def remove(self) -> None:
        self.run([self.command, "clean", "--kept"], check=False)
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def median(values: list[float]) -> float:
    return statistics.median(values)
