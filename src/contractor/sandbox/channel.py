"""Messages and descriptors between Contractor and its helper inside the namespaces.

A message is msgpack behind a length of four bytes; descriptors travel with its first byte (unix(7), SCM_RIGHTS).
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")
_FDS_MAX = 16


class Channel:
    """One end of a connected pair; closing it ends the helper."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._encoder = msgspec.msgpack.Encoder()

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return Channel(one), Channel(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        body = self._encoder.encode(message)
        data = _LENGTH.pack(len(body)) + body
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self._socket.sendmsg([data], rights)
        if sent < len(data):
            self._socket.sendall(memoryview(data)[sent:])

    def receive(self) -> tuple[Any, list[int]]:
        """The next message and its descriptors (the caller closes them); EOFError when the other end is gone."""
        fds: list[int] = []
        try:
            head = self._exactly(_LENGTH.size, fds)
            body = self._exactly(_LENGTH.unpack(head)[0], fds)
        except (EOFError, OSError) as error:
            close_all(fds)
            raise EOFError("the other end of the channel is gone") from error
        return msgspec.msgpack.decode(body), fds

    def _exactly(self, size: int, fds: list[int]) -> bytes:
        parts: list[bytes] = []
        while size:
            data, rights, _flags, _address = self._socket.recvmsg(
                min(size, 1 << 20), socket.CMSG_SPACE(4 * _FDS_MAX), socket.MSG_CMSG_CLOEXEC
            )
            if not data:
                raise EOFError
            for level, kind, raw in rights:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    received = array.array("i")
                    received.frombytes(raw[: len(raw) - len(raw) % received.itemsize])
                    fds.extend(received)
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
