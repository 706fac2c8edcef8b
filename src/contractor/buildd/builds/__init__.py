"""The table of build types: a row a tag, in the order in which info() lists them.

A build type's module has `build(target, arguments) -> str`, the name of a BuildStatus; it is imported by the worker of
such a build alone.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from contractor.buildd.model import BuildStatus
from contractor.core.values import Value

_FAILED = {0: BuildStatus.OK, 200: BuildStatus.PACKAGEFAIL, 201: BuildStatus.PACKAGEFAIL}


class BuildType(Value, frozen=True):
    """A row of the table.

    module: what builds it. backend: what the protocol's own daemon would use; it is named in RUN: lines. codes, other:
    what the exit code of its own step means. proxy_info: whether proxy_info() answers while it builds; it is a fault
    for the others.
    """

    module: str
    backend: Literal["chroot", "lxd"] = "lxd"
    codes: dict[int, BuildStatus] = msgspec.field(default_factory=_FAILED.copy)
    other: BuildStatus = BuildStatus.BUILDERFAIL
    proxy_info: bool = False

    def status_of(self, code: int) -> BuildStatus:
        return self.codes.get(code, self.other)


_HERE = "contractor.buildd.builds"

TYPES: dict[str, BuildType] = {
    "binarypackage": BuildType(  # sbuild's own codes: failed, attempted, given back
        f"{_HERE}.binarypackage",
        backend="chroot",
        codes={
            0: BuildStatus.OK,
            1: BuildStatus.PACKAGEFAIL,
            2: BuildStatus.PACKAGEFAIL,
            3: BuildStatus.GIVENBACK,
        },
    ),
    "sourcepackagerecipe": BuildType(
        f"{_HERE}.recipe",
        backend="chroot",
        codes={0: BuildStatus.OK, **dict.fromkeys(range(200, 204), BuildStatus.PACKAGEFAIL)},
    ),
    "translation-templates": BuildType(
        f"{_HERE}.translations",
        backend="chroot",
        codes={**_FAILED, 200: BuildStatus.CHROOTFAIL},
    ),
    "livefs": BuildType(f"{_HERE}.livefs"),
    "snap": BuildType(f"{_HERE}.snap", proxy_info=True),
    "oci": BuildType(f"{_HERE}.oci"),
    "charm": BuildType(f"{_HERE}.craft"),
    "ci": BuildType(f"{_HERE}.ci"),
    "rock": BuildType(f"{_HERE}.craft", other=BuildStatus.PACKAGEFAIL, proxy_info=True),
    "craft": BuildType(f"{_HERE}.craft", other=BuildStatus.PACKAGEFAIL, proxy_info=True),
}
