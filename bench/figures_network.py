"""Figures of what passes the recording proxy, and of builds that need nothing of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from bench.figures import Figure, locked_package
from bench.machine import Machine, median
from bench.proxy_load import fetch, running

_LARGE, _SMALL, _MANY = 1_000_000_000, 100_000, 4000


def proxy(machine: Machine) -> list[Figure]:
    """1 GB in one answer, and 100 kB answers on four connections: directly, and through the proxy, which hashes and
    keeps them; in turns."""
    captured = machine.folder / "captured"
    rates: dict[str, list[float]] = {"direct": [], "large": [], "small": []}
    for turn in range(3):
        store = captured / str(turn)  # nothing is deleted in between: ext4 makes files slowly where many just went
        with running("serve", str(_LARGE)) as server, running("proxy", str(server), str(store)) as port:
            url = f"http://127.0.0.1:{server}/x"
            rates["direct"].append(_LARGE / fetch(server, "/x", 1, _LARGE) / 1e6)
            rates["large"].append(_LARGE / fetch(port, url, 1, _LARGE) / 1e6)
        with running("serve", str(_SMALL)) as server, running("proxy", str(server), str(store)) as port:
            rates["small"].append(_MANY / fetch(port, f"http://127.0.0.1:{server}/x", _MANY, _SMALL))
    shutil.rmtree(captured)
    direct, large, small = (median(rates[name]) for name in ("direct", "large", "small"))
    ratio = large / direct
    words = f"{ratio:.2f}x ({large:.0f} of {direct:.0f} MB/s)"
    return [
        Figure("proxy: a GET of 1 GB, hashed and kept", "at least 0.2x direct", words, ratio >= 0.2),
        Figure("proxy: GETs of 100 kB", "at least 1500 a second", f"{small:.0f} a second", small >= 1500),
    ]


def locked(machine: Machine) -> list[Figure]:
    """examples/debian-package, every step but the base: online without a lock, and offline under one; in turns."""
    spec = locked_package(machine, "debian-package")
    online, offline = [], []
    for _ in range(3):
        online.append(machine.timed(machine.build(spec, "--unlocked", "--fresh")))
        offline.append(machine.timed(machine.build(spec, "--locked", "--offline", "--fresh")))
    ratio = median(offline) / median(online)
    words = f"{ratio:.2f}x ({median(offline):.1f} s, {median(online):.1f} s)"
    return [Figure("examples/debian-package, locked and offline", "1.0x online", words, ratio <= 1.0)]


ALL: dict[str, Callable[[Machine], list[Figure]]] = {"proxy": proxy, "locked": locked}
