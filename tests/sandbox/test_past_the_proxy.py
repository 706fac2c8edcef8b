"""Every way on which a step looks for the network past its door leads nowhere, and the build says that it was tried."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import Account

_TRY = """python3 - <<'EOP'
import socket
def send(family, kind, address):
    with socket.socket(family, kind) as end:
        end.settimeout(5)
        end.connect(address)
        end.send(b"a")
def ask(text):
    with socket.create_connection(("127.0.0.1", 3128), 5) as end:
        end.sendall(text)
        answer = end.recv(100)
        assert b" 403 " in answer, answer
def look_up():
    socket.getaddrinfo("example.org", 80)
four, six, tcp, udp = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
try:
    {way}
except OSError:
    print("it failed")
else:
    print("it went through")
EOP"""
PAST = {
    "tcp to an IPv4 address": ('send(four, tcp, ("192.0.2.1", 80))', "1 connection past the proxy failed"),
    "udp to an IPv4 address": ('send(four, udp, ("192.0.2.1", 53))', "1 connection past the proxy failed"),
    "tcp to an IPv6 address": ('send(six, tcp, ("2001:db8::1", 80))', "1 connection past the proxy failed"),
    "udp to an IPv6 address": ('send(six, udp, ("2001:db8::1", 53))', "1 connection past the proxy failed"),
    "the look-up of a name": ("look_up()", "past the proxy failed"),
}
REFUSED = {
    "a host that is not allowed": (
        r'ask(b"GET http://other.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n")',
        "other.example",
    ),
    "a tunnel that is not allowed": (
        r'ask(b"CONNECT tunnel.example:443 HTTP/1.1\r\nHost: tunnel.example:443\r\n\r\n")',
        "tunnel.example",
    ),
    "an IPv4 literal": (r'ask(b"GET http://192.0.2.7/ HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n")', "192.0.2.7"),
    "an IPv6 literal": (
        r'ask(b"CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n\r\n")',
        "2001:db8::7",
    ),
}


def _steps(ways: dict[str, tuple[str, str]], **more: object) -> list[dict[str, Any]]:
    return [{"name": name, "shell": _TRY.format(way=way), **more} for name, (way, _says) in ways.items()]


def _build(account: Account, name: str, steps: list[dict[str, Any]]) -> tuple[int, str, list[dict[str, Any]]]:
    """Exit code, what was said, and the steps of the record that are ours."""
    path = account.home / f"{name}.yaml"
    tree = {"create-systree": {"artifact": account.tree}}
    path.write_text(json.dumps({"contractor": 1, "name": name, "steps": [tree, *steps]}))
    path.chmod(0o644)
    done = account.run("build", str(path), "--fresh", "--plain", "--events", "-")
    build = json.loads(done.stdout.splitlines()[0])["build"]
    record = json.loads((account.store / "builds" / build / "record.json").read_text())
    return done.returncode, done.stderr.decode(), record["steps"][1:]


def test_what_goes_past_the_proxy_fails_and_is_told_for_each_way(account: Account) -> None:
    code, said, steps = _build(account, "past", _steps(PAST, network=["example.invalid"]))
    assert code == 0, said
    assert said.count("it failed") == len(PAST)
    for number, (step, (name, (_way, says))) in enumerate(zip(steps, PAST.items(), strict=True), 2):
        (told,) = (line for line in said.splitlines() if f"step {number}, {name}: " in line)
        assert says in told
        (fetch,) = step["fetches"]
        assert (fetch["method"], fetch["verdict"]) == ("DIRECT", "refused")
        assert fetch["reason"] in told


def test_what_the_proxy_refuses_is_told_at_once_and_at_the_end(account: Account) -> None:
    code, said, steps = _build(account, "refused", _steps(REFUSED, network=["example.invalid"]))
    assert code == 0, said
    for step, (_way, host) in zip(steps, REFUSED.values(), strict=True):
        (fetch,) = step["fetches"]
        assert (fetch["verdict"], host in fetch["url"]) == ("refused", True), fetch
        at_once = [line for line in said.splitlines() if host in line and "may not reach" in line]
        assert len(at_once) == 1, said
    end = " ".join(said[said.index("Network access was refused to ") :].split())
    assert all(host in end for _way, host in REFUSED.values()), end


def test_a_step_without_network_that_tries_is_told_of_even_when_it_succeeds(account: Account) -> None:
    code, said, _ = _build(account, "without", [*_steps(PAST), {"name": "quiet", "shell": "true"}])
    assert code == 0, said
    assert said.count("it failed") == len(PAST)
    for number, name in enumerate(PAST, 2):
        assert f"step {number}, {name}: it tried to reach the network, and has none: " in said
    assert "quiet: it tried" not in said


@pytest.fixture
def listening(account: Account) -> Iterator[dict[str, str]]:
    """Services of the host: on an abstract socket, on one in a folder, on its loopback; as a step would name them."""
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named, socket.socket() as loopback:
        mark = f"contractor-test-{account.kind}-{id(abstract)}"
        abstract.bind(f"\0{mark}")
        path = account.home / "service"
        path.unlink(missing_ok=True)
        named.bind(str(path))
        path.chmod(0o777)
        loopback.bind(("127.0.0.1", 0))
        for service in (abstract, named, loopback):
            service.listen()
        yield {
            "abstract": rf'send(socket.AF_UNIX, tcp, "\0{mark}")',
            "named": f'send(socket.AF_UNIX, tcp, "{path}")',
            "loopback": f'send(four, tcp, ("127.0.0.1", {loopback.getsockname()[1]}))',
        }
        for service in (abstract, named, loopback):
            service.setblocking(False)
            with pytest.raises(BlockingIOError):
                service.accept()


@pytest.mark.parametrize("network", [[], ["example.invalid"]])
def test_services_of_the_host_are_not_there(account: Account, listening: dict[str, str], network: list[str]) -> None:
    ways = {name: (way, "") for name, way in listening.items()}
    more = {"network": network} if network else {}
    code, said, _ = _build(account, "host", _steps(ways, **more))
    assert code == 0, said
    assert said.count("it failed") == len(ways), said
