"""How much does a state of a workspace cost? Medians, in one run, beside what could have been used instead.

    python bench/bench_states.py [--files 10000] [--runs 7] [--directory DIR]

The workspace has FILES files of 2 kB in directories of 20. `cp -al` is the cheapest copy there is, but no safe one: a
later write in place changes the copy too. tar and cp -a read and write everything each time.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contractor.store import states
from contractor.store.remove import remove_tree, usage
from contractor.store.scan import compare, settle
from contractor.store.states import EMPTY, Target


def make(root: Path, files: int) -> None:
    for n in range(files):
        directory = root / f"d{n // 400}" / f"e{n // 20}"
        if n % 20 == 0:
            directory.mkdir(parents=True)
        (directory / f"file{n}.txt").write_bytes(b"%d" % n * 400)


def median(what: str, run: Callable[[], object], runs: int, before: Callable[[], object] = lambda: None) -> None:
    times = []
    for _ in range(runs):
        before()
        gc.collect()
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    print(f"{what:58} {statistics.median(times):9.2f} ms   (least {min(times):.2f})")


class Bench:
    def __init__(self, base: Path, files: int, runs: int) -> None:
        self.base, self.runs = base, runs
        self.fd = os.open(base, os.O_RDONLY)
        self.number = 0
        self.work = base / "work"
        self.work.mkdir()
        make(self.work, files)
        self.work_fd = os.open(self.work, os.O_RDONLY)
        self.changed = next(self.work.rglob("*.txt"))

    def fresh(self) -> str:
        self.number += 1
        return f"x{self.number}"

    def change(self) -> None:
        self.changed.write_text(str(time.time_ns()))
        settle()  # a step ends some milliseconds after its last write

    def save_next(self) -> None:
        self.scan, self.info = states.save(self.work_fd, self.scan, Target(self.fd, self.fresh()), self.parent)
        self.parent = self.info.name

    def states(self, title: str) -> None:
        print(f"-- {title}")
        settle()
        first = self.fresh()
        self.scan, info = states.save(self.work_fd, EMPTY, Target(self.fd, first))
        self.parent = first
        median("scan", lambda: states.scan(self.work_fd), self.runs)
        after = states.scan(self.work_fd)
        median("compare, nothing changed", lambda: compare(self.scan, after), self.runs)
        self.save_next()
        median("save, nothing changed", self.save_next, self.runs)
        median("save, one small file changed", self.save_next, self.runs, self.change)
        print(f"{'':58} {self.info.size:9} bytes")

        def everything() -> None:
            states.save(self.work_fd, EMPTY, Target(self.fd, self.fresh()))

        median("save everything", everything, self.runs)
        print(f"{'':58} {info.size:9} bytes")
        median("info", lambda: states.info(self.base / first), self.runs)

        def restore() -> None:
            name = self.fresh()
            os.mkdir(self.base / name)
            fd = os.open(self.base / name, os.O_RDONLY)
            states.restore(fd, [self.base / first])
            os.close(fd)

        median("restore", restore, self.runs)

    def others(self) -> None:
        print("-- instead")
        for argv in (["cp", "-a"], ["cp", "-al"], ["cp", "-a", "--reflink=always"]):
            if subprocess.run(
                [*argv, self.work, self.base / self.fresh()], capture_output=True, check=False
            ).returncode:
                print(f"{' '.join(argv):58}   refused by this file system")
                continue
            median(
                " ".join(argv),
                lambda a=argv: subprocess.check_call([*a, "work", self.fresh()], cwd=self.base),
                self.runs,
            )

        def tar() -> None:
            subprocess.check_call(["tar", "-cf", self.fresh(), "work"], cwd=self.base)

        median("tar -c", tar, self.runs)
        tarball = f"x{self.number}"

        def untar() -> None:
            name = self.fresh()
            (self.base / name).mkdir()
            subprocess.check_call(["tar", "-xf", tarball, "-C", name], cwd=self.base)

        median("tar -x", untar, self.runs)
        copies = [f"r{n}" for n in range(self.runs)]
        for name in copies:
            subprocess.check_call(["cp", "-a", "work", name], cwd=self.base)
        median("usage", lambda: usage(self.fd, "work"), self.runs)
        median("remove_tree", lambda: remove_tree(self.fd, copies.pop()), self.runs)
        for name in [f"r{n}" for n in range(self.runs)]:
            subprocess.check_call(["cp", "-a", "work", name], cwd=self.base)
            copies.append(name)
        median("rm -rf", lambda: subprocess.check_call(["rm", "-rf", copies.pop()], cwd=self.base), self.runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="bench-states-", dir=options.directory))
    try:
        (base / "big").mkdir()
        bench = Bench(base / "big", options.files, options.runs)
        bench.states(f"workspace of {options.files} files")
        bench.others()
        (base / "tiny").mkdir()
        Bench(base / "tiny", 20, options.runs * 5).states("workspace of 20 files")
    finally:
        fd = os.open(base.parent, os.O_RDONLY)
        remove_tree(fd, base.name)


if __name__ == "__main__":
    main()
