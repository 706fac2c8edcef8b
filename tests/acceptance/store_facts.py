"""What a store really has: read with other code than Contractor's, so that both cannot be wrong in the same way."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import zstandard


def archive(store: Path, digest: str) -> bytes:
    """An artifact's uncompressed archive."""
    packed = Path(store, "blobs", "sha256", digest[:2], f"{digest}.zst").read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        return reader.read()


def archive_members(store: Path, digest: str) -> dict[bytes, tuple[int, bytes]]:
    """Path -> mode with its file type, and content (a link's is its target)."""
    found = {}
    types = {tarfile.REGTYPE: 0o100000, tarfile.DIRTYPE: 0o040000, tarfile.SYMTYPE: 0o120000}
    with tarfile.open(fileobj=io.BytesIO(archive(store, digest)), encoding="utf-8") as tar:
        for member in tar:
            content = os.fsencode(member.linkname)
            if member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                content = file.read()
            name = os.fsencode(member.name).removeprefix(b"./")
            found[name] = (types.get(member.type, 0o100000) | member.mode, content)
    return found


def unfinished(store: Path) -> list[str]:
    """Results that can be found but whose content is not there, or is not what it says."""
    troubles = []
    results = [path for path in store.glob("results/**/*.json") if not path.name.startswith(".")]
    assert results, "a store without any result proves nothing"
    for path in results:
        try:
            result = json.loads(path.read_bytes())
        except FileNotFoundError:  # settled meanwhile: it is in results/ itself now
            result = json.loads((store / "results" / path.name).read_bytes())
        key = result["key"]
        if result.get("layer") and not list(store.glob(f"layers/*/{key}")):
            troubles.append(f"{path}: no layer")
        if result.get("state") and not (store / "states" / key).exists():
            troubles.append(f"{path}: no state")
        if result.get("artifact"):
            digest = result["artifact"]["digest"]
            if _digest_and_size(store, digest) != (digest, result["artifact"]["size"]):
                troubles.append(f"{path}: another artifact")
    return troubles


@functools.cache
def _digest_and_size(store: Path, digest: str) -> tuple[str, int]:
    """Of what is stored under a digest; once a test run, for a base is large."""
    data = archive(store, digest)
    return hashlib.sha256(data).hexdigest(), len(data)


def leftovers(store: Path, build: str) -> list[str]:
    """What is left of a build's place, or with "" of any."""
    works = [path for path in (store / "work").iterdir() if not build or path.name == build]
    found = [str(path) for path in works if not _kept(store, path.name)]
    if not build:
        found += [str(path) for path in (store / "trash").iterdir()]
        found += [str(path) for path in (store / "blobs").glob(".*")]
    return found


def _kept(store: Path, build: str) -> bool:
    """Whether somebody asked for the workspace to be kept."""
    record = store / "builds" / build / "record.json"
    return record.exists() and bool(json.loads(record.read_bytes())["kept"])
