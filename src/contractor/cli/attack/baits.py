"""What attacks look for on the host: set out before them, and looked at after each."""

from __future__ import annotations

import contextlib
import os
import socket


class Baits:
    """What an attack looks for on the host, and how it is seen that it was found."""

    def __init__(self, folder: str, store: str) -> None:
        self._file = f"{folder}/bait"
        name = f"contractor-bait-{os.urandom(8).hex()}"
        self.values = {
            "secret": os.urandom(16).hex(),
            "store": store,
            "home": os.path.expanduser("~"),
            "file": self._file,
            "abstract": name,
            "pid": str(os.getpid()),
            "address": "127.0.0.1",
        }

    def __enter__(self) -> Baits:
        with open(self._file, "w", encoding="ascii") as file:
            file.write(self.values["secret"])
        os.chmod(self._file, 0o644)
        self._servers = [socket.socket(), socket.socket(socket.AF_UNIX)]
        self._servers[0].bind(("0.0.0.0", 0))  # noqa: S104 - for a second, and nothing is ever accepted
        self._servers[1].bind("\0" + self.values["abstract"])
        for server in self._servers:
            server.listen(8)
            server.setblocking(False)
        self.values["port"] = str(self._servers[0].getsockname()[1])
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("192.0.2.1", 9))  # sends nothing: it tells this machine's own address
            self.values["address"] = sock.getsockname()[0]
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self._servers:
            server.close()

    def reached(self) -> str:
        """Which server somebody reached since the last look."""
        for server, name in zip(self._servers, ("the host's loopback", "an abstract socket"), strict=True):
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                return name
        return ""
