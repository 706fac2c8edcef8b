"""The figures of proof and of releases: what a build leaves to be proven, a rebuild, a journal, the kits of
examples/iuk two at a time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from bench.figures import EXAMPLES, Figure, locked_package
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
    for _ in range(3):
        one.append(machine.timed([*build, *_ANEW]))
        two.append(machine.timed([*build, *_ANEW, "--jobs", "2"]))
    ratio = median(two) / median(one)
    return [
        Figure(
            "IUK matrix of 3 with --jobs 2", "0.7x of one after the other",
            f"{ratio:.2f}x ({median(two):.1f} s, {median(one):.1f} s)", ratio <= 0.7,
        )
    ]  # fmt: skip


# Contractor without anything that is written to tell or to prove what was done: what that costs is the difference.
_REAL = "from contractor.cli.main import run; run()"
_SILENT = f"""import contractor.build.bookkeeping as bookkeeping, contractor.cli.building as building
building.witness_of = lambda *_given: None
bookkeeping.Bookkeeping._write_plan = lambda self: None
bookkeeping.Bookkeeping.emit = lambda self, event: self._emit(event)
bookkeeping.Records.write = lambda self, record: None
{_REAL}"""
_TEN = (
    "contractor: 1\nname: ten\nparameters: {SALT: {default: x}}\nsteps:\n  - create-systree: {base: debian-12}\n"
    + "".join(f"  - shell: echo {number} > file-{number}\n" for number in range(10))
)
_TWO = "  - create-artifact: {name: one, files: [file-1]}\n  - create-artifact: {name: two, files: [file-2]}\n"


def proof(machine: Machine) -> list[Figure]:
    """A build of ten steps and two artifacts, and the same without records, provenance and journal; in turns."""
    spec = machine.write("ten.yaml", _TEN + _TWO)
    machine.run(machine.build(spec))
    options = machine.build(spec)[1:]
    real, silent = [], []
    for turn in range(40):  # every shell step another one; the tree is there
        real.append(machine.timed([sys.executable, "-c", _REAL, *options, "-p", f"SALT=a{turn}"]))
        silent.append(machine.timed([sys.executable, "-c", _SILENT, *options, "-p", f"SALT=b{turn}"]))
    cost = (median(real) - median(silent)) * 1e3
    words = f"{cost:.1f} ms (of {median(real) * 1e3:.0f} ms)"
    return [Figure("recording, provenance and journal of a build", "20 ms a build", words, cost <= 20)]


def verify(machine: Machine) -> list[Figure]:
    """examples/debian-package: every step but the base, offline under a lock; and `verify` of it, in turns."""
    spec = locked_package(machine, "debian-package-again")
    build, again = [], []
    for _ in range(3):
        build.append(machine.timed(machine.build(spec, "--locked", "--offline", "--fresh")))
        again.append(machine.timed([machine.command, "verify", "debian-package", "--plain"]))
    ratio = median(again) / median(build)
    words = f"{ratio:.2f}x ({median(again):.1f} s, {median(build):.1f} s)"
    return [Figure("`verify` of a reproducible build (debian-package)", "1.15x the build", words, ratio <= 1.15)]


_FILL = """import sys
from contractor.proof.journal import Journal
from contractor.proof.keyring import Keyring
from contractor.store.layout import Store
journal = Journal(Store(sys.argv[1]), Keyring(sys.argv[2]), "")
for hundred in range(1000):
    entries = [("grant", {"build": f"20260101-000000-x-{hundred:04}", "network": {str(number): ["deb.debian.org"]}})
               for number in range(100)]
    journal.append_all(entries)
"""


def journal(machine: Machine) -> list[Figure]:
    """100,000 entries, each signed; `contractor audit verify`, and with every signature looked at."""
    store, keys = machine.folder / "audited", machine.home / ".config" / "contractor"
    machine.run([sys.executable, "-c", _FILL, str(store), str(keys)])
    check = [machine.command, "audit", "verify", "--store", str(store)]
    seconds = median([machine.timed(check) for _ in range(5)])
    every = machine.timed([*check, "--every"])
    words = f"{seconds:.1f} s (every signature: {every:.0f} s)"
    return [Figure("audit journal of 100,000 entries verified", "5 s", words, seconds <= 5)]


ALL: dict[str, Callable[[Machine], list[Figure]]] = {
    "proof": proof,
    "verify": verify,
    "journal": journal,
    "matrix": matrix,
}
