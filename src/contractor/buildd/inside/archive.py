"""A tree of the supervisor's as a gzipped tar, and how large it is."""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import closing
from typing import Any

from contractor.build.inside.access import Opened
from contractor.sandbox.namespace import Inside
from contractor.store.pack import PackOptions, pack
from contractor.store.walk import walk

Args = dict[str, Any]

_LEVEL = 6  # as docker and pigz have it


def gzip_tree(inside: Inside, args: Args, fds: list[int]) -> dict[str, Any]:
    """A folder (None: the workspace) as a gzipped tar into the descriptor, with owners. epoch: later times become it.
    whiteouts: see PackOptions. Returns the sha256 of the tar (diff_id) and of the gzipped bytes (digest), both with
    their "sha256:", and how many files it has.
    """
    sha = hashlib.sha256()
    gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)  # 31: gzip's header, without a name or a time

    def put(data: bytes) -> None:
        sha.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(fds[0], view) :]

    options = PackOptions(mtime_limit=args["epoch"], owners=True, whiteouts=args["whiteouts"])
    with Opened(args["tree"] or f"{inside.state['work']}/ws") as root:
        done = pack(root.number, None, options, lambda data: put(gzip.compress(data)))
    put(gzip.flush())
    return {"diff_id": f"sha256:{done.digest}", "digest": f"sha256:{sha.hexdigest()}", "files": done.files}


def tree_size(inside: Inside, _args: Args, _fds: list[int]) -> dict[str, int]:
    """How many blocks of 4 KiB the content of the workspace's files takes, and how many entries there are."""
    blocks = entries = 0
    with Opened(f"{inside.state['work']}/ws") as root, closing(walk(root.number, None)) as tree:
        for found in tree:
            entries += 1
            if found.kind == "f":
                blocks += -(-os.stat(found.name, dir_fd=found.fd, follow_symlinks=False).st_size // 4096)
    return {"blocks": blocks, "entries": entries}
