"""What took part in a build: versions of Contractor's tools and of the kernel. Asked for once a boot and program."""

from __future__ import annotations

import contextlib
import os

import msgspec

from contractor import __version__
from contractor.core.errors import ContractorError
from contractor.sandbox import process
from contractor.store.layout import Store

_TOOLS = ("bwrap", "newuidmap", "mmdebstrap", "git")
_NO_VERSION = ("newuidmap",)  # has no option that says it


def host_facts() -> dict[str, str]:
    found = os.uname()
    return {"kernel": f"{found.sysname} {found.release}", "machine": found.machine}


def tool_versions(store: Store) -> dict[str, str]:
    """name -> what `--version` says; kept in the store until a program's file changes."""
    cache = store.path("locks", "tools.json")
    known: dict[str, tuple[str, str]] = {}
    with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError), open(cache, "rb") as file:
        known = msgspec.json.decode(file.read(), type=dict[str, tuple[str, str]])
    found: dict[str, tuple[str, str]] = {}
    for name in _TOOLS:
        path = process.which(name)
        if path is not None:
            stat = os.stat(path)
            mark = f"{path} {stat.st_mtime_ns} {stat.st_size}"
            found[name] = known[name] if name in known and known[name][0] == mark else (mark, _version(name, path))
    if found != known:
        with contextlib.suppress(OSError):
            with open(f"{cache}.{os.getpid()}", "wb") as file:
                file.write(msgspec.json.encode(found))
            os.rename(f"{cache}.{os.getpid()}", cache)
    return {"contractor": __version__, **{name: version for name, (_mark, version) in found.items()}}


def _version(name: str, path: str) -> str:
    if name in _NO_VERSION:
        return "installed"
    try:
        done = process.run([path, "--version"], timeout=10)
    except ContractorError:
        return "unknown"
    lines = done.output.decode(errors="replace").strip().splitlines()
    return lines[0].removeprefix(f"{name} ").removeprefix("version ") if lines and done.code == 0 else "unknown"
