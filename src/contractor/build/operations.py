"""What the supervisor does when it is called: everything that touches files of many owners.

These functions run inside the user namespace, as its root; paths in their arguments are absolute and made by the
executor, never by a step. A build's place is

    work/<build>/place/ws         the workspace, shown to steps as /workspace
    work/<build>/place/points-N   laid over a read-only tree: directories to mount on, and a few files of /etc
    work/<build>/place/upper-N    what a step writes into the tree, before it becomes a layer

and, in the supervisor's mounts only, STAGE/ws and STAGE/tree: a step's user may not walk the way to the store, which
is the invoking user's alone, so what a step gets is mounted where it may.
"""

from __future__ import annotations

from contractor.build.inside import content, leaks, life, tree, workspace
from contractor.sandbox.namespace import Operation
from contractor.sandbox.terminal import open_inside
from contractor.sandbox.trial import try_overlay_inside

OPERATIONS: dict[str, Operation] = {
    "begin": life.begin,
    "show": life.show,
    "run": life.run,
    "terminal": open_inside,
    "usage": life.usage_of,
    "remove": life.remove,
    "end": life.end,
    "try-overlay": try_overlay_inside,
    "restore": workspace.restore,
    "save": workspace.save,
    "changed": workspace.changed,
    "digests": content.digests,
    "leaks": leaks.leaks,
    "empty": workspace.empty,
    "list": workspace.list_entries,
    "unpack": workspace.unpack_archive,
    "unpack-file": workspace.unpack_file,
    "place": workspace.place,
    "pack": workspace.pack_archive,
    "date": workspace.date,
    "own-workspace": workspace.own_workspace,
    "mount-tree": tree.mount_tree,
    "tree-changed": tree.tree_changed,
    "unmount-tree": tree.unmount_tree,
    "commit-layer": tree.commit_layer,
    "unpack-tree": tree.unpack_tree,
    "adopt-workspace": tree.adopt_workspace,
    "exist-in-tree": tree.exist_in_tree,
    "packages": tree.packages,
}
