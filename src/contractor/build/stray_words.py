"""What a step sent past the proxy, or without having any network, in words; all of it failed."""

from __future__ import annotations

from contractor.core.words import count
from contractor.sandbox.spec import Exit


def attempts(exit_: Exit) -> str:
    """ "3 connections and 2 look-ups of names", or nothing."""
    connections, lookups = exit_.strays
    parts = [count(connections, "connection")] if connections else []
    parts += ["1 look-up of a name" if lookups == 1 else f"{lookups} look-ups of names"] if lookups else []
    return " and ".join(parts)


def past_the_proxy(exit_: Exit) -> str:
    """Of a step that has network."""
    text = attempts(exit_)
    return f"{text} past the proxy failed: only http_proxy and https_proxy lead out" if text else ""


def without_network(exit_: Exit) -> tuple[str, ...]:
    """Of a step that has none: where it failed, perhaps for that reason."""
    text = attempts(exit_)
    return (f"it tried to reach the network, and has none: {text}",) if text else ()
