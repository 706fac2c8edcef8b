"""Where the supervisor mounts what a step gets: a place that a step's user may walk to.

The store is the invoking user's alone, so a step cannot reach its workspace by the store's path.
"""

STAGE = "/sys"  # a directory that exists everywhere and that the supervisor has no use for
TREE = f"{STAGE}/tree"
WORKSPACE = f"{STAGE}/ws"
