"""A Debian 12 with what builds need, as a chroot's tar: made by Contractor itself, once for all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from target_kit import ROOT, Account

ARCHIVES = ["deb http://deb.debian.org/debian bookworm main"]
_SPEC = {
    "contractor": 1,
    "name": "image",
    "epoch": 1686355200,
    "steps": [
        {"empty-workspace": None},
        {
            "debootstrap": {
                "suite": "bookworm",
                "include": ["build-essential", "fakeroot", "git", "ca-certificates", "gettext", "intltool"],
            }
        },
        {"create-artifact": "tree"},
    ],
}
_PROGRAM = "from contractor.cli.main import run; run()"


def make_image(account: Account, path: Path) -> Path:
    """Build it in the account's store, and write it with the top directory that an image has."""
    store = account.folder / "store"
    spec = account.folder / "image.yaml"
    spec.write_text(json.dumps(_SPEC))
    env = {"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"], "HOME": str(account.folder)}
    argv = [*account.prefix, sys.executable, "-c", _PROGRAM, "build", str(spec), "--store", str(store), "--plain",
            "--events", "-"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, env=env, timeout=900, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    artifacts = [event["artifact"] for event in map(json.loads, done.stdout.splitlines()) if event.get("artifact")]
    digest = artifacts[-1]["digest"]
    _with_top(store / "blobs" / "sha256" / digest[:2] / f"{digest}.zst", path)
    return path


def _with_top(archive: Path, path: Path) -> None:
    import zstandard

    with (
        open(archive, "rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as plain,
        tarfile.open(fileobj=plain, mode="r|") as old,
        open(path, "wb") as file,
        zstandard.ZstdCompressor(level=1, threads=2).stream_writer(file) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in old:
            member.name = f"chroot-autobuild/{member.name}"
            if member.islnk():
                member.linkname = f"chroot-autobuild/{member.linkname}"
            for key in ("path", "linkpath"):
                member.pax_headers.pop(key, None)
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    path.chmod(0o644)
