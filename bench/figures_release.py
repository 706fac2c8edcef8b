"""The figure of releases: the kits of examples/iuk, two at a time."""

from __future__ import annotations

import shutil

from bench.figures import EXAMPLES, Figure
from bench.machine import Machine, median

_GIVEN = ("-p", "SOURCE_DATE_EPOCH=1706745600", "-p", "SOURCE_VERSIONS=4.0 4.1 4.1.1")
_ANEW = ("--from", "source tool.bundle")  # what is below it (releases, packages) is there


def matrix(machine: Machine) -> list[Figure]:
    """A matrix of 3 with --jobs 2, and one build after the other, in turns; the layers are there."""
    folder = machine.folder / "iuk"
    shutil.copytree(EXAMPLES / "iuk", folder, symlinks=True)
    machine.own(folder)
    build = machine.build(folder / "contractor.yaml", *_GIVEN)
    machine.run(build)
    one, two = [], []
    for _ in range(5):
        one.append(machine.timed([*build, *_ANEW]))
        two.append(machine.timed([*build, *_ANEW, "--jobs", "2"]))
    ratio = median(two) / median(one)
    return [
        Figure(
            "IUK matrix of 3 with --jobs 2", "0.7x of one after the other",
            f"{ratio:.2f}x ({median(two):.1f} s, {median(one):.1f} s)", ratio <= 0.7,
        )
    ]  # fmt: skip


ALL = {"matrix": matrix}
