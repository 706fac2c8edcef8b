# ruff: noqa: TID251
# mypy: disable-error-code="import-not-found,no-any-return"
"""Using too much: each of these is ended by a limit, or leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time

Baits = dict[str, str]
_MIB = 1 << 20


def fork_bomb(_baits: Baits) -> str:
    """Every process forks for as long as it can, and holds on."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            os.fork()
        except OSError:
            time.sleep(0.2)
    os._exit(1)


def big_file(_baits: Baits) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
    with open("/workspace/big", "wb") as file:
        for _ in range(10 * 1024):
            file.write(bytes(_MIB))
    return "10 GiB were written"


def sparse_file(_baits: Baits) -> str:
    """A file of 10 TB that holds nothing."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.truncate(os.open("/workspace/sparse", os.O_WRONLY | os.O_CREAT), 10 << 40)
    return "10 TiB were claimed"


def disk(_baits: Baits) -> str:
    for number in range(10_000):
        with open(f"/workspace/part-{number}", "wb") as file:
            file.write(os.urandom(_MIB) * 8)
    return "80 GiB were written"


def hidden_disk(_baits: Baits) -> str:
    """Files without a name: no walk through the workspace finds them."""
    held = []
    for number in range(1000):
        file = open(f"/workspace/hidden-{number}", "wb")  # noqa: SIM115
        os.unlink(file.name)
        file.write(os.urandom(_MIB) * 16)
        file.flush()
        held.append(file)
        time.sleep(0.02)
    return f"{len(held) * 16} MiB were written"


def many_files(_baits: Baits) -> str:
    for folder in range(1000):
        os.mkdir(f"/workspace/{folder}")
        for number in range(1000):
            os.close(os.open(f"/workspace/{folder}/{number}", os.O_WRONLY | os.O_CREAT))
    return "a million files were made"


def output(_baits: Baits) -> str:
    for _ in range(1024):
        os.write(1, b"x" * _MIB)
    return "1 GiB was written"


def memory(_baits: Baits) -> str:
    held = []
    for _ in range(64):
        held.append(os.urandom(1) * (16 * _MIB))
        time.sleep(0.05)
    return f"{len(held) * 16} MiB were held"


def hidden_memory(_baits: Baits) -> str:
    """Memory that no process maps: files in memory."""
    held = []
    for _ in range(32):
        fd = os.memfd_create("hidden")
        for _ in range(2):
            os.write(fd, bytes(8 * _MIB))
        held.append(fd)
        time.sleep(0.1)
    return f"{len(held) * 16} MiB were held"


def temporary(_baits: Baits) -> str:
    """What /tmp, /dev/shm and the others in memory hold."""
    for folder in ("/tmp", "/dev/shm", "/run", "/build"):  # /var/tmp is /tmp
        try:
            with open(f"{folder}/fill", "wb") as file:
                for _ in range(40):
                    file.write(bytes(8 * _MIB))
                    file.flush()
                    time.sleep(0.005)
        except OSError:
            continue
    return "the directories in memory are full"


def ignore_signals(_baits: Baits) -> str:
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)


def chatter(_baits: Baits) -> str:
    while True:
        os.write(1, b"still here\n")
        time.sleep(0.01)


def runaway(_baits: Baits) -> str:
    """Its own session, twice forked, and every signal ignored."""
    if os.fork():
        return ignore_signals(_baits)
    os.setsid()
    if os.fork():
        os._exit(0)
    return ignore_signals(_baits)


def daemon(_baits: Baits) -> str:
    """Ends, and leaves a daemon that holds the output open and writes into the workspace."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, b"contractor-left", 0, 0, 0)
            os.write(write, b"x")
            for second in range(600):
                time.sleep(0.1)
                with open("/workspace/left-behind", "a", encoding="ascii") as file:
                    file.write(f"{second}\n")
        os._exit(0)
    os.read(read, 1)
    return "the daemon runs"


def quick_exit(_baits: Baits) -> str:
    """Sockets, pipes and children that outlive the main process by a moment."""
    for _ in range(20):
        if os.fork() == 0:
            one, _other = socket.socketpair()
            one.recv(1)
    return "20 children wait"
