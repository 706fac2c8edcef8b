"""Addresses of hosts, looked up once a build: a name that is changed meanwhile (DNS rebinding) leads nowhere else."""

from __future__ import annotations


class Names:
    """Used from the threads of the build's proxies: the first answer that gets in is everybody's. A look-up that
    failed is not kept."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}

    def look_up(self, host: str) -> tuple[str, ...]:
        """The host's addresses, best first; may block; raises OSError."""
        from contractor.network.dial import system_resolver

        known = self._known.get(host)
        if known is None:
            found = tuple(system_resolver(host))
            known = self._known.setdefault(host, found) if found else found
        return known
