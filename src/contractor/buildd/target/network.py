"""How a target's commands reach the network: not at all, the archives' hosts, or the build's own proxy."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from contractor.buildd.model import Job
from contractor.buildd.target.files import TargetFiles, User

if TYPE_CHECKING:
    from contractor.build.network import Door
    from contractor.buildd.log import Log
    from contractor.buildd.target import forward
    from contractor.buildd.target.forward import BuilderProxy
    from contractor.core.fetch import Fetch

Network = bool | Literal["archives"]

HOME = "/home/buildd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV = {
    "PATH": PATH,
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "SHELL": "/bin/sh",
    "TERM": "dumb",
}


class TargetNetwork(TargetFiles):
    """The part of a target that is about the network, and what commands find in their environment.

    allow: the hosts that networked commands may reach; network_env: what they find in their environment besides;
    proxy: the build's own.
    """

    def __init__(self, job: Job, log: Log, arguments: Any) -> None:
        self.job = job
        self.log = log
        self.arguments = arguments
        self.allow: tuple[str, ...] = ()
        self.network_env: dict[str, str] = {}
        self.proxy: BuilderProxy | None = None
        self._said: deque[str] = deque(maxlen=10_000)

    def environment(self, env: Mapping[str, str], user: User, network: Network) -> dict[str, str]:
        who = {"HOME": "/root", "USER": "root", "LOGNAME": "root"}
        if user == "buildd":
            who = {"HOME": HOME, "USER": "buildd", "LOGNAME": "buildd"}
        return {**_ENV, **who, **self.network_environment(network), **env}

    def network_environment(self, network: Network) -> dict[str, str]:
        """What a networked command finds in its environment; nothing for another."""
        if not network:
            return {}
        from contractor.plan.environment import PROXY

        return PROXY if network == "archives" else {**PROXY, **self.network_env}

    def use_proxy(self) -> None:
        """Commands of the build reach the network through its own proxy, where the arguments name one."""
        if getattr(self.arguments, "proxy_url", ""):
            from contractor.buildd.target import forward

            self.proxy = forward.BuilderProxy(self.arguments, self.say_soon)
            self.network_env.update(forward.ENVIRONMENT)

    def revoke_proxy_token(self) -> None:
        """End the builder proxy's token before the build ends, if there is one."""
        if self.proxy is not None:
            self.proxy.revoke()
            self._say()

    def door(self, network: Network) -> Door | forward.Door:
        if network is True and self.proxy is not None:
            return self.proxy.door()
        from contractor.build.network import Access, Door

        upstream = self.job.settings.get("apt", "") if network == "archives" else ""
        return Door(Access(self.allow, upstream), self._fetched)

    def _fetched(self, fetch: Fetch) -> None:
        """From the proxy's thread."""
        if fetch.verdict == "refused":
            self.say_soon(f"{fetch.method} {fetch.url}: refused: {fetch.reason}")

    def say_soon(self, line: str) -> None:
        """A line for the log, from any thread."""
        self._said.append(line)

    def _say(self) -> None:
        while self._said:
            self.log.line(self._said.popleft())
