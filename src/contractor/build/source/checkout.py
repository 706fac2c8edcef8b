"""Which commit a source folder is a checkout of, and how far its files are from it: for provenance, never for keys.

git is only asked for names (the commit, its tree, the remote's URL). Files are compared here, by their git digests:
git's own comparison would run filters that the checkout's configuration names.

Compared are the files that are the source, and those of the commit in this folder, the specification among them. What
a filter changes between the two (line ends, large-file pointers) counts as changed: other bytes are built.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Callable
from typing import Any

import msgspec

from contractor.build.source.folder import Source
from contractor.build.source.git import SAFE, Head
from contractor.core import digest as digests
from contractor.core.digest import CHUNK
from contractor.network.ledger import redact
from contractor.plan.model import Checkout
from contractor.sandbox import process
from contractor.store.layout import Store

_SHORT = re.compile(r"(?:[^@/:]*@)?(?P<host>[^@/:]+):(?P<path>[^/].*)")  # as in git@host:path, when no // follows
_GITLINK = b"160000"  # a submodule's commit: its files are none of this tree
_Blobs = dict[bytes, bytes]  # path -> mode, a space, and the digest of the blob


def checkout_of(source: Source, head: Head, store: Store, digest: str, *others: str) -> Checkout | None:
    """None without git. digest: of the source's archive; others: of files beside it that a build reads.

    Remembered as long as commit and digests are the same: then only `head` was asked of git.
    """
    mark = [os.fsencode(source.path).hex(), head.commit, digest, *others]
    cache = store.path("sources", digests.of_value(["checkout", *mark]))
    with contextlib.suppress(OSError, msgspec.DecodeError), open(cache, "rb") as file:
        return msgspec.json.decode(file.read(), type=Checkout)
    found = _compared(source, head)
    if found is not None:
        with contextlib.suppress(OSError):  # it is only remembered
            with open(f"{cache}.{os.getpid()}", "wb") as file:
                file.write(msgspec.json.encode(found))
            os.rename(f"{cache}.{os.getpid()}", cache)
    return found


def _compared(source: Source, head: Head) -> Checkout | None:
    tree = _asked(source.path, "ls-tree", "-r", "-z", head.commit)
    prefix = _asked(source.path, "rev-parse", "--show-prefix")
    if tree is None or prefix is None:
        return None
    url = _asked(source.path, "config", "--get", "remote.origin.url") or b""
    before = _listed(tree)
    new = hashlib.sha1 if len(head.commit) == 40 else hashlib.sha256
    now = _found(os.fsencode(source.path), {*before, *source.files}, new)
    lines = [
        b"%b\0%b\0%b\0" % (name, before.get(name, b""), now.get(name, b""))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    return Checkout(
        commit=head.commit,
        url=_public(url.decode(errors="replace").strip()),
        folder=prefix.decode(errors="replace").strip().rstrip("/") or ".",
        changed=len(lines),
        patch=digests.of_bytes(b"".join(lines)) if lines else "",
    )


def _public(url: str) -> str:
    """A remote as a URL without credentials; "" for a place on this host."""
    short = _SHORT.match(url)
    if short is not None:
        return f"ssh://{short['host']}/{short['path']}"
    return redact(url).replace("//***@", "//", 1) if "://" in url and not url.startswith("file:") else ""


def _asked(path: str, *argv: str) -> bytes | None:
    git = process.which("git")
    done = process.run([git, "-C", path, *argv], env=SAFE) if git is not None else None
    return done.output if done is not None and done.code == 0 else None


def _listed(output: bytes) -> _Blobs:
    """What `git ls-tree -z` says: mode, kind, digest, a tab, the path."""
    found = {}
    for line in output.split(b"\0")[:-1]:
        about, _tab, name = line.partition(b"\t")
        mode, _kind, blob = about.split(b" ")
        if mode != _GITLINK:
            found[name] = b"%b %b" % (mode, blob)
    return found


def _found(base: bytes, names: set[bytes], new: Callable[[bytes], Any]) -> _Blobs:
    found = {}
    for name in names:
        path = os.path.join(base, name)
        try:
            about = os.lstat(path)
            if stat.S_ISLNK(about.st_mode):
                target = os.readlink(path)
                found[name] = b"120000 " + new(b"blob %d\0%b" % (len(target), target)).hexdigest().encode()
            elif stat.S_ISREG(about.st_mode):
                mode = b"100755 " if about.st_mode & stat.S_IXUSR else b"100644 "
                found[name] = mode + _blob(path, new)
        except OSError:  # deleted, or not to be read: not as in the commit
            continue
    return found


def _blob(path: bytes, new: Callable[[bytes], Any]) -> bytes:
    with open(path, "rb") as file:
        made = new(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while data := file.read(CHUNK):
            made.update(data)
    text: str = made.hexdigest()
    return text.encode()
