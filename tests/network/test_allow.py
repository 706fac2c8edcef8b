"""Which hosts an allow-list names, and which addresses are private."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.core.errors import Rejected
from contractor.network.allow import AllowList, is_address, is_private, parse_authority

LABEL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
NAME = st.lists(LABEL, min_size=2, max_size=4).map(".".join).filter(lambda name: not is_address(name))
PORT = st.integers(1, 65535)


def allows(entry: str, host: str, port: int) -> bool:
    return AllowList((entry,)).find(host, port) is not None


@given(NAME, PORT)
def test_a_bare_host_means_ports_80_and_443(host: str, port: int) -> None:
    assert allows(host, host, port) == (port in (80, 443))
    assert allows(host.upper(), host, 80)


@given(NAME, PORT, PORT)
def test_a_port_means_exactly_that_port(host: str, listed: int, port: int) -> None:
    assert allows(f"{host}:{listed}", host, port) == (port == listed)


@given(NAME, NAME)
def test_an_exact_host_is_no_other_host(listed: str, host: str) -> None:
    assert allows(listed, host, 443) == (listed == host)


@given(LABEL, NAME)
def test_a_wildcard_means_names_below_only(label: str, domain: str) -> None:
    assert allows(f"*.{domain}", f"{label}.{domain}", 443)
    assert allows(f"*.{domain}", f"{label}.{label}.{domain}", 443)
    assert not allows(f"*.{domain}", domain, 443)
    assert not allows(f"*.{domain}", f"{label}{domain}", 443)
    assert not allows(f"*.{domain}", f"{label}.{domain}.{label}x", 443)


def test_an_exact_rule_wins_over_a_wildcard() -> None:
    rule = AllowList(("*.example.org", "a.example.org")).find("a.example.org", 443)
    assert rule is not None
    assert not rule.wildcard


def test_a_refusal_names_host_and_ports() -> None:
    allow = AllowList(("a.org", "a.org:8080"))
    assert allow.refusal("b.org", 80) == "the host b.org is not on this step's allow-list"
    assert allow.refusal("a.org", 22) == "port 22 of a.org is not on this step's allow-list, only 80, 443, 8080"


NO_ENTRIES = [
    "",
    "*",
    "*.",
    "**.org",
    "a..b",
    "-a.org",
    "a/b",
    "a:0",
    "a:65536",
    "a:",
    "a:x",
    "http://a",
    "u@a",
    "ä.org",
]
NO_ENTRIES += ["*.1::2", "[::1", "[::1]x", "a b", "a\n", "*.*.org"]


@pytest.mark.parametrize("entry", NO_ENTRIES)
def test_what_is_no_entry_is_rejected(entry: str) -> None:
    with pytest.raises(Rejected) as caught:
        AllowList((entry,))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Example.ORG.", ("example.org", None)),
        ("[::1]:80", ("::1", 80)),
        ("[0:0::1]", ("::1", None)),
        ("::1", ("::1", None)),
        ("1.2.3.4:5", ("1.2.3.4", 5)),
    ],
)
def test_parse_authority(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse_authority(text) == parsed


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "2002:7f00:1::",
     "64:ff9b::7f00:1", "fe80::1%eth0"],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["151.101.2.132", "2a04:4e42::644", "::ffff:151.101.2.132", "64:ff9b::9765:284"])
def test_public_addresses(address: str) -> None:
    assert not is_private(address)
