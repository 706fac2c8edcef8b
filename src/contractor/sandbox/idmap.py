"""Which ids a step may have: the maps of the supervisor's user namespace, by tier.

    tier        id inside -> id outside
    id-range    0..65535 -> the user's subordinate ids      65536 -> the invoking user (the supervisor's files only)
    root-range  0..65535 -> a high range without an owner   65536 -> root              (the supervisor's files only)
    one-id      0 -> the invoking user

Steps run in a namespace nested in this one that has 0..65535 only: 65536 is not there, so no step can become, or be
counted as, the invoking user (sandbox.md, pitfalls 26 and 27). With one id there is no choice, and the tier says so.
"""

from __future__ import annotations

import os
import pwd

from contractor.core.values import Value

RANGE = 65536
OWNER_ID = 65536  # inside the supervisor's namespace: whoever called Contractor
_ROOT_RANGE_START = 200000

Extent = tuple[int, int, int]  # inside, outside, count


class IdMaps(Value, frozen=True):
    tier: str
    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]


def subordinate(path: str, name: str, number: int) -> int | None:
    """The start of the first range of at least 65536 ids that /etc/subuid or /etc/subgid gives to a user."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        who, _, rest = line.strip().partition(":")
        start, _, count = rest.partition(":")
        if who in (name, str(number)) and start.isdigit() and count.isdigit() and int(count) >= RANGE:
            return int(start)
    return None


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def range_maps() -> IdMaps | None:
    """The maps with a whole range of ids for the calling user, or None when the user has none."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        start = _free_high_range()
        if start is None:
            return None
        extents = ((0, start, RANGE), (OWNER_ID, 0, 1))
        return IdMaps("root-range", extents, extents)
    name = user_name(uid)
    uids, gids = subordinate("/etc/subuid", name, uid), subordinate("/etc/subgid", name, uid)
    if uids is None or gids is None:
        return None
    return IdMaps("id-range", ((0, uids, RANGE), (OWNER_ID, uid, 1)), ((0, gids, RANGE), (OWNER_ID, gid, 1)))


def one_id_maps() -> IdMaps:
    return IdMaps("one-id", ((0, os.getuid(), 1),), ((0, os.getgid(), 1),))


def _free_high_range() -> int | None:
    """Real root may map any id; root of a container only those that the container has (user_namespaces(7))."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        extents = [tuple(int(word) for word in line.split()) for line in file]
    for inside, _outside, count in extents:
        start = max(_ROOT_RANGE_START, inside)
        if inside + count - start >= RANGE:
            return start
        if count > RANGE and inside + count - RANGE > 0:
            return inside + count - RANGE
    return None


def text(extents: tuple[Extent, ...]) -> bytes:
    """The lines that /proc/PID/uid_map wants."""
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in extents).encode()


def nested(maps: IdMaps, inside: int) -> bytes:
    """The map of a step's namespace within the supervisor's: all but the owner, or the one id under another name."""
    if maps.tier == "one-id":
        return f"{inside} 0 1\n".encode()
    return f"0 0 {RANGE}\n".encode()
