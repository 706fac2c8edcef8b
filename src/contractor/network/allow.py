"""The allow-list: which `host:port` a step may reach. Pure.

An entry is `host` (ports 80 and 443), `host:port`, or either with `*.` in front, which stands for every name below
that domain but not for the domain itself. Comparison is exact, on lower-cased ASCII names.
"""

from __future__ import annotations

import ipaddress
import re

from contractor.core.errors import Rejected
from contractor.core.values import Value

DEFAULT_PORTS = (80, 443)

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Rule(Value, frozen=True):
    """One entry. host is normalised and has no `*.`; wildcard says that it had."""

    host: str
    ports: tuple[int, ...]
    wildcard: bool = False


class AllowList:
    """The entries of one step; raises Rejected for an entry that is none."""

    def __init__(self, entries: tuple[str, ...]) -> None:
        self._rules = tuple(parse_rule(entry) for entry in entries)

    def find(self, host: str, port: int) -> Rule | None:
        """The rule that allows a normalised host and port; an exact rule wins over a wildcard."""
        found = [rule for rule in self._rules if _names(rule, host) and port in rule.ports]
        return min(found, key=lambda rule: rule.wildcard, default=None)

    def refusal(self, host: str, port: int) -> str:
        """Why `find` found nothing: one sentence that names the host, and the ports that it is allowed on."""
        ports = sorted({port for rule in self._rules if _names(rule, host) for port in rule.ports})
        if not ports:
            return f"the host {host} is not on this step's allow-list"
        return f"port {port} of {host} is not on this step's allow-list, only {', '.join(map(str, ports))}"


def _names(rule: Rule, host: str) -> bool:
    return host.endswith("." + rule.host) if rule.wildcard else host == rule.host


def parse_rule(entry: str) -> Rule:
    """An allow-list entry as a rule; raises Rejected."""
    wildcard = entry.startswith("*.")
    try:
        host, port = parse_authority(entry[2:] if wildcard else entry)
        if wildcard and is_address(host):
            raise ValueError("a wildcard stands for names, not for addresses")
    except ValueError as error:
        raise Rejected(
            f"{entry!r} cannot be on an allow-list: {error}",
            hint="write example.org, example.org:8080 or *.example.org",
        ) from None
    return Rule(host, DEFAULT_PORTS if port is None else (port,), wildcard)


def parse_authority(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[address]` or `[address]:port` as a normalised host and its port; raises ValueError."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"{text!r} is not [address]:port")
        return str(ipaddress.IPv6Address(host)), _port(port[1:]) if port else None
    if text.count(":") > 1:
        return str(ipaddress.IPv6Address(text)), None
    host, colon, port = text.partition(":")
    return _host(host), _port(port) if colon else None


def _host(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not text.isascii() or len(name) > 253 or not _NAME.match(name):
        raise ValueError(f"{text!r} is not a host name")
    return name


def _port(text: str) -> int:
    if not _PORT.match(text) or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def join_authority(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_address(host: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_private(address: str) -> bool:
    """True unless an address is on the public internet, also when an IPv6 form wraps it (RFC 4291, 3056, 6052)."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_private(str(inner))
    return not ip.is_global or ip.is_multicast or ip.is_reserved
