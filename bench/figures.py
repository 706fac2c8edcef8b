"""The figures: each a function that measures ours and theirs in turns, and says what was measured."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.machine import Machine, median

EXAMPLES = Path(__file__).parent.parent / "examples"
MIRROR = "http://deb.debian.org/debian"


class Figure(NamedTuple):
    """what, the limit in words, what was measured in words, and whether it holds."""

    what: str
    limit: str
    measured: str
    holds: bool


def fifty(salt: str, last: str = "") -> str:
    steps = [f"  - shell: echo {salt} {number} > file-{number}" for number in range(50)]
    if last:
        steps[-1] = f"  - shell: echo {last} > file-49"
    head = "contractor: 1\nname: fifty\nsteps:\n  - create-systree: {base: debian-12}\n"
    return head + "\n".join(steps) + "\n"


def steps(machine: Machine) -> list[Figure]:
    """50 shell steps: uncached, again, the last changed; beside bare bwrap."""
    spec = machine.write("fifty.yaml", fifty("warm"))
    machine.run(machine.build(spec))
    build = " ".join(machine.build(spec))
    other = f"""sh -c 'sed -i "s/echo [^ ]*/echo $(date +%N)/" {spec}'"""  # every step another one
    bwrap = "bwrap --unshare-all --ro-bind / / --bind . /mnt sh -c 'echo > /mnt/file'"
    uncached, last, bare = [], [], []
    for _ in range(5):
        uncached += [seconds / 50 for seconds in machine.hyperfine([build], 10, prepare=other)]
        bare += machine.hyperfine([bwrap], 100)
    for _ in range(7):
        machine.write("fifty.yaml", fifty("warm", str(random.random())))
        last.append(machine.timed(machine.build(spec)))
    again, version = machine.hyperfine([build, f"{machine.command} --version"])
    ours, theirs = median(uncached) * 1e3, median(bare) * 1e3
    return [
        Figure("a shell step, all in (50 uncached steps)", "12 ms", f"{ours:.1f} ms", ours <= 12),
        Figure(
            "the same, against bare bwrap",
            "2.5x",
            f"{ours / theirs:.2f}x (bwrap {theirs:.1f} ms)",
            ours <= 2.5 * theirs,
        ),
        Figure("build with nothing to do (50 steps)", "80 ms", f"{again * 1e3:.0f} ms", again <= 0.080),
        Figure("contractor --version", "40 ms", f"{version * 1e3:.0f} ms", version <= 0.040),
        Figure("the last of 50 steps changed", "0.14 s", f"{median(last):.3f} s", median(last) <= 0.14),
    ]


def systree(machine: Machine) -> list[Figure]:
    """What create-systree costs a build whose base is there: two builds that differ in nothing else."""
    spec = machine.write("tree.yaml", "contractor: 1\nname: tree\nsteps:\n  - create-systree: {base: debian-12}\n")
    none = machine.write("none.yaml", "contractor: 1\nname: none\nsteps:\n  - empty-workspace:\n")
    machine.run(machine.build(spec))
    machine.run(machine.build(none))
    commands = [" ".join(machine.build(path)) for path in (spec, none)]
    found = [machine.hyperfine(commands, 15) for _ in range(3)]
    cost = median([with_tree - without for with_tree, without in found]) * 1e3
    return [Figure("create-systree of a cached base", "5 ms", f"{cost:.1f} ms", cost <= 5)]


def base(machine: Machine) -> list[Figure]:
    """The debian-12 base from nothing, and mmdebstrap's minbase from the same mirror, in turns."""
    spec = machine.write("base.yaml", "contractor: 1\nname: b\nsteps:\n  - create-systree: {base: debian-12}\n")
    sources = [f"deb {MIRROR} bookworm main", f"deb {MIRROR} bookworm-updates main"]
    security = f"deb {MIRROR.removesuffix('/debian')}/debian-security bookworm-security main"
    tar = machine.folder / "minbase.tar"
    theirs_argv = ["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", str(tar), *sources, security]
    ours, theirs = [], []
    for number in range(3):
        theirs.append(machine.timed(theirs_argv))
        tar.unlink()
        store = machine.folder / f"cold-{number}"
        ours.append(machine.timed(machine.build(spec, store=store)))
    ratio = median(ours) / median(theirs)
    return [
        Figure(
            "debian-12 base, cold", "1.0x mmdebstrap", f"{ratio:.2f}x ({median(ours):.1f} s, {median(theirs):.1f} s)",
            ratio <= 1.0,
        )
    ]  # fmt: skip


def artifact(machine: Machine) -> list[Figure]:
    """create-artifact of 1 GB in 50,000 files, as its step's time in the record, and tar | zstd of the same."""
    from bench.bench_archive import make_tree

    tree = machine.folder / "tree"
    make_tree(tree)
    machine.own(tree)
    pipe = f"tar --sort=name -C {tree} -c . | zstd -q -3 -T0 -f -o {machine.folder}/theirs.zst"
    ours, theirs = [], []
    for number in range(3):
        theirs.append(machine.timed(["sh", "-c", pipe]))
        spec = machine.write(
            "artifact.yaml",
            "contractor: 1\nname: artifact\nlimits: {disk: 40G}\nsource: {path: tree, to: tree}\nsteps:\n"
            f"  - create-artifact: {{name: all-{number}}}\n",
        )
        machine.run(machine.build(spec, "--fresh"))  # in one go: the workspace need not be brought back first
        ours.append(machine.record()["steps"][-1]["seconds"])
    ratio = median(ours) / median(theirs)
    shutil.rmtree(tree)
    return [
        Figure(
            "create-artifact of 1 GB in 50k files", "1.1x tar | zstd -3 -T0",
            f"{ratio:.2f}x ({median(ours):.1f} s, {median(theirs):.1f} s)", ratio <= 1.1,
        )
    ]  # fmt: skip


def package(machine: Machine) -> list[Figure]:
    """examples/debian-package after an edit to its source, and sbuild of the same source package."""
    folder = machine.folder / "debian-package"
    shutil.copytree(EXAMPLES / "debian-package", folder)
    machine.own(folder)
    spec = folder / "contractor.yaml"
    machine.run(machine.build(spec))
    sources = machine.folder / "sources"
    sources.mkdir()
    for action in spec.read_text().split("url: ")[1:]:
        url = action.split()[0]
        subprocess.run(["curl", "-sSfL", "-o", str(sources / url.rpartition("/")[2]), url], check=True)
    machine.own(sources)
    chroot = machine.chroot("bookworm-amd64.tar.zst")
    machine.run(["mmdebstrap", "--quiet", "--variant=buildd", "bookworm", str(chroot), MIRROR])
    sbuild = [
        "sbuild", "--chroot-mode=unshare", "--dist=bookworm", "--no-run-lintian", "--build-dir", str(machine.folder),
        str(sources / "hello_2.10-3.dsc"),
    ]  # fmt: skip
    patch = folder / "patches" / "error-message.patch"
    text = patch.read_text()
    ours, theirs = [], []
    for number in range(3):
        theirs.append(machine.timed(sbuild))
        patch.write_text(text.replace("the greeting", f"this greeting {number}"))
        ours.append(machine.timed(machine.build(spec)))
    ratio = median(ours) / median(theirs)
    return [
        Figure(
            "examples/debian-package after an edit", "0.25x sbuild",
            f"{ratio:.2f}x ({median(ours):.1f} s, {median(theirs):.1f} s)", ratio <= 0.25,
        )
    ]  # fmt: skip


def memory(machine: Machine) -> list[Figure]:
    """The largest resident size of the process, over a build whose step writes 90 MB of output."""
    text = "contractor: 1\nname: loud\nsteps:\n  - create-systree: {base: debian-12}\n  - shell: yes | head -c 90M\n"
    spec = machine.write("loud.yaml", text)
    script = (
        "import os, sys; pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
        "print(os.wait4(pid, 0)[2].ru_maxrss)"
    )
    done = machine.run(["/usr/bin/python3", "-c", script, *machine.build(spec, "--fresh")])
    most = int(done.stdout.split()[-1]) / 1024
    return [Figure("memory of the contractor process", "60 MB", f"{most:.0f} MB", most <= 60)]


def locked_package(machine: Machine, name: str) -> Path:
    """examples/debian-package in a folder of this name, locked, and built once with its lock; its specification."""
    folder = machine.folder / name
    shutil.copytree(EXAMPLES / "debian-package", folder)
    machine.own(folder)
    spec = folder / "contractor.yaml"
    machine.run(machine.build(spec))
    machine.run([machine.command, "lock", str(spec), "--plain"])
    machine.run(machine.build(spec, "--locked"))
    return spec


ALL: dict[str, Callable[[Machine], list[Figure]]] = {
    "steps": steps,
    "systree": systree,
    "memory": memory,
    "artifact": artifact,
    "base": base,
    "package": package,
}
