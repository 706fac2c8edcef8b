"""What runs, and how it ended: the values between the executor and any sandbox (bwrap, a VM, a builder elsewhere)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from contractor.core.values import Value
from contractor.spec.model import Limits

BUILD_ID = 1000  # the user and group that shell steps run as, inside
ROOT_ID = 0

if TYPE_CHECKING:
    import socket

    from contractor.sandbox.terminal import Terminal

PROXY_ADDRESS = ("127.0.0.1", 3128)  # inside a networked step; its other end is the recording proxy


class Mount(Value, frozen=True):
    """bind, ro-bind and dev-bind (devices work) show `source`; tmpfs is empty memory of at most `size` bytes; file
    holds `data`, read-only; symlink points to `source`; proc and dir are what they say."""

    kind: str
    target: str
    source: str = ""
    size: int = 0
    mode: int = 0o755
    data: bytes = b""


class SandboxSpec(Value, frozen=True):
    """One isolated process. Everything that it can see or use is named here; the rest does not exist for it."""

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]  # in order; the first is the root
    env: dict[str, str]
    limits: Limits
    user: int = BUILD_ID
    group: int = -1  # the user's number
    cwd: str = "/workspace"
    network: bool = False  # True: a network of its own whose only door is the proxy's listener
    trusted: bool = False  # may mount inside its own namespaces: debootstrap, which makes a tree
    hostname: str = "contractor"
    terminal: bool = False  # its input and output are a terminal of its own, which controls its session

    @property
    def gid(self) -> int:
        return self.user if self.group < 0 else self.group


class Exit(Value, frozen=True):
    """How a sandboxed process ended.

    started: the command was executed; False means that the sandbox itself failed, and `trouble` says how.
    code: its exit code, 128 + signal when one killed it. limit: the limit that ended it (time, memory, disk, files,
    processes, file-size, log) or "aborted", else empty. Seconds; max_rss in bytes. strays: packets that had nowhere to
    go, and datagrams to a name server that is not there: what it sent past the proxy.
    """

    started: bool
    code: int
    seconds: float
    cpu_seconds: float = 0.0
    max_rss: int = 0
    limit: str = ""
    trouble: str = ""
    strays: tuple[int, int] = (0, 0)


class Tier(Value, frozen=True):
    """How steps are isolated on this machine, and what that means; chosen by probe.py, shown in plan and record."""

    name: str  # id-range, root-range, one-id
    summary: str
    degraded: bool = False  # one id: owners are faked, and steps run as the invoking user's own id
    memory: str = "watched"  # cgroup-v1, cgroup-v2, watched


class Caller:
    """What the caller does while a step runs. on_output may raise OutOfLimits (the log's limit) to end the step.

    terminal: where the person sits, for a spec with a terminal; the output goes there and on_output is not called.
    following: asked, while the step runs, for what is most likely to run next: its sandbox is set up meanwhile.
    """

    def __init__(
        self,
        on_output: Callable[[bytes], None],
        on_listener: Callable[[socket.socket], None] | None = None,
        tick: Callable[[], None] | None = None,
        terminal: Terminal | None = None,
        following: Callable[[], SandboxSpec | None] | None = None,
    ) -> None:
        self.on_output = on_output
        self.on_listener = on_listener
        self.tick = tick
        self.terminal = terminal
        self.following = following
