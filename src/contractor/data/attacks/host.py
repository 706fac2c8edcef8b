# ruff: noqa: S104
# mypy: disable-error-code="import-not-found,no-any-return"
"""Reaching the host: its secrets, files, sockets, processes, and hosts beyond what the step was given."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from lib import Escaped, refused

Baits = dict[str, str]


def _search(name: str, baits: Baits) -> str:
    looked = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                content = file.read()
        except OSError:
            continue
        looked += 1
        for kind in ("secret", "store", "home"):
            if baits[kind].encode() in content:
                raise Escaped(f"/proc/{pid}/{name} shows the host's {kind}")
        if pid == "1" and name == "environ" and content:
            raise Escaped(f"/proc/1/environ is not empty: {content[:80]!r}")
    return f"{looked} processes, none tells anything"


def environ(baits: Baits) -> str:
    return _search("environ", baits)


def cmdline(baits: Baits) -> str:
    return _search("cmdline", baits)


def files(baits: Baits) -> str:
    seen = []
    tops = ("", "/proc/1/root", "/proc/1/cwd/../..", "/proc/self/root/..", "/../../..", "/workspace/../..")
    for top in tops:
        for path in (baits["file"], baits["store"], f"{baits['home']}/.ssh", "/etc/shadow", "/root/.bashrc"):
            try:
                if os.path.isdir(top + path):
                    found = " ".join(os.listdir(top + path))
                else:
                    with open(top + path, encoding="utf-8", errors="replace") as file:
                        found = file.read()
            except OSError as error:
                seen.append(error.strerror or "")
                continue
            own = path == "/etc/shadow" and "$" not in found  # the tree's own, without a password
            if found and not own and path not in ("/root/.bashrc",):
                raise Escaped(f"{top}{path} can be read")
    return ", ".join(sorted(set(seen)))


def services(_baits: Baits) -> str:
    """Sockets of the host's daemons, wherever they usually are."""
    places = ("/run/dbus", "/run/docker.sock", "/run/containerd", "/run/systemd", "/run/user", "/tmp/.X11-unix")
    found = [path for path in places if os.path.exists(path)]
    if found:
        raise Escaped(f"{found[0]} of the host is there")
    return "none is there"


def loopback(baits: Baits) -> str:
    port = int(baits["port"])
    addresses = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::ffff:127.0.0.1", baits["address"])
    return refused(*((f"{host}", _connecting(host, port)) for host in addresses))


def abstract(baits: Baits) -> str:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect("\0" + baits["abstract"])

    return refused(("connect", connect))


def interfaces(_baits: Baits) -> str:
    found = [name for _index, name in socket.if_nameindex() if name != "lo"]
    if found:
        raise Escaped(f"the network interface {found[0]} is visible")
    return "only lo"


def direct(_baits: Baits) -> str:
    """Any address beyond the sandbox, and names."""
    return refused(
        ("1.1.1.1", _connecting("1.1.1.1", 443)),
        ("2606:4700::1111", _connecting("2606:4700::1111", 443)),
        ("169.254.169.254", _connecting("169.254.169.254", 80)),
        ("a name", lambda: socket.getaddrinfo("deb.debian.org", 80)),
    )


def proxy(baits: Baits) -> str:
    """Through the door: hosts and ports that are not on the list, the host's loopback among them."""
    targets = (
        f"127.0.0.1:{baits['port']}", f"localhost:{baits['port']}", f"[::1]:{baits['port']}", "169.254.169.254:80",
        "127.1:80", "2130706433:80", "example.org:443", "allowed.invalid:22", "allowed.invalid.example.org:80",
    )  # fmt: skip
    answers = set()
    for target in targets:
        for request in (f"CONNECT {target} HTTP/1.1", f"GET http://{target}/ HTTP/1.1"):
            with socket.create_connection(("127.0.0.1", 3128), timeout=5) as sock:
                sock.sendall(f"{request}\r\nHost: {target}\r\n\r\n".encode())
                answer = sock.recv(200).split(b"\r\n")[0].decode(errors="replace")
            if " 2" in answer[:12] or " 3" in answer[:12]:
                raise Escaped(f"{request}: {answer}")
            answers.add(answer[:12])
    return ", ".join(sorted(answers))


def _connecting(host: str, port: int) -> Callable[[], None]:
    def connect() -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as sock:
            sock.settimeout(2)
            sock.connect((host, port))

    return connect


def families(_baits: Baits) -> str:
    kinds = {"VSOCK": 40, "PACKET": 17, "ALG": 38, "XDP": 44, "BLUETOOTH": 31, "TIPC": 30, "RDS": 21, "KEY": 15,
             "CAN": 29, "QIPCRTR": 42, "SMC": 43, "NFC": 39, "PPPOX": 24, "KCM": 41}  # fmt: skip

    def make(family: int) -> Callable[[], None]:
        return lambda: socket.socket(family, socket.SOCK_DGRAM).close()

    return refused(*((f"AF_{name}", make(number)) for name, number in kinds.items()), expect=(97, 1))


def raw(_baits: Baits) -> str:
    return refused(
        ("raw IP", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()),
        ("raw IPv6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58).close()),
    )


def signals(baits: Baits) -> str:
    return refused(
        ("kill the caller", lambda: os.kill(int(baits["pid"]), 0)),
        ("pidfd of the caller", lambda: os.close(os.pidfd_open(int(baits["pid"])))),
        ("kill a group of the host", lambda: os.killpg(int(baits["pid"]), signal.SIGCONT)),
        expect=(3,),
    )
